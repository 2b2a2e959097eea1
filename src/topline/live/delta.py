"""Weighted rows (a Z-set's change): what travels between the operators of the live engine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from topline.live.arrays import EMPTY, Columns, Flags, Ints, group_rows, take


@dataclass(frozen=True, slots=True)
class Delta:
    """A matrix of columns and a weight a row: +1 gained, -1 lost. `settled`: no row is there twice, no weight is 0."""

    columns: Columns
    weights: Ints
    settled: bool = False

    def __len__(self) -> int:
        return len(self.weights)

    @classmethod
    def empty(cls, width: int) -> "Delta":
        return cls(np.empty((width, 0), np.int64), EMPTY, settled=True)

    @classmethod
    def of(cls, lost: Columns, gained: Columns, *, settled: bool = False) -> "Delta":
        """Rows lost once and rows gained once."""
        columns = np.concatenate([lost, gained], axis=1)
        weights = np.ones(columns.shape[1], np.int64)
        weights[: lost.shape[1]] = -1
        return cls(columns, weights, settled)

    def rows(self, index: Ints) -> "Delta":
        """Some of the rows."""
        return Delta(take(self.columns, index), self.weights[index], self.settled)

    def where(self, flags: Flags) -> "Delta":
        """The rows with a flag."""
        return self if flags.all() else self.rows(np.flatnonzero(flags))

    def pick(self, places: Sequence[int]) -> "Delta":
        """Some of the columns, of which rows may be equal now."""
        if list(places) == list(range(len(self.columns))):
            return self
        return Delta(self.columns[list(places)], self.weights)

    def settle(self) -> "Delta":
        """The same change with equal rows summed up and without those that cancel out."""
        if self.settled:
            return self
        groups = group_rows(self.columns)
        if len(groups) == len(self):
            left = self.where(self.weights != 0)
            return Delta(left.columns, left.weights, settled=True)
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
    columns = np.concatenate([delta.columns for delta in filled], axis=1)
    return Delta(columns, np.concatenate([delta.weights for delta in filled]))
