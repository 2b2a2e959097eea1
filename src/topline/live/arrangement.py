"""One side of a join: weighted rows, found by themselves (to retract) and by join key (to match)."""

from collections.abc import Sequence

import numpy as np

from topline.live.arrays import Array, Arrays, Columns, Ints, group_rows, nest, take, unnest
from topline.live.delta import Delta
from topline.live.rowstore import RowStore, narrow
from topline.schema import Type


class Arrangement:
    """Rows of columns of `types` by the columns `key`. The rows of a key are a list: each has its neighbours' numbers.

    A row's own columns are followed by next, previous (32 bits: 2^31 - 1 rows), weight; a key's by its first row and how many
    it has.
    """

    def __init__(self, types: Sequence[Type], key: list[int]) -> None:
        self._width = len(types)
        self._key = key
        self._rows = RowStore([*narrow(types), True, True, False], self._width)
        self._keys = RowStore([*narrow([types[place] for place in key]), True, True], len(key))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._keys.nbytes

    def counts(self, keys: Columns) -> Ints:
        """How many different rows each key has."""
        found = self._keys.find(keys)
        counts, held = np.zeros(len(found), np.int64), np.flatnonzero(found >= 0)
        counts[held] = self._keys.get(len(self._key) + 1, found[held])
        return counts

    def match(self, keys: Columns) -> tuple[Ints, Ints]:
        """Pairs (which of `keys`, row number) of all rows with these keys."""
        found = self._keys.find(keys)
        asked = np.flatnonzero(found >= 0)
        which, rows = self._rows.follow(self._width, self._keys.get(len(self._key), found[asked]))
        return asked[which], rows

    def take(self, rows: Ints) -> tuple[Columns, Ints]:
        """The columns and the weights of rows."""
        return self._rows.take(rows, 0, self._width), self._rows.get(self._width + 2, rows)

    def update(self, delta: Delta) -> None:
        """Bring in a settled change; no join key in it is NULL."""
        rows = self._rows.find(delta.columns)
        held = np.flatnonzero(rows >= 0)
        weights = self._rows.add_to(self._width + 2, rows[held], delta.weights[held])
        self._detach(rows[held[weights == 0]])
        fresh = np.flatnonzero(rows < 0)
        blank = np.full((2, len(fresh)), -1)
        self._attach(self._rows.add(np.concatenate([take(delta.columns, fresh), blank, delta.weights[fresh][None]])))

    def _attach(self, rows: Ints) -> None:
        if not len(rows):
            return
        keys = self._rows.take(rows, 0, self._width)[self._key]
        groups = group_rows(keys)
        keys = take(keys, groups.first)
        owners = self._keys.find(keys)
        unknown = np.flatnonzero(owners < 0)
        blank = np.repeat(np.array([[-1], [0]]), len(unknown), axis=1)
        owners[unknown] = self._keys.add(np.concatenate([take(keys, unknown), blank]))
        heads = self._keys.get(len(self._key), owners)
        self._rows.link(self._width, rows, groups.numbers, heads)
        self._keys.put(len(self._key), owners, heads[None])
        self._keys.add_to(len(self._key) + 1, owners, groups.sums(np.ones(len(rows), np.int64)))

    def _detach(self, rows: Ints) -> None:
        if not len(rows):
            return
        keys = self._rows.take(rows, 0, self._width)[self._key]
        groups = group_rows(keys)
        owners = self._keys.find(take(keys, groups.first))
        heads = self._keys.get(len(self._key), owners)
        self._rows.unlink(self._width, rows, groups.numbers, heads)
        self._keys.put(len(self._key), owners, heads[None])
        left = self._keys.add_to(len(self._key) + 1, owners, -groups.sums(np.ones(len(rows), np.int64)))
        self._keys.remove(owners[left == 0])
        self._rows.remove(rows)

    def arrays(self) -> dict[str, Array]:
        return nest(rows=self._rows, keys=self._keys)

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, rows=self._rows, keys=self._keys)
