"""One side of a join whose rows are unique by the join key: a row store is all that it needs."""

from collections.abc import Sequence

import numpy as np

from topline.live.arrays import Array, Arrays, Columns, Ints, nest, take, unnest
from topline.live.delta import Delta
from topline.live.rowstore import RowStore, narrow
from topline.schema import Type


class KeyedSide:
    """As an Arrangement, at half its size. Inside, the key's columns come first."""

    def __init__(self, types: Sequence[Type], key: list[int]) -> None:
        self._order = key + [place for place in range(len(types)) if place not in key]
        self._inverse = [self._order.index(place) for place in range(len(types))]  # a key may name a column twice
        self._key = len(key)
        self._store = RowStore(narrow([types[place] for place in self._order]), self._key)

    def __len__(self) -> int:
        return len(self._store)

    @property
    def nbytes(self) -> int:
        return self._store.nbytes

    def counts(self, keys: Columns) -> Ints:
        """How many rows each key has: one or none."""
        return (self._store.find(keys) >= 0).astype(np.int64)

    def match(self, keys: Columns) -> tuple[Ints, Ints]:
        """Pairs (which of `keys`, row number) of the rows with these keys."""
        found = self._store.find(keys)
        asked = np.flatnonzero(found >= 0)
        return asked, found[asked]

    def take(self, rows: Ints) -> tuple[Columns, Ints]:
        """The columns and the weights (all 1) of rows."""
        return self._store.take(rows)[self._inverse], np.ones(len(rows), np.int64)

    def update(self, delta: Delta) -> None:
        """Bring in a settled change; no join key in it is NULL."""
        columns = delta.columns[self._order]
        lost = self._store.find(take(columns[: self._key], np.flatnonzero(delta.weights < 0)))
        assert (lost >= 0).all(), "a row is retracted that was never there"
        self._store.remove(lost)
        gained = take(columns, np.flatnonzero(delta.weights > 0))
        assert (self._store.find(gained[: self._key]) < 0).all(), "two rows have the same key"
        self._store.add(gained)

    def arrays(self) -> dict[str, Array]:
        return nest(store=self._store)

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, store=self._store)
