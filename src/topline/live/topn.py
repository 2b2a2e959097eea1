"""The first N rows of each partition, with their rank, from an ordered index of all rows."""

from collections.abc import Sequence

import numpy as np

from topline.live.arrays import Array, Arrays, Ints, group_rows, nest, take, unnest
from topline.live.delta import Delta
from topline.live.interner import Interner
from topline.live.operator import Operator, places
from topline.live.rowstore import RowStore
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
        types = [column.type for column in node.input.columns]
        sorts = [
            Sort(types[place] is Type.TEXT, order.descending, order.nulls_first)
            for place, order in zip(ordered, node.order_by, strict=True)
        ]
        rest = [Sort(nulls_first=True) for _ in self._columns[len(ordered) :]]  # any order settles a tie that cannot be
        self._index = SortedIndex([*sorts, *rest], interner)
        key = max(1, len(self._partition))
        self._partitions = RowStore(key + 1, key, [types[place] for place in self._partition])

    def step(self, inputs: Sequence[Delta]) -> Delta:
        delta = inputs[0].settle()
        if not len(delta):
            return Delta.empty(len(self.node.columns))
        keys = self._keys(delta)
        groups = group_rows(keys, len(delta))
        numbers = self._open(take(keys, groups.first), groups.sums(delta.weights))
        before = self._first(numbers)
        self._index.update([numbers[groups.inverse()], *take_places(delta.columns, self._columns)], delta.weights)
        after = self._first(numbers)
        self._partitions.remove(numbers[self._partitions.columns[-1][numbers] == 0])
        return Delta.of(before, after).settle()

    def _keys(self, delta: Delta) -> list[Ints]:
        return take_places(delta.columns, self._partition) or [np.zeros(len(delta), np.int64)]  # one partition: all rows

    def _open(self, keys: list[Ints], more: Ints) -> Ints:
        """The partitions' numbers; each keeps how many rows it has."""
        numbers = self._partitions.find(keys)
        fresh = np.flatnonzero(numbers < 0)
        numbers[fresh] = self._partitions.add([*take(keys, fresh), np.zeros(len(fresh), np.int64)])
        self._partitions.columns[-1][numbers] += more
        return numbers

    def _first(self, numbers: Ints) -> list[Ints]:
        """The first rows of these partitions in the input's order of columns, and their rank."""
        read = self._index.rows_read
        which, arranged = self._index.first(numbers, self._limit)
        self.rows_read += self._index.rows_read - read
        columns = [which] * len(self._columns)
        for place, column in zip(self._columns, arranged, strict=True):
            columns[place] = column
        begins = np.searchsorted(which, which)
        return [*columns, np.arange(1, len(which) + 1) - begins]

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


def take_places(columns: Sequence[Ints], chosen: Sequence[int]) -> list[Ints]:
    return [columns[place] for place in chosen]
