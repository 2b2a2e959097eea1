"""Weighted rows in order, cut into small blocks: the first rows of a group are read without touching the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from topline.live.arrays import EMPTY, Array, Arrays, Columns, Ints, Stack, grown, matrix, ranges
from topline.live.interner import Interner
from topline.live.kernels import ordered as kernels
from topline.live.kernels import rows as row_kernels
from topline.live.kernels.shapes import BLOCK, DESCENDING, NULLS_FIRST, TEXT, Words
from topline.live.rowstore import layout_of, narrow, words_of
from topline.schema import Type

_FILL = 56  # rows that a new block gets


@dataclass(frozen=True, slots=True)
class Sort:
    """How a column is ordered; text by UTF-8 bytes, or by its codes where any order will do."""

    type: Type
    descending: bool = False
    nulls_first: bool = False
    by_code: bool = False

    @property
    def flags(self) -> int:
        """As the kernels take it."""
        text = TEXT if self.type is Type.TEXT and not self.by_code else 0
        return text | DESCENDING * self.descending | NULLS_FIRST * self.nulls_first


class SortedIndex:
    """A Z-set of rows (group, columns...) sorted by group, then by `sorts`, which cover all the other columns.

    A group is a number of at most 31 bits. Block b holds rows b * BLOCK to b * BLOCK + fill[b]; `order` lists the blocks in
    the rows' order. Inserts merge into the blocks that they touch; a block that overflows is cut. A batch of n rows costs
    n log n comparisons, and where blocks are cut what stands behind them in `order` is moved (8 bytes for some 50 rows).
    """

    def __init__(self, sorts: Sequence[Sort], interner: Interner) -> None:
        self._sorts = np.array([0, *(sort.flags for sort in sorts)])
        self._layout = layout_of([True, *narrow([sort.type for sort in sorts]), True])  # the last one: the weight
        self._interner = interner
        self._words: Words = np.empty((0, words_of(self._layout)), np.int32)
        self._fill = EMPTY
        self._free = Stack()
        self._reset()
        self.rows_read = 0

    def _reset(self) -> None:
        self._order = self._places = EMPTY  # the latter has room for more
        self._blocks, self._free, self._count = 0, Stack(), 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return self._words[: self._blocks * BLOCK].nbytes + 16 * self._blocks

    def first(self, groups: Ints, limit: int) -> tuple[Ints, Columns]:
        """The first `limit` rows of each group: which of `groups`, and the columns after the group, in order."""
        if not self._count:
            return EMPTY, np.empty((len(self._sorts) - 1, 0), np.int64)
        which, rows = kernels.first(self._words, self._order, self._fill, self._layout, groups, limit, self._count)
        self.rows_read += len(rows)
        return which, row_kernels.take(self._words, self._layout[1:-1], rows)

    def update(self, groups: Ints, columns: Columns, weights: Ints) -> None:
        """Bring in a change, settled or not. No row's weight may fall below 0."""
        if not len(weights):
            return
        rows = np.empty((len(weights), self._words.shape[1]), np.int32)
        row_kernels.put(rows, self._layout, np.arange(len(weights)), matrix([groups, *columns, weights], len(weights)))
        turn = self._sorted(rows)
        if len(self._order):
            self._merge(rows, turn, self._blocks_of(rows, turn))
        else:
            self._reset()
            self._load(rows, turn)

    def _blocks_of(self, rows: Words, turn: Ints) -> Ints:
        texts = self._interner.texts
        return kernels.blocks(rows, turn, self._words, self._order, self._layout, self._sorts, *texts)

    def _sorted(self, rows: Words) -> Ints:
        """The permutation that sorts rows."""
        arguments = (rows, self._layout, self._sorts, *self._interner.texts)
        leads = kernels.leads(*arguments)
        turn = kernels.order(leads)
        kernels.settle(turn, leads, *arguments)
        return turn

    def _load(self, rows: Words, turn: Ints) -> None:
        """Fill the empty index: all of it goes into one block, which is cut."""
        self._order = self._places = self._allocate(1)
        self._fill[self._order] = 0
        self._merge(rows, turn, np.zeros(len(turn), np.int64))

    def _merge(self, rows: Words, turn: Ints, own: Ints) -> None:
        """Bring each row into the block (its number in `order`) that is its own."""
        merged, numbers, sizes, more, right = kernels.merge(
            rows, turn, own, self._words, self._order, self._fill, self._layout, self._sorts, *self._interner.texts
        )
        assert right, "a row is retracted that was never there, or is there more than 2^31 - 1 times"
        self._count += more
        if len(numbers):
            self._replace(numbers, sizes, merged)

    def _replace(self, touched: Ints, sizes: Ints, rows: Words) -> None:
        """Write the merged rows back, `sizes` a touched block, cutting the large and dropping the empty."""
        ids = self._order[touched]
        pieces, cuts = _cut(sizes)
        if (pieces == 1).all():
            self._put(ids, cuts, rows)
            return
        self._fill[ids] = 0
        self._free.push(ids[pieces == 0])
        targets = np.full(len(cuts), -1)
        targets[(np.cumsum(pieces) - pieces)[pieces > 0]] = ids[pieces > 0]  # the first piece stays in its block
        others = np.flatnonzero(targets < 0)
        targets[others] = self._allocate(len(others))
        self._put(targets, cuts, rows)
        used = len(self._order)
        self._places = grown(self._places, used, used + len(cuts))
        self._order = self._places[: kernels.splice(self._places, used, touched, pieces, targets)]
        self._compact()

    def _allocate(self, count: int) -> Ints:
        reused = self._free.pop(count)
        fresh = np.arange(self._blocks, self._blocks + count - len(reused))
        used, self._blocks = self._blocks, self._blocks + len(fresh)
        self._words = grown(self._words, used * BLOCK, self._blocks * BLOCK)
        self._fill = grown(self._fill, used, self._blocks)
        return np.concatenate([reused, fresh])

    def _put(self, ids: Ints, sizes: Ints, rows: Words) -> None:
        kernels.place(self._words, ids, rows, sizes)
        self._fill[ids] = sizes

    def _rows(self) -> Words:
        """All rows, in order."""
        return self._words[ranges(self._order * BLOCK, self._fill[self._order])]

    def _compact(self) -> None:
        """Pack the blocks when, on the average, they are less than an eighth full."""
        if len(self._order) >= 64 and self._count * 8 < len(self._order) * BLOCK:
            self._restore(self._rows())

    def _restore(self, rows: Words) -> None:
        self._reset()
        if len(rows):
            self._load(rows, np.arange(len(rows)))

    def arrays(self) -> dict[str, Array]:
        return {"rows": self._rows()}

    def restore(self, arrays: Arrays) -> None:
        self._restore(arrays["rows"])


def _cut(sizes: Ints) -> tuple[Ints, Ints]:
    """How many blocks each run of rows takes, and the size of each of these: even, and one block where it fits."""
    pieces = np.where(sizes > BLOCK, -(-sizes // _FILL), (sizes > 0).astype(np.int64))
    sizes, runs = sizes[pieces > 0], pieces[pieces > 0]
    each, spare = sizes // runs, sizes % runs
    number = ranges(np.zeros(len(runs), np.int64), runs)
    return pieces, np.repeat(each, runs) + (number < np.repeat(spare, runs))
