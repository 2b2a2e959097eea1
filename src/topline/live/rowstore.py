"""Rows in memory, found by a hash index on some of their columns; the state that every operator keeps."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from topline.live.arrays import Array, Arrays, Columns, Flags, Hashes, Ints, Stack, grown, hash_columns, nest, unnest
from topline.live.hashindex import HashIndex
from topline.live.kernels import rows as kernels
from topline.schema import Type

_NARROW = frozenset({Type.TEXT, Type.DATE, Type.BOOLEAN})  # 32 bits hold them


def narrow(types: Sequence[Type]) -> list[bool]:
    """Which columns take 32 bits."""
    return [type_ in _NARROW for type_ in types]


def layout_of(narrow: Sequence[bool]) -> Ints:
    """Of each column: its first word, and 1 if it takes two."""
    wide = np.array([not is_narrow for is_narrow in narrow], np.int64)
    return np.stack([np.cumsum(wide + 1) - (wide + 1), wide], axis=1)


def words_of(layout: Ints) -> int:
    """How many words a row takes."""
    return int((layout[:, 1] + 1).sum())


class RowStore:
    """Columns, the first `key` of which identify a row. A row keeps its number until it is removed; numbers are reused."""

    def __init__(self, narrow: Sequence[bool], key: int) -> None:
        """`narrow`: which columns 32 bits hold; their values, NULL aside, are -2^31 + 1 to 2^31 - 1."""
        self._layout = layout_of(narrow)
        self._key = key
        self._words: npt.NDArray[np.int32] = np.empty((0, words_of(self._layout)), np.int32)
        self._live: Flags = np.empty(0, np.bool_)
        self._end = 0
        self._free = Stack()
        self._index = HashIndex()

    def __len__(self) -> int:
        return self._end - len(self._free)

    @property
    def nbytes(self) -> int:
        return self._words[: self._end].nbytes + self._end + self._index.nbytes

    def find(self, keys: Columns, hashes: Hashes | None = None) -> Ints:
        """The number of the row with each key, or -1. `hashes`: of the keys, where they are known already."""
        return self._index.find(keys, hash_columns(keys) if hashes is None else hashes, self._words, self._layout)

    def add(self, columns: Columns, hashes: Hashes | None = None) -> Ints:
        """Put in rows whose keys are not there yet, each once; returns their numbers."""
        count = columns.shape[1]
        rows = self._free.pop(count)
        if len(rows) < count:
            rows = np.concatenate([rows, self._grow(count - len(rows))])
        kernels.put(self._words, self._layout, rows, columns)
        self._live[rows] = True
        self._index.add(hash_columns(columns[: self._key]) if hashes is None else hashes, rows)
        return rows

    def _grow(self, more: int) -> Ints:
        begin, self._end = self._end, self._end + more
        self._words = grown(self._words, begin, self._end)
        self._live = grown(self._live, begin, self._end)
        return np.arange(begin, self._end)

    def remove(self, rows: Ints) -> None:
        """Take out rows, each once."""
        if len(rows):
            self._index.remove(hash_columns(self.take(rows, 0, self._key)), rows)
            self._live[rows] = False
            self._free.push(rows)

    def take(self, rows: Ints, begin: int = 0, end: int | None = None) -> Columns:
        """The columns from `begin` to `end` of these rows."""
        return kernels.take(self._words, self._layout[begin:end], rows)

    def get(self, place: int, rows: Ints) -> Ints:
        """A column of these rows."""
        column: Ints = self.take(rows, place, place + 1)[0]
        return column

    def put(self, place: int, rows: Ints, columns: Columns) -> None:
        """Write columns, from `place` on, of these rows; the key of a row that is there does not change."""
        kernels.put(self._words, self._layout[place : place + len(columns)], rows, columns)

    def add_to(self, place: int, rows: Ints, amounts: Ints) -> Ints:
        """Add to a column of these rows, of which one may be named twice; what each is afterwards."""
        return kernels.add_to(self._words, self._layout[place:], rows, amounts)

    def follow(self, place: int, heads: Ints) -> tuple[Ints, Ints]:
        """All rows of the lists that begin with these: which list, which row. From `place` on, rows have next and previous."""
        return kernels.follow(heads, self._words, self._layout[place:])

    def link(self, place: int, rows: Ints, numbers: Ints, heads: Ints) -> None:
        """Put rows into the lists numbers[i] of `heads`, which change."""
        kernels.link(self._words, self._layout[place:], rows, numbers, heads)

    def unlink(self, place: int, rows: Ints, numbers: Ints, heads: Ints) -> None:
        """Take rows out of these lists."""
        kernels.unlink(self._words, self._layout[place:], rows, numbers, heads)

    def rows(self) -> Ints:
        """The numbers of all rows."""
        return np.flatnonzero(self._live[: self._end])

    def arrays(self) -> dict[str, Array]:
        own = {"words": self._words[: self._end], "live": self._live[: self._end]}
        return own | nest(free=self._free, index=self._index)

    def restore(self, arrays: Arrays) -> None:
        self._words, self._live = arrays["words"], arrays["live"]
        self._end = len(self._live)
        unnest(arrays, free=self._free, index=self._index)
