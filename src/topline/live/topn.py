"""The first N rows of each partition, with their rank, from an ordered index of all rows."""

from collections.abc import Sequence

import numpy as np

from topline.live.arrays import Array, Arrays, Columns, Ints, group_rows, nest, take, unnest
from topline.live.delta import Delta
from topline.live.interner import Interner
from topline.live.operator import Operator, places
from topline.live.rowstore import RowStore, narrow
from topline.live.sortedindex import Sort, SortedIndex
from topline.models.plan import TopN
from topline.schema import Type


class TopNOperator(Operator):
    """The index holds (partition's number, order columns, other columns); a batch reads a touched partition's first N twice."""

    def __init__(self, node: TopN, interner: Interner) -> None:
        super().__init__(node)
        self._limit = node.limit
        self._partition = places(node.input, node.partition_by)
        ordered = places(node.input, [order.column for order in node.order_by])
        self._columns = ordered + [place for place in range(len(node.input.columns)) if place not in ordered]
        self._inverse = [self._columns.index(place) for place in range(len(node.input.columns))]
        types = [column.type for column in node.input.columns]
        sorts = [
            Sort(types[place], order.descending, order.nulls_first) for place, order in zip(ordered, node.order_by, strict=True)
        ]
        rest = [Sort(types[place], by_code=True) for place in self._columns[len(ordered) :]]  # settles a tie that cannot be
        self._index = SortedIndex([*sorts, *rest], interner)
        key = max(1, len(self._partition))
        self._partitions = RowStore([*narrow([types[place] for place in self._partition] or [Type.BOOLEAN]), False], key)

    def step(self, inputs: Sequence[Delta]) -> Delta:
        delta = inputs[0].settle()
        if not len(delta):
            return Delta.empty(len(self.node.columns))
        keys = self._keys(delta)
        groups = group_rows(keys)
        numbers, left = self._open(take(keys, groups.first), groups.sums(delta.weights))
        before = self._first(numbers)
        self._index.update(numbers[groups.numbers], delta.columns[self._columns], delta.weights)
        after = self._first(numbers)
        self._partitions.remove(numbers[left == 0])
        return self._changed(before, after)

    def _keys(self, delta: Delta) -> Columns:
        if self._partition:
            return delta.columns[self._partition]
        return np.zeros((1, len(delta)), np.int64)  # one partition: all rows

    def _open(self, keys: Columns, more: Ints) -> tuple[Ints, Ints]:
        """The partitions' numbers, and how many rows each of them will have."""
        numbers = self._partitions.find(keys)
        fresh = np.flatnonzero(numbers < 0)
        numbers[fresh] = self._partitions.add(np.concatenate([take(keys, fresh), np.zeros((1, len(fresh)), np.int64)]))
        return numbers, self._partitions.add_to(len(keys), numbers, more)

    def _first(self, numbers: Ints) -> tuple[Ints, Columns]:
        """The first rows of these partitions: the place of each (partition and rank), and its columns as the index has them."""
        read = self._index.rows_read
        which, columns = self._index.first(numbers, self._limit)
        self.rows_read += self._index.rows_read - read
        rank = np.arange(len(which)) - np.searchsorted(which, which)
        return which * self._limit + rank, columns

    def _changed(self, before: tuple[Ints, Columns], after: tuple[Ints, Columns]) -> Delta:
        """Rows have their rank, so that a row before equals one after only in the same place."""
        _, both_before, both_after = np.intersect1d(before[0], after[0], assume_unique=True, return_indices=True)
        same = (take(before[1], both_before) == take(after[1], both_after)).all(axis=0)
        return Delta.of(self._without(before, both_before[same]), self._without(after, both_after[same]), settled=True)

    def _without(self, first: tuple[Ints, Columns], same: Ints) -> Columns:
        """What is left without these, in the input's order of columns, with the rank."""
        left = np.delete(np.arange(len(first[0])), same)
        columns = take(first[1], left)[self._inverse]
        return np.concatenate([columns, (first[0][left] % self._limit + 1)[None]])

    @property
    def state_rows(self) -> int:
        return len(self._index)

    @property
    def nbytes(self) -> int:
        return self._index.nbytes + self._partitions.nbytes

    def arrays(self) -> dict[str, Array]:
        return nest(index=self._index, partitions=self._partitions)

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, index=self._index, partitions=self._partitions)
