"""Text as int64 codes: every distinct string is kept once, exactly, and can be compared by its UTF-8 bytes."""

from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from topline.errors import StateError
from topline.live.arrays import NULL, Array, Arrays, Flags, Ints, grown, nest, unnest
from topline.live.hashindex import HashIndex
from topline.live.kernels import text as kernels
from topline.live.kernels.shapes import PAGE_BITS, Bytes, Texts

_AT_ONCE = 32_768  # strings: room is made for all, however many of them turn out to be known
_MOST = 2**31 - 1  # strings: a code takes 32 bits with its sign


class Interner:
    """Strings lie end to end in an arena; a code is the string's number. About 30 bytes a short string.

    Codes are given in order of arrival and mean nothing; NULL is no code (arrays.NULL stays NULL). Threads may intern, and read
    what was interned, at once: what is there never changes, and arrays that were outgrown still hold it.
    """

    def __init__(self) -> None:
        self._arena: Bytes = np.empty(0, np.uint8)
        self._pages: Ints = np.zeros(1, np.int64)
        self._starts: npt.NDArray[np.uint32] = np.zeros(1, np.uint32)
        self._count = 0
        self._index = HashIndex()
        self._adding = Lock()

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return self._used() + 4 * self._count + self._index.nbytes

    @property
    def texts(self) -> Texts:
        """Where the strings lie, for kernels; until the next `intern`."""
        return Texts(self._arena, self._pages, self._starts)

    def _used(self) -> int:
        return int(self._pages[self._count >> PAGE_BITS]) + int(self._starts[self._count])

    def intern(self, text: pa.Array, *, add: bool = True) -> Ints:
        """Codes of a string array; NULL where it is null and, without `add`, -1 where the string was never seen."""
        if pa.types.is_dictionary(text.type):
            codes = self.intern(text.dictionary, add=add)
            places = text.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
            found: Ints = np.append(codes, NULL)[places]
            return found
        if not text.null_count:
            return self._codes(text, add)
        known: Flags = np.asarray(text.is_valid())
        codes = np.full(len(text), NULL)
        codes[known] = self._codes(text.drop_null(), add)
        return codes

    def _codes(self, text: pa.Array, add: bool) -> Ints:
        codes = np.empty(len(text), np.int64)
        for start in range(0, len(text), _AT_ONCE):
            part = text.slice(start, _AT_ONCE)
            self._fill(codes[start : start + len(part)], part, add)
        return codes

    def _fill(self, codes: Ints, text: pa.Array, add: bool) -> None:
        data, offsets = _bytes(text)
        with self._adding:
            self._look_up(codes, data, offsets, add)

    def _look_up(self, codes: Ints, data: Bytes, offsets: Ints, add: bool) -> None:
        if add:
            self._reserve(len(codes), int(offsets[-1] - offsets[0]))
        count = kernels.intern(
            data, offsets, self._count, add, self._arena, self._pages, self._starts, self._index.slots, codes
        )
        if count < 0:
            raise StateError(
                f"{2**PAGE_BITS} texts that came one after the other take more than {2**32} bytes, which is the most "
                "that is allowed; shorten the longest at the source"
            )
        self._index.note(count - self._count)
        self._count = count

    def _reserve(self, strings: int, size: int) -> None:
        """Room for so many new strings with so many bytes."""
        used, count = self._used(), self._count + strings
        if count > _MOST:
            raise StateError(f"all tables have {count} distinct texts, allowed are {_MOST}")
        self._arena = grown(self._arena, used, used + size)
        self._starts = grown(self._starts, self._count + 1, count + 1)
        pages = (count >> PAGE_BITS) + 1
        self._pages = grown(self._pages, (self._count >> PAGE_BITS) + 1, pages)
        self._index.reserve(strings)

    def text(self, codes: Ints) -> pa.Array:
        """The strings of codes (null where NULL); together less than 2 GiB, Arrow's limit for one array."""
        codes = np.ascontiguousarray(codes)
        ends = kernels.offsets(codes, self._pages, self._starts)
        data = np.empty(int(ends[-1]), np.uint8)
        kernels.lay(codes, ends, *self.texts, data)
        known = codes != NULL
        validity = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
        return pa.Array.from_buffers(
            pa.string(), len(codes), [validity, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(data)]
        )

    def arrays(self) -> dict[str, Array]:
        pages = (self._count >> PAGE_BITS) + 1
        own: dict[str, Array] = {"arena": self._arena[: self._used()], "pages": self._pages[:pages]}
        own["starts"] = self._starts[: self._count + 1]
        return own | nest(index=self._index)

    def restore(self, arrays: Arrays) -> None:
        self._arena, self._pages, self._starts = arrays["arena"], arrays["pages"], arrays["starts"]
        self._count = len(self._starts) - 1
        unnest(arrays, index=self._index)


def _bytes(text: pa.Array) -> tuple[Bytes, Ints]:
    """The bytes of strings without nulls, and where in them each string begins, with an end."""
    _, offset_buffer, data_buffer = text.buffers()
    width = np.int64 if pa.types.is_large_string(text.type) else np.int32
    offsets = np.frombuffer(offset_buffer, width)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    data = np.frombuffer(data_buffer or b"", np.uint8)
    return data, offsets
