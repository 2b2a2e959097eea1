"""Weighted rows in order, cut into small blocks: the first rows of a group are read without touching the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from topline.live.arrays import EMPTY, NULL, Array, Arrays, Flags, Ints, Stack, grown, ranges, take
from topline.live.interner import Interner

BLOCK = 64  # rows that a block has room for
_FILL = 48  # rows that a new block gets

Signs = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Sort:
    """How a column is ordered; text by UTF-8 bytes."""

    text: bool = False
    descending: bool = False
    nulls_first: bool = False

    def outside_in(self, values: Ints) -> Ints:
        """Numbers that sort ascending in this order. NULL is the smallest int64, so minus one wraps it to the largest."""
        if self.text:
            return values
        if self.descending:
            return ~(values - 1) if self.nulls_first else ~values
        return values if self.nulls_first else values - 1

    def inside_out(self, values: Ints) -> Ints:
        if self.text:
            return values
        if self.descending:
            return ~values + 1 if self.nulls_first else ~values
        return values if self.nulls_first else values + 1

    def compare(self, left: Ints, right: Ints, interner: Interner) -> Signs:
        """-1, 0, 1 for each pair of `outside_in` numbers."""
        if not self.text:
            difference: Signs = (left > right).astype(np.int8) - (left < right).astype(np.int8)
            return difference
        blank, other = left == NULL, right == NULL
        sign: Signs = other.astype(np.int8) - blank.astype(np.int8)  # NULLs first
        if not self.nulls_first:
            sign = -sign
        both = np.flatnonzero(~blank & ~other)
        settled = interner.compare(left[both], right[both])
        sign[both] = -settled if self.descending else settled
        return sign

    def sortable(self, values: Ints, interner: Interner) -> Ints:
        """Numbers that sort `outside_in` numbers of one batch by plain comparison."""
        if not self.text:
            return values
        return Sort(descending=self.descending, nulls_first=self.nulls_first).outside_in(interner.ranks(values))


class Where(NamedTuple):
    """Places in the index: which block (in order), which row of it, and whether that row is the one asked for."""

    block: Ints
    row: Ints
    equal: Flags


class SortedIndex:
    """A Z-set of rows (group, columns...) sorted by group, then by `sorts`, which cover all the other columns.

    Physically, block b holds rows b * BLOCK to b * BLOCK + fill[b]; `order` lists the blocks in key order. Inserts merge
    into the blocks that they touch; a block that overflows is cut.
    """

    def __init__(self, sorts: Sequence[Sort], interner: Interner) -> None:
        self._sorts = [Sort(nulls_first=True), *sorts]
        self._interner = interner
        self._columns: list[Ints] = [EMPTY for _ in self._sorts]
        self._weights = EMPTY
        self._fill = EMPTY
        self._order = EMPTY
        self._groups = EMPTY  # group of each block's first row, in order
        self._free = Stack()
        self._blocks = 0
        self._count = 0
        self.rows_read = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return 8 * (len(self._columns) + 1) * self._blocks * BLOCK

    # reading

    def first(self, groups: Ints, limit: int) -> tuple[Ints, list[Ints]]:
        """The first `limit` rows of each group: which of `groups`, and the columns after the group, in order."""
        if not self._count:
            return EMPTY, [EMPTY for _ in self._sorts[1:]]
        asked, found = self._walk(groups, limit)
        order = np.argsort(asked, kind="stable")
        asked, found = asked[order], found[order]
        self.rows_read += len(found)
        pairs = zip(self._columns[1:], self._sorts[1:], strict=True)
        return asked, [sort.inside_out(column[found]) for column, sort in pairs]

    def _walk(self, groups: Ints, limit: int) -> tuple[Ints, Ints]:
        """Go from each group's first row through its blocks until the limit or the group's end."""
        start = self._search([groups])
        asking, block, row, wanted = np.arange(len(groups)), start.block, start.row, np.full(len(groups), limit)
        asked, found = [EMPTY], [EMPTY]
        while len(asking):
            here = self._order[block]
            lengths = np.minimum(wanted, self._fill[here] - row)
            rows, who = ranges(here * BLOCK + row, lengths), np.repeat(np.arange(len(asking)), lengths)
            mine = self._columns[0][rows] == groups[asking[who]]
            asked.append(asking[who[mine]])
            found.append(rows[mine])
            taken = np.bincount(who[mine], minlength=len(asking))
            onward = (taken == lengths) & (lengths < wanted) & (block + 1 < len(self._order))
            asking, block, wanted = asking[onward], block[onward] + 1, (wanted - lengths)[onward]
            row = np.zeros(len(asking), np.int64)
        return np.concatenate(asked), np.concatenate(found)

    # searching

    def _search(self, wanted: list[Ints]) -> Where:
        """The first row that is not below each of `wanted` (a prefix of the columns)."""
        block = self._search_blocks(wanted)
        base = self._order[block] * BLOCK
        low, high = np.zeros(len(block), np.int64), self._fill[self._order[block]].copy()
        equal = np.zeros(len(block), np.bool_)
        open_ = np.flatnonzero(low < high)
        while len(open_):
            middle = (low[open_] + high[open_]) >> 1
            sign = self._compare(base[open_] + middle, wanted, open_)
            below = sign < 0
            low[open_[below]] = middle[below] + 1
            high[open_[~below]] = middle[~below]
            equal[open_[sign == 0]] = True
            open_ = open_[low[open_] < high[open_]]
        return Where(block, low, equal)

    def _search_blocks(self, wanted: list[Ints]) -> Ints:
        """The last block whose first row is not above (with all columns) or is below (with a prefix) what is wanted."""
        low = np.maximum(np.searchsorted(self._groups, wanted[0], "left") - 1, 0)
        if len(wanted) == 1:
            return low
        high = np.maximum(np.searchsorted(self._groups, wanted[0], "right") - 1, 0)
        open_ = np.flatnonzero(low < high)
        while len(open_):
            middle = (low[open_] + high[open_] + 1) >> 1
            above = self._compare(self._order[middle] * BLOCK, wanted, open_) > 0
            high[open_[above]] = middle[above] - 1
            low[open_[~above]] = middle[~above]
            open_ = open_[low[open_] < high[open_]]
        return low

    def _compare(self, rows: Ints, wanted: list[Ints], which: Ints) -> Signs:
        """-1, 0, 1: whether each stored row is below, equal to or above wanted[...][which]."""
        sign = np.zeros(len(rows), np.int8)
        open_ = np.arange(len(rows))
        for column, values, sort in zip(self._columns, wanted, self._sorts, strict=False):
            sign[open_] = sort.compare(column[rows[open_]], values[which[open_]], self._interner)
            open_ = open_[sign[open_] == 0]
            if not len(open_):
                break
        return sign

    # writing

    def update(self, columns: Sequence[Ints], weights: Ints) -> tuple[list[Ints], Ints]:
        """Bring in a change, settled or not: (group, columns...) with weights. No row's weight may fall below 0.

        Gives the change as it was brought in: settled, sorted, in `outside_in` numbers.
        """
        if not len(weights):
            return [EMPTY for _ in self._sorts], EMPTY
        inner = [sort.outside_in(column) for column, sort in zip(columns, self._sorts, strict=True)]
        inner, weights = _arrange(inner, weights, self._sorts, self._interner)
        if not self._count:
            self._reset()
            self._load(inner, weights)
            return inner, weights
        where = self._search(inner)
        met, new = np.flatnonzero(where.equal), np.flatnonzero(~where.equal)
        assert (weights[new] > 0).all(), "a row is retracted that was never there"
        rows = self._order[where.block[met]] * BLOCK + where.row[met]
        self._weights[rows] += weights[met]
        emptied = where.block[met[self._weights[rows] == 0]]
        touched = np.unique(np.concatenate([emptied, where.block[new]]))
        if len(touched):
            self._merge(touched, where.block[new], where.row[new], take(inner, new), weights[new])
        return inner, weights

    def _reset(self) -> None:
        self._order, self._groups, self._blocks, self._free = EMPTY, EMPTY, 0, Stack()

    def _load(self, columns: list[Ints], weights: Ints) -> None:
        """Fill the empty index."""
        sizes = _cut(np.array([len(weights)]))[1]
        self._order = self._allocate(len(sizes))
        self._put(self._order, sizes, columns, weights)
        self._groups = self._columns[0][self._order * BLOCK]
        self._count = len(weights)

    def _merge(self, touched: Ints, block: Ints, row: Ints, columns: list[Ints], weights: Ints) -> None:
        """Rewrite the touched blocks: without rows of weight 0, with the new rows before the places `row`."""
        ids = self._order[touched]
        fills = self._fill[ids]
        rows = ranges(ids * BLOCK, fills)
        kept = self._weights[rows] != 0
        before = np.concatenate([[0], np.cumsum(kept)])
        owner = np.searchsorted(touched, block)
        begins = np.cumsum(fills) - fills
        places = before[begins[owner] + row] + np.arange(len(row))
        old = np.ones(int(before[-1]) + len(row), np.bool_)
        old[places] = False
        rows = rows[kept]
        merged = [_interleave(column[rows], new, places, old) for column, new in zip(self._columns, columns, strict=True)]
        mixed = _interleave(self._weights[rows], weights, places, old)
        sizes = before[begins + fills] - before[begins] + np.bincount(owner, minlength=len(touched))
        self._count += len(old) - int(fills.sum())
        self._replace(touched, ids, sizes, merged, mixed)

    def _replace(self, touched: Ints, ids: Ints, sizes: Ints, columns: list[Ints], weights: Ints) -> None:
        """Write the merged rows back, `sizes` a touched block, cutting the large and dropping the empty."""
        pieces, cuts = _cut(sizes)
        own = np.repeat(pieces > 0, pieces)
        own[:] = False
        own[(np.cumsum(pieces) - pieces)[pieces > 0]] = True  # the first piece stays in its block
        self._fill[ids] = 0
        self._free.push(ids[pieces == 0])
        targets = np.empty(len(cuts), np.int64)
        targets[own] = ids[pieces > 0]
        targets[~own] = self._allocate(int((~own).sum()))
        self._put(targets, cuts, columns, weights)
        if (pieces != 1).any():
            self._reorder(touched, pieces, targets)
        else:
            self._groups[touched] = self._columns[0][targets * BLOCK]
        self._compact()

    def _reorder(self, touched: Ints, pieces: Ints, targets: Ints) -> None:
        copies = np.ones(len(self._order), np.int64)
        copies[touched] = pieces
        mine = np.zeros(len(self._order), np.bool_)
        mine[touched] = True
        mine = np.repeat(mine, copies)
        self._order, self._groups = np.repeat(self._order, copies), np.repeat(self._groups, copies)
        self._order[mine] = targets
        self._groups[mine] = self._columns[0][targets * BLOCK]

    def _allocate(self, count: int) -> Ints:
        reused = self._free.pop(count)
        fresh = np.arange(self._blocks, self._blocks + count - len(reused))
        used, self._blocks = self._blocks, self._blocks + len(fresh)
        self._columns = [grown(column, used * BLOCK, self._blocks * BLOCK) for column in self._columns]
        self._weights = grown(self._weights, used * BLOCK, self._blocks * BLOCK)
        self._fill = grown(self._fill, used, self._blocks)
        return np.concatenate([reused, fresh])

    def _put(self, ids: Ints, sizes: Ints, columns: list[Ints], weights: Ints) -> None:
        rows = ranges(ids * BLOCK, sizes)
        for stored, column in zip(self._columns, columns, strict=True):
            stored[rows] = column
        self._weights[rows] = weights
        self._fill[ids] = sizes

    def _compact(self) -> None:
        """Pack the blocks when, on the average, they are less than an eighth full."""
        if len(self._order) < 64 or self._count * 8 > len(self._order) * BLOCK:
            return
        rows = ranges(self._order * BLOCK, self._fill[self._order])
        columns, weights = take(self._columns, rows), self._weights[rows]
        self._reset()
        if len(weights):
            self._load(columns, weights)

    def arrays(self) -> dict[str, Array]:
        rows = ranges(self._order * BLOCK, self._fill[self._order])
        columns = {f"column{place}": column[rows] for place, column in enumerate(self._columns)}
        return columns | {"weights": self._weights[rows]}

    def restore(self, arrays: Arrays) -> None:
        self._reset()
        self._load([arrays[f"column{place}"] for place in range(len(self._columns))], arrays["weights"])


def _arrange(columns: list[Ints], weights: Ints, sorts: Sequence[Sort], interner: Interner) -> tuple[list[Ints], Ints]:
    """Sorted, equal rows summed up."""
    order = sorted_order([sort.sortable(column, interner) for column, sort in zip(columns, sorts, strict=True)])
    fresh = np.zeros(len(order), np.bool_)
    fresh[:1] = True
    for column in columns:
        arranged = column[order]
        fresh[1:] |= arranged[1:] != arranged[:-1]
    starts = np.flatnonzero(fresh)
    sums = np.add.reduceat(weights[order], starts)
    kept = np.flatnonzero(sums)
    return take(columns, order[starts[kept]]), sums[kept]


def sorted_order(keys: Sequence[Ints]) -> Ints:
    """The permutation that sorts by the first key, then the second...; equal rows stand in any order.

    As many keys as fit are packed into one number, which one sort settles; only rows that tie there are sorted further.
    """
    packed, used = _packed(keys)
    order = np.argsort(packed)
    if used == len(keys):
        return order
    arranged = packed[order]
    ties = arranged[1:] == arranged[:-1]
    if not ties.any():
        return order
    tied = np.flatnonzero(np.append(ties, False) | np.append(False, ties))
    rows = order[tied]
    order[tied] = rows[np.lexsort([*(key[rows] for key in reversed(keys[used:])), packed[rows]])]
    return order


def _packed(keys: Sequence[Ints]) -> tuple[Ints, int]:
    """The first keys as one number that sorts alike, and how many of them it holds (the first one always)."""
    packed, room = keys[0], 63 - _bits(keys[0])
    for used, key in enumerate(keys[1:], 1):
        bits = _bits(key)
        if bits > room:
            return packed, used
        packed = ((packed - packed.min()) << bits) + (key - key.min())
        room -= bits
    return packed, len(keys)


def _bits(key: Ints) -> int:
    return (int(key.max()) - int(key.min())).bit_length()


def _interleave(old: Ints, new: Ints, places: Ints, is_old: Flags) -> Ints:
    out = np.empty(len(is_old), np.int64)
    out[places] = new
    out[is_old] = old
    return out


def _cut(sizes: Ints) -> tuple[Ints, Ints]:
    """How many blocks each run of rows takes, and the size of each of these: even, and one block where it fits."""
    pieces = np.where(sizes > BLOCK, -(-sizes // _FILL), (sizes > 0).astype(np.int64))
    sizes, runs = sizes[pieces > 0], pieces[pieces > 0]
    each, spare = sizes // runs, sizes % runs
    number = ranges(np.zeros(len(runs), np.int64), runs)
    return pieces, np.repeat(each, runs) + (number < np.repeat(spare, runs))
