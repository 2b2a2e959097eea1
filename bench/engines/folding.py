"""The fold in plain Python that engines of rows need: what a group holds, under gains and losses."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

Row = tuple[Any, ...]


class CityDay:
    """Total, sales and greatest sale. The amounts are kept, so that the greatest may be taken back."""

    def __init__(self) -> None:
        self.total = self.sales = self.greatest = 0
        self.amounts: Counter[int] = Counter()

    def change(self, cents: int, weight: int) -> None:
        self.total += cents * weight
        self.sales += weight
        self.amounts[cents] += weight
        if not self.amounts[cents]:
            del self.amounts[cents]
        if weight > 0:
            self.greatest = max(self.greatest, cents)
        elif cents == self.greatest and cents not in self.amounts:
            self.greatest = max(self.amounts, default=0)


class ManDay:
    """Total, sales, and how often each city and name stands there."""

    def __init__(self) -> None:
        self.total = self.sales = 0
        self.cities: Counter[Row] = Counter()
        self.names: Counter[str] = Counter()

    def change(self, row: Row, weight: int) -> None:
        self.total += row[7] * weight
        self.sales += weight
        counted: tuple[tuple[Counter[Any], Any], ...] = ((self.cities, row[2:5]), (self.names, row[6]))
        for counter, value in counted:
            counter[value] += weight
            if not counter[value]:
                del counter[value]


def changes(old: Row | None, new: Row) -> tuple[Row | None, Iterator[tuple[Row, int]]]:
    """What is kept of the sale, and the rows that went (-1) and came (+1)."""
    kept = None if new[8] else new
    both = ((old, -1), (kept, 1))
    return kept, ((row, weight) for row, weight in both if row is not None)
