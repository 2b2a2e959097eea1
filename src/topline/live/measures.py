"""The measures of an aggregate: how each keeps its part of a group's row, given the group's changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from topline.errors import ModelHalted
from topline.live.arrays import NULL, Array, Arrays, Groups, Ints, group_rows, nest, take, unnest
from topline.live.interner import Interner
from topline.live.rowstore import RowStore
from topline.live.sortedindex import Sort, SortedIndex
from topline.models.plan import Measure as MeasurePlan
from topline.schema import MONEY_LIMIT, Type

_SAFE = 2**62


@dataclass(frozen=True, slots=True)
class Touched:
    """What a batch does to groups. rows: their numbers; groups: which changes belong to which of them; weights: of changes."""

    rows: Ints
    groups: Groups
    weights: Ints


class Measure:
    """Keeps some columns in the aggregate's own row store: `blank` is what a new group has in them, the value first."""

    blank: tuple[int, ...] = (0,)

    def __init__(self, plan: MeasurePlan) -> None:
        self.plan = plan
        self.rows_read = 0

    def fold(self, state: list[Ints], touched: Touched, values: Ints) -> None:
        """Bring the groups' columns (`state`, written at touched.rows) up to date. `values`: the argument, one a change."""
        raise NotImplementedError

    def result(self, state: list[Ints]) -> Ints:
        """What SQL sees, from some groups' columns."""
        return state[0]

    @property
    def nbytes(self) -> int:
        return 0

    def arrays(self) -> dict[str, Array]:
        return {}

    def restore(self, arrays: Arrays) -> None:
        """The reverse of `arrays`."""


class Count(Measure):
    """COUNT(*) and COUNT(column)."""

    def fold(self, state: list[Ints], touched: Touched, values: Ints) -> None:
        counted = touched.weights if self.plan.argument is None else np.where(values == NULL, 0, touched.weights)
        state[0][touched.rows] += touched.groups.sums(counted)


class Sum(Measure):
    """The sum in units and, beside it, how many values are not NULL. Past the type's range the model halts."""

    blank = (0, 0)

    def __init__(self, plan: MeasurePlan, type_: Type) -> None:
        super().__init__(plan)
        self._type = type_
        self._limit = MONEY_LIMIT if type_ is Type.DECIMAL else 2**63

    def fold(self, state: list[Ints], touched: Touched, values: Ints) -> None:
        null = values == NULL
        state[1][touched.rows] += touched.groups.sums(np.where(null, 0, touched.weights))
        state[0][touched.rows] = self._added(state[0][touched.rows], np.where(null, 0, values), touched)

    def _added(self, old: Ints, values: Ints, touched: Touched) -> Ints:
        if _largest(old) + _largest(values) * int(np.abs(touched.weights).sum()) < _SAFE:
            sums: Array = old + touched.groups.sums(values * touched.weights)
        else:  # Python's integers do not wrap
            sums = old.astype(object) + touched.groups.sums(values.astype(object) * touched.weights.astype(object))
        beyond = np.flatnonzero((sums >= self._limit) | (sums <= -self._limit))
        if len(beyond):
            raise ModelHalted(
                f"the sum of {self.plan.argument} overflows {self._type}: a group reaches {sums[beyond[0]]} units, allowed is "
                f"less than {self._limit}; correct the values at the source, or sum over finer groups"
            )
        return sums.astype(np.int64)

    def result(self, state: list[Ints]) -> Ints:
        return np.where(state[1] == 0, NULL, state[0])


class Extreme(Measure):
    """MIN or MAX: an ordered index holds each group's values; its first is read only where the extreme itself was lost."""

    blank = (NULL,)

    def __init__(self, plan: MeasurePlan, type_: Type, interner: Interner) -> None:
        super().__init__(plan)
        self._interner = interner
        self._sort = sort = Sort(text=type_ is Type.TEXT, descending=plan.function == "max", nulls_first=plan.function == "min")
        self._index = SortedIndex([sort], interner)

    def fold(self, state: list[Ints], touched: Touched, values: Ints) -> None:
        known = np.flatnonzero(values != NULL)
        group = touched.rows[touched.groups.inverse()]
        (group, inner), weights = self._index.update([group[known], values[known]], touched.weights[known])
        held = self._sort.outside_in(state[0][group])
        sign = self._sort.compare(inner, held, self._interner)
        lost = np.unique(group[(weights < 0) & (sign == 0)])
        better = np.flatnonzero((weights > 0) & ((sign < 0) | (state[0][group] == NULL)))
        better = better[np.unique(group[better], return_index=True)[1]]  # the change is sorted: the first is the best
        state[0][group[better]] = self._sort.inside_out(inner[better])
        self._refill(state, lost)

    def _refill(self, state: list[Ints], rows: Ints) -> None:
        which, (extreme,) = self._index.first(rows, 1)
        self.rows_read += len(which)
        state[0][rows] = NULL
        state[0][rows[which]] = extreme

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
        self._values = RowStore(3, 2, [Type.BIGINT, type_])  # group, value; weight

    def fold(self, state: list[Ints], touched: Touched, values: Ints) -> None:
        known = np.flatnonzero(values != NULL)
        if not len(known):
            return
        keys = [touched.rows[touched.groups.inverse()][known], values[known]]
        pairs = group_rows(keys, len(known))
        weights = pairs.sums(touched.weights[known])
        turned = self._turn(take(keys, pairs.first), weights)
        np.add.at(state[0], keys[0][pairs.first], turned)

    def _turn(self, keys: Sequence[Ints], weights: Ints) -> Ints:
        """Bring the counts of distinct pairs up to date; gives +1 where a value came into its group, -1 where it left."""
        rows = self._values.find(keys)
        held, fresh = np.flatnonzero(rows >= 0), np.flatnonzero((rows < 0) & (weights != 0))
        self.rows_read += len(held)
        left = self._values.columns[2][rows[held]] + weights[held]
        self._values.columns[2][rows[held]] = left
        turned = np.zeros(len(weights), np.int64)
        turned[held[left == 0]] = -1
        turned[fresh] = 1
        self._values.remove(rows[held[left == 0]])
        self._values.add([*take(keys, fresh), weights[fresh]])
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


def _largest(values: Ints) -> int:
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0
