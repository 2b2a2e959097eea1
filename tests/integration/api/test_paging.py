"""Pages, ranges and filters as a client asks for them."""

import base64
import hashlib
import json
from collections.abc import Iterator

import httpx2
import pytest

from tests.conftest import Postgres
from tests.integration.api.conftest import REJECTED, Results, api_over, first_epoch
from tests.integration.api.test_api import require_problem
from tests.integration.api.test_exact import whole
from tests.integration.results.support import NOON, SCHEMA, execute
from topline.results import Epoch, Reader
from topline.results.questions import model_rows, orders

CITY = "/api/v1/sales/city"


@pytest.fixture(scope="module")
def api(postgres: Postgres) -> Iterator[httpx2.Client]:
    """One for all tests that only read."""
    results = Results(postgres.dsn("paging"))
    results.publisher.publish(first_epoch())
    execute(results.dsn, f"UPDATE {SCHEMA}.rejected_sales SET reason = NULL WHERE source = 'shop'")
    with api_over(results.dsn) as client:
        yield client
    results.close()


def test_a_page_leads_to_the_next_in_its_body_and_by_a_link(api: httpx2.Client) -> None:
    first = api.get(f"{CITY}?limit=3")
    following = first.json()["next"]
    assert first.headers["link"] == f'<{following}>; rel="next"'
    second = api.get(following)
    assert [city["rank"] for city in first.json()["cities"] + second.json()["cities"]] == [1, 2, 3, 4]
    assert second.json()["next"] is None
    assert "link" not in second.headers


def test_the_next_page_is_of_the_same_day_after_midnight(api: httpx2.Client) -> None:
    assert "date=2026-11-21" in api.get(f"{CITY}?limit=1").json()["next"]


def test_an_epoch_that_changed_between_two_pages_is_shown(published: Results, client: httpx2.Client) -> None:
    first = client.get(f"{CITY}?limit=1").json()
    published.publisher.publish(Epoch(8, {}, {"shop": NOON, "branches": NOON}))
    second = client.get(first["next"]).json()
    third = client.get(second["next"]).json()
    assert [page["as_of"]["epoch"] for page in (first, second, third)] == [7, 8, 8]
    assert [page["as_of"]["changed"] for page in (first, second, third)] == [False, True, True]
    assert [page["cities"][0]["rank"] for page in (first, second, third)] == [1, 2, 3]


@pytest.mark.parametrize("query", ["date=2026-11-20", "country=FR", "from=2026-11-20"])
def test_a_cursor_of_another_question_is_refused(query: str, api: httpx2.Client) -> None:
    cursor = _cursor(api)
    answer = api.get(f"{CITY}?{query}&limit=1&cursor={cursor}")
    require_problem(answer, 422)
    assert "another question" in answer.json()["detail"]


@pytest.mark.parametrize("spoilt", ["{}", "", "é", "a" * 19_000])
def test_a_spoilt_cursor_is_refused(spoilt: str, api: httpx2.Client) -> None:
    for cursor in (spoilt.format(_cursor(api)[:-3]), spoilt.format("x" + _cursor(api)[1:])):
        answer = api.get(CITY, params={"limit": 1, "cursor": cursor})
        require_problem(answer, 422)
        assert "cursor" in answer.json()["detail"]


def test_a_cursor_that_somebody_made_up_is_refused(api: httpx2.Client) -> None:
    """With the right checksum, and values that no row has."""
    body = json.loads(base64.urlsafe_b64decode(_cursor(api) + "==")[6:])
    places: list[object] = [
        [1],
        ["x", "IT", "", "Zara"],
        [None, "\0", "", ""],
        ["1", "\ud800", "", ""],
        {},
        5,
        [[], [], [], []],
        ["1", [], "", ""],
        [1, "", "", ""],
    ]
    for place in places:
        made = json.dumps([body[0], 7, place]).encode()
        cursor = base64.urlsafe_b64encode(hashlib.blake2b(made, digest_size=6).digest() + made).decode()
        require_problem(api.get(CITY, params={"date": "2026-11-21", "cursor": cursor}), 422)


def _cursor(api: httpx2.Client) -> str:
    return str(api.get(f"{CITY}?date=2026-11-21&limit=1").json()["next"].partition("cursor=")[2])


@pytest.mark.parametrize("path", [CITY, "/api/v1/salesmen/top", "/api/v1/salesmen/S1", "/api/v1/salesmen/S1/history"])
def test_a_range_is_bounded(path: str, api: httpx2.Client) -> None:
    assert api.get(f"{path}?from=2025-11-21&to=2026-11-21").status_code == 200
    answer = api.get(f"{path}?from=2025-11-20&to=2026-11-21")
    require_problem(answer, 422)
    assert "367 days is asked for, and 366 at most" in answer.json()["detail"]
    require_problem(api.get(f"{path}?from=2026-11-22&to=2026-11-21"), 422)


@pytest.mark.parametrize("query", ["date=2026-11-21&from=2026-11-20", "to=2026-11-21", "from=2026-02-30", "to=x&from=1"])
def test_half_a_range_or_too_much_is_refused(query: str, api: httpx2.Client) -> None:
    require_problem(api.get(f"{CITY}?{query}"), 422)


def test_a_history_is_of_the_last_30_days_unless_said(api: httpx2.Client) -> None:
    answer = api.get("/api/v1/salesmen/S1/history").json()
    assert (answer["from"], answer["to"]) == ("2026-10-23", "2026-11-21")
    assert api.get("/api/v1/salesmen/S1/history?to=0001-01-02").json()["from"] == "0001-01-01"


def test_a_salesman_without_sales_in_the_range_is_there(api: httpx2.Client) -> None:
    answer = api.get("/api/v1/salesmen/S3?from=2026-11-20&to=2026-11-21").json()
    assert answer["salesman_name"] == "Salesman S3"
    assert answer["totals"] == {"total_sales": "0.0000", "deals_closed": 0, "avg_deal_size": None, "cities_covered": 0}
    assert api.get("/api/v1/salesmen/S3/history?from=2026-11-20").json()["days"] == []


def test_cities_are_filtered_and_ranked_among_themselves(api: httpx2.Client) -> None:
    found = api.get(f"{CITY}?region=").json()["cities"]
    assert [(city["rank"], city["city"]) for city in found] == [(1, "Zara"), (2, "Étretat")]
    assert api.get(f"{CITY}?country=IT&region=Lazio&city=Roma").json()["cities"][0]["total_sales"] == "12450.5000"
    require_problem(api.get(f"{CITY}?city=%00"), 422)


def test_rejected_sales_are_listed_by_source_and_reason(api: httpx2.Client) -> None:
    found = api.get("/api/v1/sales/rejected?limit=1").json()
    assert found["rejected"][0]["row_key"] == "17"
    assert api.get(found["next"]).json()["rejected"][0]["reason"] is None
    assert api.get("/api/v1/sales/rejected?reason=none+such").json()["rejected"] == []


def test_a_models_rows_are_filtered_by_any_column(api: httpx2.Client) -> None:
    path = "/api/v1/models/salesman_city_daily"
    assert len(api.get(path).json()["rows"]) == 5
    assert len(api.get(f"{path}?salesman_id=S1&deals_closed=4").json()["rows"]) == 1
    assert len(api.get(f"{path}?total_sales=7").json()["rows"]) == 1
    for query in (
        "colour=red",
        "date=0",
        "deals_closed=x",
        "total_sales=1e9",
        "city=a&city=b",
        "order=total_sales",
        "city=%00",
    ):
        answer = api.get(f"{path}?{query}")
        require_problem(answer, 422)
        assert query.partition("=")[0] in answer.json()["detail"]
    require_problem(api.get("/api/v1/models/nothing"), 404)
    require_problem(api.get("/api/v1/models/_topline_writer"), 404)


def test_a_models_rows_come_in_a_declared_order(api: httpx2.Client) -> None:
    models = {model["name"]: model for model in api.get("/api/v1/models").json()["models"]}
    by_key, by_total = models["top_sales_by_city"]["orders"]
    assert (by_key, by_total) == ("date,country,region,city", "date,-total_sales,country,region,city")
    rows = []
    following = f"/api/v1/models/top_sales_by_city?order={by_total}&limit=2"
    while following:
        page = api.get(following).json()
        rows += page["rows"]
        following = page["next"]
    assert [row["city"] for row in rows] == ["Roma", "Roma", "Bari", "Zara", "Étretat"]


def test_lineage_names_columns_one_step_back(api: httpx2.Client) -> None:
    models = {model["name"]: model for model in api.get("/api/v1/lineage").json()["models"]}
    assert models["top_salesmen"]["result"] == f"{SCHEMA}.top_salesmen"
    [origin] = models["top_salesmen"]["columns"][0]["origins"]
    assert origin == {"relation": "shop.orders", "column": "date"}


def test_pages_pass_rows_without_a_value_in_either_direction(postgres: Postgres) -> None:
    """NULL sorts as greater than all: the last ascending, the first descending."""
    results = Results(postgres.dsn("nulls"))
    results.publisher.publish(first_epoch())
    values = ", ".join(f"('s', 't', '{n}', {'NULL' if n % 2 else repr(str(n % 4))}, '')" for n in range(8))
    execute(results.dsn, f"TRUNCATE {SCHEMA}.rejected_sales; INSERT INTO {SCHEMA}.rejected_sales VALUES {values}")
    reader = Reader(results.dsn, SCHEMA, connections=2).open()
    try:
        for spelled, expected in (("reason", "04261357"), ("-reason", "13572604")):
            order = orders(REJECTED.key, (("reason",), ("reason desc",)))[spelled]
            listing = model_rows(REJECTED, order, {})
            for limit in range(1, 9):
                assert "".join(row["row_key"] for row in whole(reader, listing, limit)) == expected
    finally:
        reader.close()
        results.close()
