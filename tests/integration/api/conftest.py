"""Published rankings, and a client that asks a real server for them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import httpx2
import pyarrow as pa
import pytest
from fastapi import Request

from tests.conftest import Postgres
from tests.integration.results.support import NOON, SCHEMA, emptied, model
from topline.api import create_app, serve
from topline.api.access import ANYBODY, Caller
from topline.api.events import Streams
from topline.models.plan import ProjectPlan
from topline.results import DeadLetterStatus, EngineStatus, Epoch, Publisher, Reader, Replace, SourceStatus, StatusWriter
from topline.schema import Column, TableSchema, Type

DAY = date(2026, 11, 21)
OLDER = NOON.replace(hour=9)
LATE_EVENING = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)  # already the 21st in Rome


def _schema(name: str, key: tuple[str, ...], **columns: Type) -> TableSchema:
    return TableSchema(name, tuple(Column(column, kind) for column, kind in columns.items()), key)


_DAILY = {
    "date": Type.DATE,
    "salesman_id": Type.TEXT,
    "salesman_name": Type.TEXT,
    "total_sales": Type.DECIMAL,
    "deals_closed": Type.BIGINT,
    "avg_deal_size": Type.DECIMAL,
    "cities_covered": Type.BIGINT,
}
CITIES = _schema(
    "top_sales_by_city",
    ("date", "country", "region", "city"),
    date=Type.DATE,
    country=Type.TEXT,
    region=Type.TEXT,
    city=Type.TEXT,
    total_sales=Type.DECIMAL,
    transaction_count=Type.BIGINT,
    avg_sale=Type.DECIMAL,
    max_sale=Type.DECIMAL,
)
SALESMEN = _schema("top_salesmen", ("date", "salesman_id"), **_DAILY, rank=Type.BIGINT)
DAILY = _schema("salesman_daily", ("date", "salesman_id"), **_DAILY)
BY_CITY = _schema(
    "salesman_city_daily",
    ("date", "salesman_id", "country", "region", "city"),
    date=Type.DATE,
    salesman_id=Type.TEXT,
    country=Type.TEXT,
    region=Type.TEXT,
    city=Type.TEXT,
    total_sales=Type.DECIMAL,
    deals_closed=Type.BIGINT,
)
REJECTED = _schema(
    "rejected_sales",
    ("source", "source_table", "row_key"),
    source=Type.TEXT,
    source_table=Type.TEXT,
    row_key=Type.TEXT,
    reason=Type.TEXT,
    original=Type.TEXT,
)
_INDEXES = {"top_sales_by_city": (("date", "total_sales desc", "country", "region", "city"),)}
MODELS = {
    schema.name: model(
        schema,
        indexes=_INDEXES.get(schema.name, ()),
        depends_on=("shop.orders", "branches.sales"),
        description=f"What {schema.name} is",
    )
    for schema in (CITIES, SALESMEN, DAILY, BY_CITY, REJECTED)
}
PLAN = ProjectPlan("test", "Europe/Rome", {}, MODELS, (), "")


def model_rows(schema: TableSchema, rows: Sequence[tuple[object, ...]]) -> Replace:
    return Replace([pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema.arrow)])


def city_row(name: str, total: str, region: str = "", day: date = DAY) -> tuple[object, ...]:
    return (day, "IT", region, name, Decimal(total), 3, Decimal("4150.1667"), Decimal("9000.0000"))


def _salesman(number: str, total: str, day: date = DAY) -> tuple[object, ...]:
    return (day, number, f"Salesman {number}", Decimal(total), 4, Decimal("2340.0000"), 2)


def first_epoch() -> Epoch:
    """Three cities (two tied), one of the day before; two salesmen; two sources, of which one is older."""
    cities = [
        city_row("Roma", "12450.5000", "Lazio"),
        city_row("Zara", "5.0000"),
        city_row("Étretat", "5.0000"),
        city_row("Bari", "7", "Puglia"),
    ]
    cities.append(city_row("Roma", "99999999999999.9999", day=date(2026, 11, 20)))
    salesmen = [_salesman("S1", "9360.0000"), _salesman("S2", "3090.5000")]
    days = [*salesmen, _salesman("S1", "3.0000", date(2026, 11, 19)), _salesman("S3", "0.5000", date(2026, 11, 19))]
    by_city = [
        (DAY, "S1", "IT", "Lazio", "Roma", Decimal("9353.0000"), 3),
        (DAY, "S1", "IT", "Puglia", "Bari", Decimal("7.0000"), 1),
        (DAY, "S2", "IT", "Lazio", "Roma", Decimal("3090.5000"), 4),
        (date(2026, 11, 19), "S1", "IT", "Lazio", "Roma", Decimal("3.0000"), 4),
        (date(2026, 11, 19), "S3", "IT", "", "Zara", Decimal("0.5000"), 4),
    ]
    rejected = [
        ("branches", "branches.sales", "17", "city missing", "17;2026-11-21;;;S1;12.50"),
        ("shop", "shop.orders", "4", "amount missing", "order_id=4"),
    ]
    ranked = [(*row, place) for place, row in enumerate(salesmen, 1)]
    models = {
        "top_sales_by_city": model_rows(CITIES, cities),
        "top_salesmen": model_rows(SALESMEN, ranked),
        "salesman_daily": model_rows(DAILY, days),
        "salesman_city_daily": model_rows(BY_CITY, by_city),
        "rejected_sales": model_rows(REJECTED, rejected),
    }
    return Epoch(7, models, {"shop": NOON, "branches": OLDER})


LETTERS = (
    DeadLetterStatus(1, "branches", "branches.sales", "inbox/rome.csv:7", "3 fields, not 9", NOON, "open", b"17;Roma;12.50"),
    DeadLetterStatus(2, "branches", "branches.sales", "inbox/bari.csv:2", "not UTF-8", NOON, "replayed", b"\xff\x00"),
)


class Results:
    """One results schema, its publisher, and the API over it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.publisher = Publisher(dsn, SCHEMA, state_id="state-1")
        self.publisher.open(MODELS, epoch=7, published={})
        self.status = StatusWriter(dsn, SCHEMA)

    def say(self, *sources: SourceStatus) -> None:
        self.status.write(EngineStatus(NOON), sources)

    def tell(self, letters: Sequence[DeadLetterStatus]) -> None:
        """Dead letters, beside the two sources as they run."""
        sources = [SourceStatus("shop", "postgres", "running", lag_bytes=0, time=NOON, rows=7)]
        sources.append(SourceStatus("branches", "files", "running", time=OLDER, rows=4, dead_letters=len(letters)))
        self.status.write(EngineStatus(NOON), sources, letters)

    def close(self) -> None:
        self.status.close()
        self.publisher.close()


@pytest.fixture(scope="session")
def api_database(postgres: Postgres) -> str:
    return postgres.dsn("api")


@pytest.fixture
def results(api_database: str) -> Iterator[Results]:
    found = Results(emptied(api_database))
    yield found
    found.close()


@pytest.fixture
def published(results: Results) -> Results:
    results.publisher.publish(first_epoch())
    results.say(SourceStatus("shop", "postgres", "running"), SourceStatus("branches", "files", "running"))
    return results


@pytest.fixture
def client(results: Results) -> Iterator[httpx2.Client]:
    with api_over(results.dsn) as opened:
        yield opened


@pytest.fixture(scope="module")
def api(postgres: Postgres) -> Iterator[httpx2.Client]:
    """One for all tests of a module that only read."""
    results = Results(postgres.dsn("api"))
    results.publisher.publish(first_epoch())
    results.tell(LETTERS)
    with api_over(results.dsn) as opened:
        yield opened
    results.close()


class api_over:  # noqa: N801 - reads as a function
    """A client of the API over `dsn`, served on a free port; `caller`: who asks, or `callers`, each time another."""

    def __init__(
        self,
        dsn: str,
        clock: datetime = LATE_EVENING,
        caller: Caller = ANYBODY,
        callers: Iterator[Caller] | None = None,
        replicas: Sequence[str] = (),
        most: int = 10,
        heartbeat: float = 15,
        wait: float = 1,
    ) -> None:
        async def identify(request: Request) -> Caller:
            return next(callers) if callers else caller

        self.reader = Reader(dsn, SCHEMA, connections=2, wait=wait, replicas=replicas).open()
        app = self.app = create_app(self.reader, ZoneInfo("Europe/Rome"), plan=PLAN, clock=lambda: clock, identify=identify)
        self.streams = app.state.streams = Streams(self.reader.publications, most, heartbeat)
        self.server = serve(app, "127.0.0.1", 0)
        self.client = httpx2.Client(base_url=self.server.url, timeout=20)

    def heard_of(self, epoch: int) -> bool:
        """Whether this process has heard of the epoch's publication."""
        last = self.reader.publications.last
        return bool(last) and last[-1].epoch == epoch

    def __enter__(self) -> httpx2.Client:
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.stop()
        self.reader.close()
