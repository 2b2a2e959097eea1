"""GROUP BY and SELECT DISTINCT: a row a group, which goes when the group has no rows."""

from collections.abc import Sequence

import numpy as np

from topline.live import measures
from topline.live.arrays import EMPTY, Array, Arrays, Flags, Ints, group_rows, nest, take, unnest
from topline.live.delta import Delta
from topline.live.interner import Interner
from topline.live.operator import Operator, places
from topline.live.rowstore import RowStore
from topline.models.plan import Aggregate
from topline.schema import Type


class AggregateOperator(Operator):
    """A group's row in the store: the group's columns, how many input rows it has, then each measure's columns."""

    def __init__(self, node: Aggregate, interner: Interner) -> None:
        super().__init__(node)
        self._group = places(node.input, node.group_by)
        types = {column.name: column.type for column in node.input.columns}
        self._measures = [
            measures.make(plan, types[plan.argument] if plan.argument else Type.BIGINT, interner) for plan in node.measures
        ]
        self._arguments = [places(node.input, [plan.argument])[0] if plan.argument else None for plan in node.measures]
        self._blank = [0, *(value for measure in self._measures for value in measure.blank)]
        group_types = [types[name] for name in node.group_by]
        self._store = RowStore(len(self._group) + len(self._blank), len(self._group), group_types)

    def step(self, inputs: Sequence[Delta]) -> Delta:
        delta = inputs[0]
        if not len(delta):
            return Delta.empty(len(self.node.columns))
        keys = [delta.columns[place] for place in self._group]
        groups = group_rows(keys, len(delta))
        rows, old = self._open(take(keys, groups.first))
        lost = self.results(rows[old])
        self.rows_read += len(lost[0])
        self._fold(delta, measures.Touched(rows, groups, delta.weights))
        filled = self._counts()[rows] != 0
        gained = self.results(rows[filled])
        self._store.remove(rows[~filled])
        return _changed(lost, gained, old, filled)

    def _open(self, keys: list[Ints]) -> tuple[Ints, Flags]:
        """The numbers of these groups' rows, new ones blank, and which of them were there."""
        rows = self._store.find(keys)
        old = rows >= 0
        fresh = np.flatnonzero(~old)
        blank = [np.full(len(fresh), value) for value in self._blank]
        rows[fresh] = self._store.add([*take(keys, fresh), *blank])
        return rows, old

    def _counts(self) -> Ints:
        return self._store.columns[len(self._group)]

    def _fold(self, delta: Delta, touched: measures.Touched) -> None:
        self._counts()[touched.rows] += touched.groups.sums(touched.weights)
        place = len(self._group) + 1
        for measure, argument in zip(self._measures, self._arguments, strict=True):
            before = measure.rows_read
            values = delta.columns[argument] if argument is not None else EMPTY
            measure.fold(self._store.columns[place : place + len(measure.blank)], touched, values)
            self.rows_read += measure.rows_read - before
            place += len(measure.blank)

    def find(self, keys: Sequence[Ints]) -> Ints:
        """The number of each group's row, -1 where there is none."""
        return self._store.find(keys)

    def numbers(self) -> Ints:
        """Of all groups' rows."""
        return self._store.rows()

    def results(self, rows: Ints) -> list[Ints]:
        """What these groups' rows say, in the columns' order."""
        state = self._store.take(rows)
        results, place = state[: len(self._group)], len(self._group) + 1
        for measure in self._measures:
            results.append(measure.result(state[place : place + len(measure.blank)]))
            place += len(measure.blank)
        return results

    @property
    def state_rows(self) -> int:
        return len(self._store)

    @property
    def nbytes(self) -> int:
        return self._store.nbytes + sum(measure.nbytes for measure in self._measures)

    def _parts(self) -> dict[str, measures.Measure]:
        return {f"measure{place}": measure for place, measure in enumerate(self._measures)}

    def arrays(self) -> dict[str, Array]:
        return nest(store=self._store, **self._parts())

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, store=self._store, **self._parts())


def _changed(lost: list[Ints], gained: list[Ints], old: Flags, filled: Flags) -> Delta:
    """The groups' rows lost and gained without those that are as before. old, filled: of which groups these rows are."""
    both = old & filled
    same = np.ones(int(both.sum()), np.bool_)
    before, after = np.flatnonzero(both[old]), np.flatnonzero(both[filled])
    for left, right in zip(lost, gained, strict=True):
        same &= left[before] == right[after]
    out, into = np.ones(len(lost[0]), np.bool_), np.ones(len(gained[0]), np.bool_)
    out[before], into[after] = ~same, ~same
    return Delta.of([column[out] for column in lost], [column[into] for column in gained], settled=True)
