"""GROUP BY and SELECT DISTINCT: a row a group, which goes when the group has no rows."""

from collections.abc import Sequence

import numpy as np

from topline.live.arrays import EMPTY, Array, Arrays, Columns, Flags, Ints, group_rows, nest, take, unnest
from topline.live.delta import Delta
from topline.live.interner import Interner
from topline.live.measures import Measure, Touched, make
from topline.live.operator import Operator, places
from topline.live.rowstore import RowStore, narrow
from topline.models.plan import Aggregate
from topline.models.plan import Measure as MeasurePlan
from topline.schema import Type


class AggregateOperator(Operator):
    """A group's row in the store: the group's columns, how many input rows it has, then each measure's columns.

    A count that stands there already is not kept twice: COUNT(*) is the input rows, COUNT(x) stands beside SUM(x).
    """

    def __init__(self, node: Aggregate, interner: Interner) -> None:
        super().__init__(node)
        self._group = places(node.input, node.group_by)
        self._width = len(self._group)
        types = {column.name: column.type for column in node.input.columns}
        self._measures = [
            make(plan, types[plan.argument] if plan.argument else Type.BIGINT, interner) for plan in node.measures
        ]
        self._arguments = [places(node.input, [plan.argument])[0] if plan.argument else None for plan in node.measures]
        self._own, self._places = _places(self._width + 1, node.measures, self._measures)
        self._blank = np.array([0, *(value for number in self._own for value in self._measures[number].blank)])
        self._store = RowStore([*narrow([types[name] for name in node.group_by]), *[False] * len(self._blank)], self._width)

    def step(self, inputs: Sequence[Delta]) -> Delta:
        delta = inputs[0]
        if not len(delta):
            return Delta.empty(len(self.node.columns))
        keys = delta.columns[self._group]
        groups = group_rows(keys)
        rows, old = self._open(take(keys, groups.first))
        lost = self.results(rows[old])
        self.rows_read += int(old.sum())
        self._fold(delta, Touched(rows, groups, delta.weights))
        filled = self._store.get(self._width, rows) != 0
        gained = self.results(rows[filled])
        self._store.remove(rows[~filled])
        return _changed(lost, gained, old, filled)

    def _open(self, keys: Columns) -> tuple[Ints, Flags]:
        """The numbers of these groups' rows, new ones blank, and which of them were there."""
        rows = self._store.find(keys)
        old = rows >= 0
        if not old.all():
            fresh = np.flatnonzero(~old)
            blank = np.repeat(self._blank[:, None], len(fresh), axis=1)
            rows[fresh] = self._store.add(np.concatenate([take(keys, fresh), blank]))
        return rows, old

    def _fold(self, delta: Delta, touched: Touched) -> None:
        self._store.add_to(self._width, touched.rows, touched.groups.sums(touched.weights))
        for number in self._own:
            measure, argument = self._measures[number], self._arguments[number]
            before = measure.rows_read
            values = delta.columns[argument] if argument is not None else EMPTY
            measure.fold(self._store, self._places[number], touched, values)
            self.rows_read += measure.rows_read - before

    def find(self, keys: Columns) -> Ints:
        """The number of each group's row, -1 where there is none."""
        return self._store.find(keys)

    def numbers(self) -> Ints:
        """Of all groups' rows."""
        return self._store.rows()

    def results(self, rows: Ints) -> Columns:
        """What these groups' rows say, in the columns' order."""
        state = self._store.take(rows)
        results = np.empty((len(self.node.columns), len(rows)), np.int64)
        results[: self._width] = state[: self._width]
        for number, (place, measure) in enumerate(zip(self._places, self._measures, strict=True), self._width):
            results[number] = measure.result(state[place : place + len(measure.blank)])
        return results

    @property
    def state_rows(self) -> int:
        return len(self._store)

    @property
    def nbytes(self) -> int:
        return self._store.nbytes + sum(measure.nbytes for measure in self._measures)

    def _parts(self) -> dict[str, Measure]:
        return {f"measure{place}": measure for place, measure in enumerate(self._measures)}

    def arrays(self) -> dict[str, Array]:
        return nest(store=self._store, **self._parts())

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, store=self._store, **self._parts())


def _places(begin: int, plans: Sequence[MeasurePlan], measures: Sequence[Measure]) -> tuple[list[int], list[int]]:
    """The measures with columns of their own, the first of which is `begin`; and where each measure's columns stand."""
    summed = {plan.argument for plan in plans if plan.function == "sum"} | {None}
    own = [number for number, plan in enumerate(plans) if plan.function != "count" or plan.argument not in summed]
    counts: dict[str | None, int] = {None: begin - 1}
    places, place = {}, begin
    for number in own:
        places[number] = place
        if plans[number].function == "sum":
            counts[plans[number].argument] = place + 1
        place += len(measures[number].blank)
    return own, [places[number] if number in places else counts[plan.argument] for number, plan in enumerate(plans)]


def _changed(lost: Columns, gained: Columns, old: Flags, filled: Flags) -> Delta:
    """The groups' rows lost and gained without those that are as before. old, filled: of which groups these rows are."""
    both = old & filled
    before, after = np.flatnonzero(both[old]), np.flatnonzero(both[filled])
    same = (take(lost, before) == take(gained, after)).all(axis=0)
    out, into = np.ones(lost.shape[1], np.bool_), np.ones(gained.shape[1], np.bool_)
    out[before], into[after] = ~same, ~same
    return Delta.of(take(lost, np.flatnonzero(out)), take(gained, np.flatnonzero(into)), settled=True)
