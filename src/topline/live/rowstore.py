"""Rows in memory as int64 columns, found by a hash index on some of them; the state that every operator keeps."""

from collections.abc import Sequence

import numpy as np

from topline.live.arrays import Array, Arrays, Flags, Hashes, Ints, Stack, grown, hash_columns, nest, take, unnest
from topline.live.hashindex import HashIndex


class RowStore:
    """`width` columns; the first `key` of them identify a row. A row keeps its number until it is removed; numbers are reused.

    Columns after the key may be written in place (`columns[i][rows] = ...`).
    """

    def __init__(self, width: int, key: int) -> None:
        self.columns: list[Ints] = [np.empty(0, np.int64) for _ in range(width)]
        self._key = key
        self._live: Flags = np.empty(0, np.bool_)
        self._end = 0
        self._free = Stack()
        self._index = HashIndex()

    def __len__(self) -> int:
        return self._end - len(self._free)

    @property
    def nbytes(self) -> int:
        return (8 * len(self.columns) + 1) * self._end + self._index.nbytes

    def find(self, keys: Sequence[Ints], hashes: Hashes | None = None) -> Ints:
        """The number of the row with each key, or -1. `hashes`: of the keys, where they are known already."""

        def same(queries: Ints, rows: Ints) -> Flags:
            equal = np.ones(len(rows), np.bool_)
            for stored, asked in zip(self.columns, keys, strict=False):
                equal &= stored[rows] == asked[queries]
            return equal

        return self._index.find(hash_columns(keys, len(keys[0])) if hashes is None else hashes, same)

    def add(self, columns: Sequence[Ints], hashes: Hashes | None = None) -> Ints:
        """Put in rows whose keys are not there yet, each once; returns their numbers."""
        count = len(columns[0])
        rows = self._free.pop(count)
        rows = np.concatenate([rows, np.arange(self._end, self._end + count - len(rows))])
        self._grow(count - int((rows < self._end).sum()))
        for stored, column in zip(self.columns, columns, strict=True):
            stored[rows] = column
        self._live[rows] = True
        self._index.add(hash_columns(columns[: self._key], count) if hashes is None else hashes, rows)
        return rows

    def _grow(self, more: int) -> None:
        needed = self._end + more
        self.columns = [grown(column, self._end, needed) for column in self.columns]
        self._live = grown(self._live, self._end, needed)
        self._end = needed

    def remove(self, rows: Ints) -> None:
        """Take out rows, each once."""
        self._index.remove(hash_columns([column[rows] for column in self.columns[: self._key]], len(rows)), rows)
        self._live[rows] = False
        self._free.push(rows)

    def take(self, rows: Ints, width: int | None = None) -> list[Ints]:
        """The (first `width`) columns of these rows."""
        return take(self.columns[:width], rows)

    def rows(self) -> Ints:
        """The numbers of all rows."""
        return np.flatnonzero(self._live[: self._end])

    def arrays(self) -> dict[str, Array]:
        columns = {f"column{place}": column[: self._end] for place, column in enumerate(self.columns)}
        return columns | {"live": self._live[: self._end]} | nest(free=self._free, index=self._index)

    def restore(self, arrays: Arrays) -> None:
        self.columns = [arrays[f"column{place}"] for place in range(len(self.columns))]
        self._live = arrays["live"]
        self._end = len(self._live)
        unnest(arrays, free=self._free, index=self._index)
