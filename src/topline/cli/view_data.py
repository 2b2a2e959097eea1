"""What the live view shows: plain values, read by whoever runs the engine. Nothing here knows the engine."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class CityLine:
    country: str
    region: str
    city: str
    total_sales: Decimal
    transaction_count: int
    avg_sale: Decimal
    max_sale: Decimal

    @property
    def key(self) -> str:
        return f"{self.country}\0{self.region}\0{self.city}"


@dataclass(frozen=True, slots=True)
class SalesmanLine:
    salesman_id: str
    salesman_name: str
    total_sales: Decimal
    deals_closed: int
    avg_deal_size: Decimal
    cities_covered: int

    @property
    def key(self) -> str:
        return self.salesman_id


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One source: `phase` as `topline status` says it.

    done, total  rows, shown as a bar while it copies or has much to read
    detail       a retry, a halt, where it stands
    """

    name: str
    phase: str
    events: int
    done: int = 0
    total: int | None = None
    detail: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at a running engine.

    cities, salesmen   the best of `day`, in the order of their rank, as many as may be shown (20 are enough)
    rate               changes folded in the last second or so
    events             changes folded since the start
    freshness_ms       from the commit at the source to the published result, of the newest epoch; None: nothing yet
    backlog            changes read and not yet published
    api                the API's address, '' where it does not run
    elapsed            seconds since the start
    notes              what a person should know: a halted model, a source that is retried
    """

    day: date
    currency: str
    elapsed: float
    epoch: int
    cities: tuple[CityLine, ...] = ()
    salesmen: tuple[SalesmanLine, ...] = ()
    sources: tuple[SourceLine, ...] = ()
    rate: float = 0.0
    events: int = 0
    freshness_ms: float | None = None
    backlog: int = 0
    rejected: int = 0
    dead_letters: int = 0
    api: str = ""
    notes: tuple[str, ...] = ()
