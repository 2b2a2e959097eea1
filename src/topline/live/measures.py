"""The measures of an aggregate: how each keeps its part of a group's row, given the group's changes."""

from dataclasses import dataclass

import numpy as np

from topline.errors import ModelHalted
from topline.live.arrays import NULL, Array, Arrays, Columns, Groups, Ints, group_rows, nest, take, unnest
from topline.live.interner import Interner
from topline.live.kernels import groups as kernels
from topline.live.rowstore import RowStore, narrow
from topline.live.sortedindex import Sort, SortedIndex
from topline.models.plan import Measure as MeasurePlan
from topline.schema import MONEY_LIMIT, Type


@dataclass(frozen=True, slots=True)
class Touched:
    """What a batch does to groups. rows: their numbers; groups: which changes belong to which of them; weights: of changes."""

    rows: Ints
    groups: Groups
    weights: Ints

    def row_of_each(self) -> Ints:
        """The number of each change's group."""
        rows: Ints = self.rows[self.groups.numbers]
        return rows


class Measure:
    """Keeps some columns in the aggregate's own row store: `blank` is what a new group has in them, the value first."""

    blank: tuple[int, ...] = (0,)

    def __init__(self, plan: MeasurePlan) -> None:
        self.plan = plan
        self.rows_read = 0

    def fold(self, store: RowStore, place: int, touched: Touched, values: Ints) -> None:
        """Bring the groups' columns, from `place` on, up to date. `values`: the argument, one a change."""
        raise NotImplementedError

    def result(self, state: Columns) -> Ints:
        """What SQL sees, from some groups' columns."""
        value: Ints = state[0]
        return value

    @property
    def nbytes(self) -> int:
        return 0

    def arrays(self) -> dict[str, Array]:
        return {}

    def restore(self, arrays: Arrays) -> None:
        """The reverse of `arrays`."""


class Count(Measure):
    """COUNT(*) and COUNT(column)."""

    def fold(self, store: RowStore, place: int, touched: Touched, values: Ints) -> None:
        counted = touched.weights if self.plan.argument is None else np.where(values == NULL, 0, touched.weights)
        store.add_to(place, touched.rows, touched.groups.sums(counted))


class Sum(Measure):
    """The sum in units and, beside it, how many values are not NULL. Past the type's range the model halts."""

    blank = (0, 0)

    def __init__(self, plan: MeasurePlan, type_: Type) -> None:
        super().__init__(plan)
        self._type = type_
        self._limit = MONEY_LIMIT if type_ is Type.DECIMAL else 2**63

    def fold(self, store: RowStore, place: int, touched: Touched, values: Ints) -> None:
        high, low, known = kernels.wide_sums(touched.groups.numbers, len(touched.groups), values, touched.weights)
        old = store.get(place, touched.rows)
        high += (old >> 32) + ((low + (old & 0xFFFFFFFF)) >> 32)
        low = (low + (old & 0xFFFFFFFF)) & 0xFFFFFFFF
        self._check(high, low)
        store.put(place, touched.rows, ((high << 32) | low)[None])
        store.add_to(place + 1, touched.rows, known)

    def _check(self, high: Ints, low: Ints) -> None:
        """high * 2^32 + low must be a value of the type."""
        limit = self._limit
        above = (high > limit >> 32) | ((high == limit >> 32) & (low >= limit & 0xFFFFFFFF))
        below = (high < -limit >> 32) | ((high == -limit >> 32) & (low <= -limit & 0xFFFFFFFF))
        beyond = np.flatnonzero(above | below)
        if len(beyond):
            reached = (int(high[beyond[0]]) << 32) + int(low[beyond[0]])
            raise ModelHalted(
                f"the sum of {self.plan.argument} overflows {self._type}: a group reaches {reached} units, allowed is "
                f"less than {limit}; correct the values at the source, or sum over finer groups"
            )

    def result(self, state: Columns) -> Ints:
        return np.where(state[1] == 0, NULL, state[0])


class Extreme(Measure):
    """MIN or MAX: an ordered index holds each group's values, of which the first is read after each change."""

    blank = (NULL,)

    def __init__(self, plan: MeasurePlan, type_: Type, interner: Interner) -> None:
        super().__init__(plan)
        self._index = SortedIndex([Sort(type_, descending=plan.function == "max")], interner)

    def fold(self, store: RowStore, place: int, touched: Touched, values: Ints) -> None:
        known = np.flatnonzero(values != NULL)
        self._index.update(touched.row_of_each()[known], values[known][None], touched.weights[known])
        which, extremes = self._index.first(touched.rows, 1)
        self.rows_read += len(which)
        results = np.full((1, len(touched.rows)), NULL)
        results[0, which] = extremes[0]
        store.put(place, touched.rows, results)

    @property
    def nbytes(self) -> int:
        return self._index.nbytes

    def arrays(self) -> dict[str, Array]:
        return nest(index=self._index)

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, index=self._index)


class CountDistinct(Measure):
    """Two levels of counts: how often each value is in its group, and how many values a group has."""

    def __init__(self, plan: MeasurePlan, type_: Type) -> None:
        super().__init__(plan)
        self._values = RowStore([True, *narrow([type_]), False], 2)  # group, value; weight

    def fold(self, store: RowStore, place: int, touched: Touched, values: Ints) -> None:
        known = np.flatnonzero(values != NULL)
        if not len(known):
            return
        keys = np.stack([touched.row_of_each()[known], values[known]])
        pairs = group_rows(keys)
        keys = take(keys, pairs.first)
        store.add_to(place, keys[0], self._turn(keys, pairs.sums(touched.weights[known])))

    def _turn(self, keys: Columns, weights: Ints) -> Ints:
        """Bring the counts of distinct pairs up to date; gives +1 where a value came into its group, -1 where it left."""
        rows = self._values.find(keys)
        held, fresh = np.flatnonzero(rows >= 0), np.flatnonzero((rows < 0) & (weights != 0))
        self.rows_read += len(held)
        emptied = held[self._values.add_to(2, rows[held], weights[held]) == 0]
        turned = np.zeros(len(weights), np.int64)
        turned[emptied] = -1
        turned[fresh] = 1
        self._values.remove(rows[emptied])
        self._values.add(np.concatenate([take(keys, fresh), weights[fresh][None]]))
        return turned

    @property
    def nbytes(self) -> int:
        return self._values.nbytes

    def arrays(self) -> dict[str, Array]:
        return nest(values=self._values)

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, values=self._values)


def make(plan: MeasurePlan, type_: Type, interner: Interner) -> Measure:
    """`type_`: of the argument."""
    if plan.function == "count":
        return Count(plan)
    if plan.function == "sum":
        return Sum(plan, type_)
    if plan.function == "count_distinct":
        return CountDistinct(plan, type_)
    return Extreme(plan, type_, interner)
