"""Days and exact figures over them: what all questions over ranges share."""

import datetime as dt
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Days:
    """Business days from `first` to `last`, both of them in it."""

    first: dt.date
    last: dt.date

    @classmethod
    def one(cls, day: dt.date) -> "Days":
        return cls(day, day)

    @property
    def single(self) -> bool:
        return self.first == self.last

    @property
    def count(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def values(self) -> dict[str, Any]:
        return {"first": self.first, "last": self.last}


def exact_avg(total: str, count: str) -> str:
    """SQL: `total` / `count`, rounded once, half away from zero, to 4 decimals. A quotient of PostgreSQL's numeric is
    rounded already, so whole units of 10^-4 are divided. NULL where nothing is counted."""
    return f"sign({total}) * div(abs({total}) * 20000 + {count}, nullif(2 * {count}, 0)) * 0.0001"
