"""Time and place: what falls on which day is what PostgreSQL itself computes, however machine and servers are set."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Postgres
from tests.faults.world import World, world
from topline.localtime import instants
from topline.schema import Type
from topline.sources.values import cast

# In these zones the rules of the past are the same in every edition of the time zone database.
ZONES = ["UTC", "Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo"]
INSTANTS = [  # of orders
    "2026-03-28 23:30+00",  # in Rome already the 29th, on which an hour is left out
    "2026-03-29 00:59:59.999999+00",
    "2026-03-29 01:00+00",
    "2026-10-25 00:30+00",  # 02:30 in Rome, for the first time
    "2026-10-25 01:30+00",  # 02:30 in Rome, again
    "2026-10-24 22:00+00",
    "2026-12-31 23:30+00",  # next year
    "2026-05-31 13:00+00",  # still the 31st in Rome, not so in Auckland
    "2016-12-31 23:59:60+00",  # a leap second is the next second to PostgreSQL
    "0001-01-01 00:00+00",
    "0001-01-01 00:00+00 BC",
    "4713-01-01 00:00+00 BC",
    "9999-12-31 23:30+00",  # the year 10000 in Rome
    "12026-07-01 22:30+00",
    "infinity",
    "-infinity",
]
WRITTEN = [  # times in a file of the branches
    "2026-03-29T02:30:00",  # never shown by a clock in Rome
    "2026-10-25T02:30:00",  # shown twice
    "2026-10-25T02:30:00+02:00",
    "2026-03-28T23:30:00Z",
    "2026-12-31",
    "2026-12-31T23:30:00-05:00",
    "2016-12-31T23:59:60Z",  # no clock of staging shows it: a rejected sale, with its text
    "0001-01-01",
    "9999-12-31T23:30:00Z",
    "10000-01-01",
    "2026-02-30",
    "24:00:00",
]
ODD_SESSION = {
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-3",
    "bytea_output": "escape",
    "lc_messages": "C",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
}
ODD_MACHINES = ["Pacific/Kiritimati", *(pytest.param(zone, marks=pytest.mark.long) for zone in ("XYZ-13:37", ":/nowhere"))]


def odd(dsn: str) -> str:
    """The same database, whose sessions are set otherwise than anybody expects."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        name = connection.info.dbname
        for setting, value in ODD_SESSION.items():
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())
    return dsn


@pytest.fixture
def made(tmp_path: Path, postgres: Postgres) -> Iterator[World]:
    with world(tmp_path / "sales", odd(postgres.dsn("shop")), odd(postgres.dsn("results"))) as one:
        yield one


@pytest.fixture(params=ODD_MACHINES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def sell(made: World) -> None:
    with made.shop.transaction():
        made.shop.execute(
            "INSERT INTO customers VALUES ('c', 'n', 'Italy', 'Lazio', 'Roma'); INSERT INTO salesmen VALUES ('s', 'A')"
        )
        for number, instant in enumerate(INSTANTS):
            values = (f"o{number}", instant)
            made.shop.execute("INSERT INTO orders VALUES (%s, 'c', 's', %s::timestamptz, 'EUR', 'placed')", values)
            made.shop.execute("INSERT INTO order_items VALUES (%s, 1, 'a', 'b', 1, 10)", values[:1])
    rest = ("Italy", "Lazio", "Roma", "s", "A", "1.00", "EUR")
    made.inbox.write("a.csv", [(f"b{number}", text, *rest) for number, text in enumerate(WRITTEN)])


def days(made: World) -> dict[str, int]:
    """Sales by day, as PostgreSQL's results have them."""
    with psycopg.connect(made.results_dsn) as connection:
        connection.execute("SET DateStyle = 'ISO'")
        found = connection.execute("SELECT date::text, sum(transaction_count)::int FROM topline.top_sales_by_city GROUP BY 1")
        return dict(found.fetchall())


def test_days_are_those_of_the_business_zone_on_an_odd_machine_with_odd_servers(made: World, machine: str) -> None:
    sell(made)  # half is copied, half streamed
    made.open()
    made.catch_up()
    made.shop.execute(
        "UPDATE orders SET order_id = 'again ' || order_id; UPDATE order_items SET order_id = 'again ' || order_id"
    )
    made.catch_up()
    made.require_exact()
    found = days(made)
    assert found["2026-03-29"] == 3 + 2
    assert found["2026-10-25"] == 3 + 2
    assert found["2027-01-01"] == 1 + 1
    assert found["2017-01-01"] == 1
    assert found.keys() == {"2026-03-29", "2026-10-25", "2026-12-31", "2027-01-01", "2026-05-31", "2017-01-01"}
    assert made.engine.rejected() == 7 + 6  # orders and lines of years that no sale has, or of no day at all


def test_another_business_zone_rebuilds_the_days(made: World) -> None:
    sell(made)
    made.open()
    made.catch_up()
    in_rome = days(made)
    for zone in ("Pacific/Auckland", "America/Los_Angeles", "Europe/Rome"):
        made.close(checkpoint=True)
        made._settings["time_zone"] = zone
        made.open()
        made.catch_up()
        made.require_exact()
        assert (days(made) == in_rome) == (zone == "Europe/Rome")


LOCAL = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30)) | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
CHANGES = [
    datetime(2026, 3, 29, 1),
    datetime(2026, 10, 25, 1),
    datetime(2011, 12, 30),
    datetime(2018, 11, 4),
    datetime(2026, 4, 5),
]
NEAR = st.builds(lambda day, minutes: day + timedelta(minutes=minutes), st.sampled_from(CHANGES), st.integers(-90, 240))


@pytest.fixture(scope="module")
def server(postgres: Postgres) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    with psycopg.connect(postgres.dsn("zones"), autocommit=True) as connection:
        yield connection


def by_postgres(server: "psycopg.Connection[tuple[object, ...]]", texts: list[str], zone: str) -> list[object]:
    """Microseconds since 1970 of these local times."""
    query = (
        "SELECT array_agg((extract(epoch FROM (x::timestamp AT TIME ZONE %s)) * 1000000)::int8 ORDER BY n) "
        "FROM unnest(%s::text[]) WITH ORDINALITY AS t (x, n)"
    )
    row = server.execute(query.encode(), [zone, texts]).fetchone()
    assert row is not None
    return row[0]  # type: ignore[return-value]


@settings(deadline=None, max_examples=60)
@given(given=st.lists(LOCAL | NEAR, min_size=1, max_size=40), zone=st.sampled_from(ZONES))
def test_a_local_time_is_the_same_instant_in_every_source_and_in_postgres(
    server: "psycopg.Connection[tuple[object, ...]]", given: list[datetime], zone: str
) -> None:
    """A column `timestamp` of PostgreSQL, and a time without offset from REST, SOAP, SQL or push."""
    expected = by_postgres(server, [moment.isoformat() for moment in given], zone)
    assert instants(pa.array(given, pa.timestamp("us")), ZoneInfo(zone)).cast(pa.int64()).to_pylist() == expected
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    values = [cast(moment.isoformat(), Type.TIMESTAMPTZ, ZoneInfo(zone)) for moment in given]
    assert [(value - epoch) // timedelta(microseconds=1) for value in values] == expected  # type: ignore[operator]


@settings(deadline=None, max_examples=60)
@given(
    given=st.lists(st.none() | st.integers(-200_000_000_000_000_000, 9_200_000_000_000_000_000), min_size=1, max_size=40),
    zone=st.sampled_from(ZONES),
)
def test_years_that_python_does_not_have_are_as_postgres_has_them(
    server: "psycopg.Connection[tuple[object, ...]]", given: list[int | None], zone: str
) -> None:
    """4400 BC to 292000 AD."""
    texts = [f"{unit} microseconds" for unit in given if unit is not None]
    local = "(timestamp '1970-01-01' + x::interval) AT TIME ZONE %s"
    query = (
        f"SELECT coalesce(array_agg((extract(epoch FROM ({local})) * 1000000)::int8 ORDER BY n), '{{}}') "
        "FROM unnest(%s::text[]) WITH ORDINALITY AS t (x, n)"
    )
    row = server.execute(query.encode(), [zone, texts]).fetchone()
    assert row is not None
    times = pa.array(given, pa.int64()).view(pa.timestamp("us"))
    found = instants(times, ZoneInfo(zone)).cast(pa.int64()).to_pylist()
    assert [unit for unit in found if unit is not None] == row[0]
    assert [unit is None for unit in found] == [unit is None for unit in given]


@pytest.mark.parametrize("limit", [2**63 - 1, -(2**63) + 1])
def test_an_infinite_time_is_infinite_in_every_zone(limit: int) -> None:
    times = pa.array([limit], pa.int64()).view(pa.timestamp("us"))
    assert instants(times, ZoneInfo("Asia/Kathmandu")).cast(pa.int64()).to_pylist() == [limit]


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60", "0000-12-31T00:00:00Z", "10000-01-01T00:00:00Z"]
)
def test_a_time_that_no_clock_shows_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no time such as"):
        cast(text, Type.TIMESTAMPTZ, ZoneInfo("Europe/Rome"))
