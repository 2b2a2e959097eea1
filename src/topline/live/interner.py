"""Text as int64 codes: every distinct string is kept once, exactly, and can be compared by its UTF-8 bytes."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topline.errors import StateError
from topline.live.arrays import NULL, Array, Arrays, Flags, Hashes, Ints, grown, nest, ranges, unnest
from topline.live.hashindex import HashIndex

_SALT = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_MOST_WORDS = 2**32 - 1
_FEW, _REMEMBERED = 512, 50_000  # strings of a small batch, and how many of them are remembered in a plain dict

Words = npt.NDArray[np.uint64]


class Interner:
    """Strings lie zero-padded in an arena of 8-byte words; a code is the string's number. About 40 bytes a short string.

    Codes are given in order of arrival and mean nothing; NULL is no code (arrays.NULL stays NULL).
    """

    def __init__(self) -> None:
        self._words: Words = np.empty(0, np.uint64)
        self._starts: Array = np.zeros(1, np.uint32)  # in words (32 GiB of them at most); one more than strings
        self._lengths: Array = np.empty(0, np.int32)  # in bytes
        self._count = 0
        self._index = HashIndex()
        self._recent: dict[str, int] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return 8 * (int(self._starts[self._count]) + self._count) + self._index.nbytes

    def intern(self, text: pa.Array, *, add: bool = True) -> Ints:
        """Codes of a string array; NULL where it is null and, without `add`, -1 where the string was never seen."""
        encoded = text if pa.types.is_dictionary(text.type) else pc.dictionary_encode(text)
        distinct = encoded.dictionary
        repeats = pa.types.is_dictionary(text.type)  # a dictionary handed in may repeat itself
        codes = self.intern(distinct, add=add) if repeats else self._codes(distinct, add)
        places = encoded.indices
        if not places.null_count:
            return codes[_integers(places)]
        known: Flags = np.asarray(places.is_valid())
        return np.where(known, np.append(codes, NULL)[_integers(places.fill_null(0))], NULL)

    def _codes(self, distinct: pa.Array, add: bool) -> Ints:
        """A small batch asks the dict first: some twenty numpy calls cost more than a few hundred look-ups."""
        if len(distinct) > _FEW:
            return self._looked_up(distinct, add)
        texts = distinct.to_pylist()
        codes = np.fromiter((self._recent.get(text, -1) for text in texts), np.int64, len(texts))
        missing = np.flatnonzero(codes < 0)
        if len(missing):
            codes[missing] = self._looked_up(distinct.take(pa.array(missing)), add)
            self._remember((texts[place], int(codes[place])) for place in missing.tolist())
        return codes

    def _remember(self, pairs: Iterable[tuple[str, int]]) -> None:
        if len(self._recent) > _REMEMBERED:
            self._recent.clear()
        self._recent.update(pair for pair in pairs if pair[1] >= 0)

    def _looked_up(self, distinct: pa.Array, add: bool) -> Ints:
        words, starts, lengths = _packed(distinct)
        hashes = _hashes(words, starts, lengths)

        def same(queries: Ints, codes: Ints) -> Flags:
            return self._equals(words, starts[queries], lengths[queries], codes)

        codes = self._index.find(hashes, same)
        missing = np.flatnonzero(codes < 0)
        if add and len(missing):
            codes[missing] = self._append(words, starts, lengths, missing)
            self._index.add(hashes[missing], codes[missing])
        return codes

    def _append(self, words: Words, starts: Ints, lengths: Ints, which: Ints) -> Ints:
        sizes = _words_of(lengths[which])
        used, count = int(self._starts[self._count]), self._count + len(which)
        end = used + int(sizes.sum())
        if end > _MOST_WORDS:
            raise StateError(f"the distinct texts of all tables take {end * 8} bytes, allowed are {_MOST_WORDS * 8}")
        self._words = grown(self._words, used, end)
        self._words[used:end] = words[ranges(starts[which], sizes)]
        self._starts = grown(self._starts, self._count + 1, count + 1)
        self._starts[self._count + 1 : count + 1] = used + np.cumsum(sizes)
        self._lengths = grown(self._lengths, self._count, count)
        self._lengths[self._count : count] = lengths[which]
        codes = np.arange(self._count, count)
        self._count = count
        return codes

    def _equals(self, words: Words, starts: Ints, lengths: Ints, codes: Ints) -> Flags:
        equal: Flags = self._lengths[codes] == lengths
        open_ = np.flatnonzero(equal & (lengths > 0))
        if len(open_):
            sizes = _words_of(lengths[open_])
            differs = (
                words[ranges(starts[open_], sizes)] != self._words[ranges(self._starts[codes[open_]].astype(np.int64), sizes)]
            )
            equal[open_] = ~np.logical_or.reduceat(differs, np.cumsum(sizes) - sizes)
        return equal

    def text(self, codes: Ints) -> pa.Array:
        """The strings of codes (null where NULL); together less than 2 GiB, Arrow's limit for one array."""
        known = codes != NULL
        whole = bool(known.all())
        places = codes if whole else np.where(known, codes, 0)
        lengths = self._lengths[places].astype(np.int64) if len(self) else np.zeros(len(codes), np.int64)
        if not whole:
            lengths[~known] = 0
        starts = self._starts[places].astype(np.int64) * 8
        data = self._words.view(np.uint8)[ranges(starts, lengths)]
        offsets = np.zeros(len(codes) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        validity = None if whole else pa.py_buffer(np.packbits(known, bitorder="little"))
        buffers = [validity, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.string(), len(codes), buffers)

    def compare(self, left: Ints, right: Ints) -> npt.NDArray[np.int8]:
        """-1, 0 or 1 for each pair of codes, by UTF-8 bytes (a prefix sorts first). No NULLs."""
        sign = np.zeros(len(left), np.int8)
        open_ = np.flatnonzero(left != right)
        shorter = _words_of(np.minimum(self._lengths[left[open_]], self._lengths[right[open_]]))
        word = 0
        while len(open_):
            within = shorter > word
            done = open_[~within]
            sign[done] = np.sign(self._lengths[left[done]] - self._lengths[right[done]])
            open_, shorter = open_[within], shorter[within]
            one = self._words[self._starts[left[open_]] + word].byteswap()
            two = self._words[self._starts[right[open_]] + word].byteswap()
            sign[open_] = (one > two).astype(np.int8) - (one < two).astype(np.int8)
            tied = one == two
            open_, shorter = open_[tied], shorter[tied]
            word += 1
        return sign

    def ranks(self, codes: Ints) -> Ints:
        """Numbers that order these codes by UTF-8 bytes among themselves, NULL staying NULL."""
        distinct, inverse = np.unique(codes, return_inverse=True)
        null = int(len(distinct) > 0 and distinct[0] == NULL)
        text = self.text(distinct[null:])
        ranks = np.full(len(distinct), NULL)
        ranks[null + _integers(pc.sort_indices(text))] = np.arange(len(distinct) - null)
        return ranks[inverse]

    def arrays(self) -> dict[str, Array]:
        used = int(self._starts[self._count])
        own = {"words": self._words[:used], "starts": self._starts[: self._count + 1], "lengths": self._lengths[: self._count]}
        return own | nest(index=self._index)

    def restore(self, arrays: Arrays) -> None:
        self._recent.clear()
        self._words, self._starts, self._lengths = arrays["words"], arrays["starts"], arrays["lengths"]
        self._count = len(self._lengths)
        unnest(arrays, index=self._index)


def _integers(array: pa.Array) -> Ints:
    numbers: Ints = array.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _words_of(lengths: Ints) -> Ints:
    return (lengths + 7) >> 3


def _packed(text: pa.Array) -> tuple[Words, Ints, Ints]:
    """Strings without nulls as zero-padded words: the words, where each string starts in them, its length in bytes."""
    _, offset_buffer, data_buffer = text.buffers()
    width = np.int64 if pa.types.is_large_string(text.type) else np.int32
    offsets = np.zeros(1, np.int64)
    if len(text):
        offsets = np.frombuffer(offset_buffer, width)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    lengths = np.diff(offsets)
    sizes = _words_of(lengths)
    starts = np.cumsum(sizes) - sizes
    packed = np.zeros(int(sizes.sum()) * 8, np.uint8)
    if len(packed):
        data = np.frombuffer(data_buffer, np.uint8)
        packed[ranges(starts * 8, lengths)] = data[offsets[0] : offsets[-1]]
    return packed.view(np.uint64), starts, lengths


def _hashes(words: Words, starts: Ints, lengths: Ints) -> Hashes:
    """The sum of each string's words, every one salted with its place and mixed; then mixed with the length."""
    sizes = _words_of(lengths)
    places = ranges(np.zeros(len(sizes), np.int64), sizes).astype(np.uint64)
    mixed = words ^ (_SALT * (places + np.uint64(1)))
    mixed *= _MIX
    mixed ^= mixed >> _HALF
    mixed *= _MIX
    sums: Hashes = np.zeros(len(sizes), np.uint64)
    filled = np.flatnonzero(sizes)
    if len(filled):
        sums[filled] = np.add.reduceat(mixed, starts[filled])
    sums ^= lengths.astype(np.uint64)
    sums *= _SALT
    sums ^= sums >> _HALF
    sums *= _MIX
    return sums
