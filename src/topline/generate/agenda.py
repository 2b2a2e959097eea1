"""Which kind of event comes next: every kind early on, in turn, and from then on at its rate."""

from bisect import bisect
from itertools import accumulate
from random import Random

from topline.generate.events import KINDS, Kind, Source

RATES: dict[Kind, float] = {
    Kind.NEW: 78.0,
    Kind.AMOUNT: 4.0,
    Kind.CITY: 2.0,
    Kind.SALESMAN: 2.0,
    Kind.CANCELLED: 2.0,
    Kind.DELETED: 1.0,
    Kind.LATE: 4.0,
    Kind.TIED: 1.0,
    Kind.REDELIVERED: 2.5,
    Kind.BROKEN: 2.0,
    Kind.REPAIRED: 1.2,
    Kind.DIMENSION: 0.3,
}
CREATING = frozenset({Kind.NEW, Kind.LATE, Kind.TIED, Kind.BROKEN})
_EVERY = 4  # of the first steps every fourth is due for the next kind that has not come yet


class Agenda:
    """Kinds for one source, which knows `faults` ways to break a sale: each is due early.

    `done` is told what really happened: a kind that was not possible yet stays due.
    """

    def __init__(self, source: Source, faults: int, random: Random) -> None:
        kinds = [kind for kind in Kind if kind in KINDS[source]]
        self._due = [kind for kind in kinds for _ in range(faults if kind is Kind.BROKEN else 1) if kind is not Kind.NEW]
        self._kinds = kinds
        self._bounds = list(accumulate(RATES[kind] for kind in kinds))
        self._random = random
        self._steps = 0

    def next(self) -> Kind:
        self._steps += 1
        if self._due:
            return self._due[0] if self._steps % _EVERY == 0 else Kind.NEW
        return self._kinds[bisect(self._bounds, self._random.random() * self._bounds[-1])]

    def done(self, kind: Kind) -> None:
        if kind in self._due:
            self._due.remove(kind)

    def postpone(self) -> None:
        """The kind that is due is not possible yet: let the next one come first."""
        self._due = self._due[1:] + self._due[:1]
