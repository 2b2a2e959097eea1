"""Weighted rows (a Z-set's change): what travels between the operators of the live engine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from topline.live.arrays import EMPTY, Ints, group_rows, take


@dataclass(frozen=True, slots=True)
class Delta:
    """`columns` of equal length and a weight a row: +1 gained, -1 lost. `settled`: no row is there twice, no weight is 0."""

    columns: list[Ints]
    weights: Ints
    settled: bool = False

    def __len__(self) -> int:
        return len(self.weights)

    @classmethod
    def empty(cls, width: int) -> "Delta":
        return cls([EMPTY] * width, EMPTY, settled=True)

    @classmethod
    def of(cls, lost: Sequence[Ints], gained: Sequence[Ints], *, settled: bool = False) -> "Delta":
        """Rows lost once and rows gained once."""
        columns = [np.concatenate(pair) for pair in zip(lost, gained, strict=True)]
        weights = np.ones(len(columns[0]), np.int64)
        weights[: len(lost[0])] = -1
        return cls(columns, weights, settled)

    def rows(self, index: Ints) -> "Delta":
        """Some of the rows."""
        return Delta(take(self.columns, index), self.weights[index], self.settled)

    def settle(self) -> "Delta":
        """The same change with equal rows summed up and without those that cancel out."""
        if self.settled:
            return self
        groups = group_rows(self.columns, len(self))
        if len(groups.starts) == len(self):
            kept = np.flatnonzero(self.weights)
            whole = len(kept) == len(self)
            return Delta(self.columns if whole else take(self.columns, kept), self.weights[kept], settled=True)
        weights = groups.sums(self.weights)
        kept = np.flatnonzero(weights)
        return Delta(take(self.columns, groups.first[kept]), weights[kept], settled=True)


def merge(deltas: Sequence[Delta], width: int) -> Delta:
    """All of these changes as one."""
    filled = [delta for delta in deltas if len(delta)]
    if not filled:
        return Delta.empty(width)
    if len(filled) == 1:
        return filled[0]
    columns = [np.concatenate([delta.columns[place] for delta in filled]) for place in range(width)]
    return Delta(columns, np.concatenate([delta.weights for delta in filled]))
