"""What the planner says shall happen: writes for a source, and the facts that the ledger notes once they are written."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from topline.embedded.partner import Entry

Source = Literal["shop", "branches", "partner"]
SOURCES: tuple[Source, ...] = ("shop", "branches", "partner")
Row = tuple[object, ...]


class Kind(StrEnum):
    """What can happen to a sale. DELETED is the shop's alone: a branch deletes by dropping a file without the row, and the
    partner never does."""

    NEW = "new"
    AMOUNT = "corrected amount"
    CITY = "corrected city"
    SALESMAN = "corrected salesman"
    CANCELLED = "cancelled"
    DELETED = "deleted"
    LATE = "late"
    TIED = "tied"
    REDELIVERED = "redelivered"
    BROKEN = "broken"
    REPAIRED = "repaired"
    DIMENSION = "dimension corrected"


KINDS: dict[str, frozenset[Kind]] = {
    "shop": frozenset(Kind),
    "branches": frozenset(Kind) - {Kind.DELETED},
    "partner": frozenset(Kind) - {Kind.DELETED},
}


@dataclass(frozen=True, slots=True)
class Op:
    """One statement on a table of the shop. `row` holds all columns in order; of a drop the key columns only."""

    verb: Literal["insert", "update", "delete"]
    table: str
    row: Row


@dataclass(frozen=True, slots=True)
class Drop:
    """A file that a branch drops, whole, replacing one of the same name. `lines` are bytes without line ends."""

    name: str
    lines: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """What the ledger's `table` holds under `key` from now on; a row of None: nothing any more."""

    table: str
    key: str
    row: Row | None


@dataclass(frozen=True, slots=True)
class Event:
    """What happens at once: one transaction of the shop, files dropped together, or entries that the partner notes together.

    `at`: seconds since the start."""

    source: Source
    at: float
    kinds: Counter[Kind]
    ops: tuple[Op, ...] = ()
    drops: tuple[Drop, ...] = ()
    entries: tuple[Entry, ...] = ()
    facts: tuple[Fact, ...] = field(default=())
