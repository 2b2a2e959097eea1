"""Ranges, ranks and pages over random sales are what plain Python makes of the same sales; for callers with a rule too."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Postgres
from tests.integration.api import ledger
from tests.integration.api.conftest import BY_CITY, Results, api_over
from tests.integration.api.ledger import DAYS, FIRST, PLACES, Sale
from tests.integration.results.support import SCHEMA
from topline.api.access import Caller
from topline.results import Reader
from topline.results.questions import Days, Listing, Places, model_rows, orders, top_cities, top_salesmen

SALES = ledger.drawn(20261122)
SOUTH: Places = frozenset({("IT", "Puglia", None), ("FR", None, None)})
RULES = {"all": None, "regions": SOUTH, "one city": frozenset({("IT", "", "Roma")}), "none": frozenset[Any]()}
_QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

ranges = (
    st.tuples(st.integers(0, DAYS - 1), st.integers(0, DAYS - 1))
    .map(sorted)
    .map(lambda pair: (FIRST + dt.timedelta(days=pair[0]), FIRST + dt.timedelta(days=pair[1])))
)
rules = st.sampled_from(list(RULES.values()))


@pytest.fixture(scope="module")
def dsn(postgres: Postgres) -> Iterator[str]:
    results = Results(postgres.dsn("exact"))
    results.publisher.publish(ledger.epoch(SALES))
    yield results.dsn
    results.close()


@pytest.fixture(scope="module")
def reader(dsn: str) -> Iterator[Reader]:
    opened = Reader(dsn, SCHEMA, connections=2).open()
    yield opened
    opened.close()


@_QUIET
@given(days=ranges, rule=rules, limit=st.integers(1, 9))
def test_cities_of_a_range_are_exact_on_pages_of_any_size(
    reader: Reader, days: tuple[dt.date, dt.date], rule: Places | None, limit: int
) -> None:
    found = whole(reader, top_cities(Days(*days), rule), limit)
    names = ("rank", "country", "region", "city", "total_sales", "transaction_count", "avg_sale", "max_sale")
    assert [plain(row, names) for row in found] == ledger.top_cities(ledger.seen(SALES, rule, *days))


@_QUIET
@given(days=ranges, rule=rules, limit=st.integers(1, 9))
def test_salesmen_of_a_range_are_exact_on_pages_of_any_size(
    reader: Reader, days: tuple[dt.date, dt.date], rule: Places | None, limit: int
) -> None:
    found = whole(reader, top_salesmen(Days(*days), rule), limit)
    names = ("rank", "salesman_id", "salesman_name", "total_sales", "deals_closed", "avg_deal_size", "cities_covered")
    expected = ledger.top_salesmen(ledger.seen(SALES, rule, *days), ledger.seen(SALES, None, *days))
    assert [plain(row, names) for row in found] == expected


@_QUIET
@given(limit=st.integers(1, 400), order=st.sampled_from(["date,salesman_id,country,region,city", "-total_sales", "city,-date"]))
def test_pages_joined_are_the_whole_in_any_order(reader: Reader, limit: int, order: str) -> None:
    schema = BY_CITY
    indexes = (("total_sales desc",), ("city", "date desc"))
    listing = model_rows(schema, orders(schema.key, indexes)[order], {})
    found = whole(reader, listing, limit)
    assert found == whole(reader, listing, 10_000)
    assert len(found) == len({tuple(row[name] for name in schema.key) for row in found})


@pytest.mark.parametrize("rule", RULES)
def test_a_salesman_is_shown_within_the_rule(dsn: str, rule: str) -> None:
    places, last = RULES[rule], FIRST + dt.timedelta(days=DAYS - 1)
    with api_over(dsn, caller=Caller(cities=places)) as client:
        for number in sorted({sale.salesman for sale in SALES})[:6]:
            own = [sale for sale in SALES if sale.salesman == number]
            _require_exact(client, number, ledger.seen(own, places, FIRST, last), own, f"from={FIRST}&to={last}")


def _require_exact(client: httpx2.Client, number: str, visible: list[Sale], own: list[Sale], span: str) -> None:
    answer = client.get(f"/api/v1/salesmen/{number}?{span}")
    if not visible:
        assert answer.status_code == 404
        assert client.get(f"/api/v1/salesmen/{number}/history?{span}").status_code == 404
        return
    [(_, _, name, total, deals, average, cities)] = ledger.top_salesmen(visible, own)
    assert answer.json()["salesman_name"] == name
    assert answer.json()["totals"] == {
        "total_sales": f"{total:.4f}",
        "deals_closed": deals,
        "avg_deal_size": f"{average:.4f}",
        "cities_covered": cities,
    }
    days = client.get(f"/api/v1/salesmen/{number}/history?{span}").json()["days"]
    assert days[:7] == answer.json()["last_days"]
    assert [dt.date.fromisoformat(day["date"]) for day in days] == sorted({sale.day for sale in visible}, reverse=True)
    assert sum(Decimal(day["total_sales"]) for day in days) == total


def test_a_citys_history_is_its_days(dsn: str) -> None:
    country, region, city = PLACES[2]
    with api_over(dsn) as client:
        asked = {"country": country, "region": region, "city": city, "from": str(FIRST), "to": "2026-11-30"}
        days = client.get("/api/v1/sales/city/history", params=asked).json()["days"]
    sales = [sale for sale in SALES if sale.place == PLACES[2]]
    assert [day["date"] for day in days] == sorted({str(sale.day) for sale in sales}, reverse=True)
    assert sum(Decimal(day["total_sales"]) for day in days) == sum(sale.amount for sale in sales)


def test_an_average_is_rounded_once(reader: Reader, dsn: str) -> None:
    """0.00005 is 0.0001; a quotient that PostgreSQL had rounded before would say so of a little less too."""
    with api_over(dsn) as client:
        rows = client.get(f"/api/v1/sales/city?from={FIRST}&to=2026-11-30&limit=100").json()["cities"]
    for row in rows:
        assert Decimal(row["avg_sale"]) == ledger.exact(Decimal(row["total_sales"]), row["transaction_count"])


def whole(reader: Reader, listing: Listing, limit: int) -> list[dict[str, Any]]:
    """All rows, page by page."""
    rows: list[dict[str, Any]] = []
    page = reader.page(listing, limit)
    while True:
        rows += [dict(row) for row in page.rows]
        assert len(page.rows) <= limit
        if not page.more:
            return rows
        page = reader.page(listing, limit, listing.place_of(page.rows[-1]))


def plain(row: dict[str, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    money = ("total_sales", "avg_sale", "max_sale", "avg_deal_size")
    return tuple(Decimal(row[name]) if name in money else row[name] for name in names)
