"""One side of a join: weighted rows, found by themselves (to retract) and by join key (to match)."""

from collections.abc import Sequence

import numpy as np

from topline.live.arrays import EMPTY, Array, Arrays, Ints, group_rows, grown, nest, ranges, take, unnest
from topline.live.delta import Delta
from topline.live.rowstore import RowStore
from topline.schema import Type

_START, _LENGTH, _ROOM = 0, 1, 2  # of a key's stretch of the arena, after the key's own columns
_WEIGHT, _PLACE = 0, 1  # of a row, after its own columns: its weight, and where in the arena its number stands


class Arrangement:
    """Rows of columns of `types` by the columns `key`. Each key owns a stretch of the arena that lists its rows' numbers.

    A stretch that is full moves to the arena's end with double room, so that inserts are linear; a removed row's hole is
    filled from its stretch's tail. The arena is packed when less than a quarter of it is in use.
    """

    def __init__(self, types: Sequence[Type], key: list[int]) -> None:
        self._width = len(types)
        self._key = key
        self._rows = RowStore(self._width + 2, self._width, types)
        self._keys = RowStore(len(key) + 3, len(key), [types[place] for place in key])
        self._arena = EMPTY
        self._end = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._keys.nbytes + 8 * self._end

    def counts(self, keys: list[Ints]) -> Ints:
        """How many different rows each key has."""
        found = self._keys.find(keys)
        counts, held = np.zeros(len(found), np.int64), np.flatnonzero(found >= 0)
        counts[held] = self._of_key(_LENGTH)[found[held]]
        return counts

    def match(self, keys: list[Ints]) -> tuple[Ints, Ints]:
        """Pairs (which of `keys`, row number) of all rows with these keys."""
        found = self._keys.find(keys)
        asked = np.flatnonzero(found >= 0)
        lengths = self._of_key(_LENGTH)[found[asked]]
        rows = self._arena[ranges(self._of_key(_START)[found[asked]], lengths)]
        return np.repeat(asked, lengths), rows

    def take(self, rows: Ints) -> tuple[list[Ints], Ints]:
        """The columns and the weights of rows."""
        return self._rows.take(rows, self._width), self._of_row(_WEIGHT)[rows]

    def update(self, delta: Delta) -> None:
        """Bring in a settled change; no join key in it is NULL."""
        rows = self._rows.find(delta.columns)
        held = np.flatnonzero(rows >= 0)
        weights = self._of_row(_WEIGHT)[rows[held]] + delta.weights[held]
        self._of_row(_WEIGHT)[rows[held]] = weights
        self._detach(rows[held[weights == 0]])
        fresh = np.flatnonzero(rows < 0)
        blank = np.zeros(len(fresh), np.int64)
        self._attach(self._rows.add([*take(delta.columns, fresh), delta.weights[fresh], blank]))

    def _of_key(self, what: int) -> Ints:
        return self._keys.columns[len(self._key) + what]

    def _of_row(self, what: int) -> Ints:
        return self._rows.columns[self._width + what]

    def _keys_of(self, rows: Ints) -> list[Ints]:
        return [self._rows.get(place, rows) for place in self._key]

    def _attach(self, rows: Ints) -> None:
        if not len(rows):
            return
        keys = self._keys_of(rows)
        groups = group_rows(keys, len(rows))
        distinct, more = take(keys, groups.first), groups.lengths
        owners = self._keys.find(distinct)
        unknown = np.flatnonzero(owners < 0)
        zeros = np.zeros(len(unknown), np.int64)
        owners[unknown] = self._keys.add([*take(distinct, unknown), zeros, zeros, zeros])
        self._make_room(owners, more)
        lengths = self._of_key(_LENGTH)
        places = ranges(self._of_key(_START)[owners] + lengths[owners], more)
        self._arena[places] = rows[groups.order]
        self._of_row(_PLACE)[rows[groups.order]] = places
        lengths[owners] += more

    def _make_room(self, owners: Ints, more: Ints) -> None:
        starts, lengths, room = self._of_key(_START), self._of_key(_LENGTH), self._of_key(_ROOM)
        full = owners[lengths[owners] + more > room[owners]]
        needed = (lengths[owners] + more)[lengths[owners] + more > room[owners]]
        enough = np.where(needed == 1, 1, needed + (needed >> 1) + 1)
        total = int(enough.sum())
        self._arena = grown(self._arena, self._end, self._end + total)
        targets = self._end + np.cumsum(enough) - enough
        old, new = ranges(starts[full], lengths[full]), ranges(targets, lengths[full])
        self._arena[new] = self._arena[old]
        self._of_row(_PLACE)[self._arena[new]] = new
        starts[full], room[full] = targets, enough
        self._end += total

    def _detach(self, rows: Ints) -> None:
        if not len(rows):
            return
        keys = self._keys_of(rows)
        groups = group_rows(keys, len(rows))
        owners, gone = self._keys.find(take(keys, groups.first)), groups.lengths
        self._close_holes(rows, owners, gone)
        self._of_key(_LENGTH)[owners] -= gone
        self._keys.remove(owners[self._of_key(_LENGTH)[owners] == 0])
        self._rows.remove(rows)
        self._pack()

    def _close_holes(self, rows: Ints, owners: Ints, gone: Ints) -> None:
        """Holes before the new tail are filled with the rows that stay in it: per key there are as many."""
        places = self._of_row(_PLACE)
        tails = self._of_key(_START)[owners] + self._of_key(_LENGTH)[owners] - gone
        in_tail = ranges(tails, gone)
        holes = np.sort(places[rows])
        stays = in_tail[~np.isin(in_tail, holes, assume_unique=True)]
        holes = holes[~np.isin(holes, in_tail, assume_unique=True)]
        stays = np.sort(stays)
        self._arena[holes] = self._arena[stays]
        places[self._arena[holes]] = holes

    def _pack(self) -> None:
        if self._end < 1024 or 4 * len(self._rows) > self._end:
            return
        keys = self._keys.rows()
        lengths = self._of_key(_LENGTH)[keys]
        arena = self._arena[ranges(self._of_key(_START)[keys], lengths)]
        self._arena, self._end = arena, len(arena)
        self._of_key(_START)[keys] = np.cumsum(lengths) - lengths
        self._of_key(_ROOM)[keys] = lengths
        self._of_row(_PLACE)[arena] = np.arange(len(arena))

    def arrays(self) -> dict[str, Array]:
        return {"arena": self._arena[: self._end]} | nest(rows=self._rows, keys=self._keys)

    def restore(self, arrays: Arrays) -> None:
        self._arena = arrays["arena"]
        self._end = len(self._arena)
        unnest(arrays, rows=self._rows, keys=self._keys)
