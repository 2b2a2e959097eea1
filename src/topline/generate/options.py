"""What a user may choose about the generated stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from topline.generate.events import SOURCES, Source

BULK_FILE_ROWS = 50_000
STREAM_FILE_ROWS = 200


def even_shares() -> dict[Source, int]:
    return dict.fromkeys(SOURCES, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that the events depend on: the same plan gives the same events, byte for byte.

    start      when the stream begins (an aware instant); sales are dated around it
    zone       IANA name: business days, and the branches' times that carry no offset, are days and times there
    days       how many days before `start` the history and late sales reach
    run        numbers the runs over the same sources, so that ids and file names do not repeat
    bulk       spread all sales over `days` and write big files, instead of going along with the clock
    file_rows  rows at which a branch file is full
    shares     how much of the sales each source gets; none: nothing
    """

    start: datetime
    seed: int = 7
    zone: str = "Europe/Rome"
    currency: str = "EUR"
    days: int = 14
    run: int = 1
    bulk: bool = False
    file_rows: int = STREAM_FILE_ROWS
    shares: Mapping[Source, int] = field(default_factory=even_shares)

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError(f"start is {self.start}, without a zone; give an aware instant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where the generator writes, and how much.

    shop_dsn    the shop's database (a PostgreSQL DSN); its tables are created where missing
    folder      where branches drop their files; created where missing
    ledger_dsn  the database of the ledger of truth (schema `ledger`)
    partner     the partner's book (`topline.embedded.partner.Book`), created where missing; None: there is no partner
    shares      how much of the sales each source gets, in whole numbers; 0: nothing
    rate        steps a second over all sources together; a step is a new sale, a correction, a cancellation, ...
    history     sales written by `prepare`, before the stream begins
    count       this many new sales as fast as possible, then stop (a benchmark's load); None: go along with the clock
    duration    stop by itself after this many seconds
    start       the stream's beginning; None: now. Fix it, with the seed, to repeat a run exactly
    """

    shop_dsn: str
    folder: Path
    ledger_dsn: str
    partner: Path | None = None
    shares: Mapping[Source, int] = field(default_factory=even_shares)
    seed: int = 7
    rate: float = 40.0
    history: int = 2_000
    count: int | None = None
    duration: float | None = None
    days: int = 14
    time_zone: str = "Europe/Rome"
    currency: str = "EUR"
    start: datetime | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 100_000:
            raise ValueError(f"rate is {self.rate}; give sales a second between 0 and 100,000, or a count to go at full speed")
        if self.days < 1:
            raise ValueError(f"days is {self.days}; at least 1 is needed")
        if not set(self.shares) <= set(SOURCES) or min(self.shares.values(), default=0) < 0:
            raise ValueError(f"shares are {dict(self.shares)}; give {', '.join(SOURCES)} a whole number each, 0 for nothing")
        if not self.sharing():
            raise ValueError("no source gets any sale; give at least one a share (the partner's needs `partner`)")

    def sharing(self) -> dict[Source, int]:
        """The shares of the sources that get something."""
        there = {source: share for source, share in self.shares.items() if source != "partner" or self.partner is not None}
        return {source: share for source, share in there.items() if share}
