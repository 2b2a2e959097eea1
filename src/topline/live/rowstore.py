"""Rows in memory as int64 columns, found by a hash index on some of them; the state that every operator keeps."""

from collections.abc import Sequence

import numpy as np

from topline.live.arrays import NULL, Array, Arrays, Flags, Hashes, Ints, Stack, grown, hash_columns, nest, unnest
from topline.live.hashindex import HashIndex
from topline.schema import Type

_NARROW = frozenset({Type.TEXT, Type.DATE, Type.BOOLEAN})  # 32 bits hold them
_NARROW_NULL = int(np.iinfo(np.int32).min)


class RowStore:
    """`width` columns; the first `key` of them identify a row. A row keeps its number until it is removed; numbers are reused.

    Columns without a type, or of a wide one, may be written in place (`columns[i][rows] = ...`); codes of text, dates and
    booleans take 32 bits, so that they are reached by `get` and `put` alone.
    """

    def __init__(self, width: int, key: int, types: Sequence[Type] = ()) -> None:
        """`types`: of the first columns."""
        self._narrow = [place < len(types) and types[place] in _NARROW for place in range(width)]
        self.columns: list[Array] = [np.empty(0, np.int32 if narrow else np.int64) for narrow in self._narrow]
        self._key = key
        self._live: Flags = np.empty(0, np.bool_)
        self._end = 0
        self._free = Stack()
        self._index = HashIndex()

    def __len__(self) -> int:
        return self._end - len(self._free)

    @property
    def nbytes(self) -> int:
        return (sum(column.itemsize for column in self.columns) + 1) * self._end + self._index.nbytes

    def find(self, keys: Sequence[Ints], hashes: Hashes | None = None) -> Ints:
        """The number of the row with each key, or -1. `hashes`: of the keys, where they are known already."""

        def same(queries: Ints, rows: Ints) -> Flags:
            equal = np.ones(len(rows), np.bool_)
            for stored, asked, narrow in zip(self.columns, keys, self._narrow, strict=False):
                wanted = asked[queries]
                equal &= stored[rows] == (np.maximum(wanted, _NARROW_NULL) if narrow else wanted)
            return equal

        return self._index.find(hash_columns(keys, len(keys[0])) if hashes is None else hashes, same)

    def add(self, columns: Sequence[Ints], hashes: Hashes | None = None) -> Ints:
        """Put in rows whose keys are not there yet, each once; returns their numbers."""
        count = len(columns[0])
        rows = self._free.pop(count)
        rows = np.concatenate([rows, np.arange(self._end, self._end + count - len(rows))])
        self._grow(count - int((rows < self._end).sum()))
        for place, column in enumerate(columns):
            self.put(place, rows, column)
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
        self._index.remove(hash_columns(self.take(rows, self._key), len(rows)), rows)
        self._live[rows] = False
        self._free.push(rows)

    def take(self, rows: Ints, width: int | None = None) -> list[Ints]:
        """The (first `width`) columns of these rows."""
        return [self.get(place, rows) for place in range(len(self.columns) if width is None else width)]

    def get(self, place: int, rows: Ints) -> Ints:
        """A column of these rows."""
        values = self.columns[place][rows]
        if not self._narrow[place]:
            return values
        wide: Ints = values.astype(np.int64)
        wide[wide == _NARROW_NULL] = NULL
        return wide

    def put(self, place: int, rows: Ints, values: Ints) -> None:
        """Write a column of these rows; the key of a row that is there does not change."""
        self.columns[place][rows] = np.maximum(values, _NARROW_NULL) if self._narrow[place] else values

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
