"""Scopes and rules about cities, as a login would give them."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import get_args

import httpx2
import pytest

from tests.conftest import Postgres
from tests.integration.api.conftest import Results, api_over, first_epoch
from tests.integration.api.test_api import addresses, require_problem
from tests.polling import until
from topline.api.access import ALL, Caller, Scope, caller
from topline.results.questions import Places

ROMA: Places = frozenset({("IT", "Lazio", None)})
SALES: frozenset[Scope] = frozenset({"sales:read"})


class Callers:
    """The same results, asked by different callers."""

    def __init__(self, dsn: str, stack: ExitStack) -> None:
        self._opened = {
            name: stack.enter_context(api_over(dsn, caller=caller))
            for name, caller in {
                "everybody": Caller(),
                "roma": Caller(cities=ROMA),
                "nothing": Caller(cities=frozenset()),
                "sales": Caller(scopes=SALES),
                "nobody": Caller(scopes=frozenset()),
            }.items()
        }

    def __getitem__(self, name: str) -> httpx2.Client:
        return self._opened[name]


@pytest.fixture(scope="module")
def callers(postgres: Postgres) -> Iterator[Callers]:
    results = Results(postgres.dsn("access"))
    results.publisher.publish(first_epoch())
    results.tell([])
    with ExitStack() as stack:
        yield Callers(results.dsn, stack)
    results.close()


def test_every_scope_is_known() -> None:
    assert set(get_args(Scope)) == ALL


def test_who_has_no_scope_gets_nothing(callers: Callers) -> None:
    client = callers["nobody"]
    for path in addresses(client, "get") - {"/healthz", "/readyz"}:
        answer = client.get(path)
        require_problem(answer, 403)
        assert ":read" in answer.json()["detail"]
    require_problem(client.post("/api/v1/dead-letters/replay", json={"letters": [1]}), 403)


def test_sales_alone_show_no_salesmen_and_no_operations(callers: Callers) -> None:
    client = callers["sales"]
    assert client.get("/api/v1/sales/city").status_code == 200
    assert client.get("/api/v1/models/top_sales_by_city").status_code == 200
    for path in ("salesmen/top", "salesmen/S1", "models/salesman_daily", "models/rejected_sales", "sources", "sales/rejected"):
        require_problem(client.get(f"/api/v1/{path}"), 403)


def test_cities_are_those_that_may_be_seen(callers: Callers) -> None:
    client = callers["roma"]
    assert [city["city"] for city in client.get("/api/v1/sales/city").json()["cities"]] == ["Roma"]
    assert client.get("/api/v1/sales/city/history?country=IT&region=Puglia&city=Bari").json()["days"] == []
    assert callers["nothing"].get("/api/v1/sales/city").json()["cities"] == []


def test_salesmen_are_ranked_by_what_they_sold_there(callers: Callers) -> None:
    first, second = callers["roma"].get("/api/v1/salesmen/top").json()["salesmen"]
    assert (first["rank"], first["salesman_id"], first["total_sales"], first["deals_closed"]) == (1, "S1", "9353.0000", 3)
    assert (first["cities_covered"], first["avg_deal_size"]) == (1, "3117.6667")
    assert (second["rank"], second["salesman_name"]) == (2, "Salesman S2")


def test_a_salesman_without_a_sale_there_is_nobody(callers: Callers) -> None:
    assert callers["everybody"].get("/api/v1/salesmen/S3").json()["salesman_name"] == "Salesman S3"
    for path in ("S3", "S3/history"):
        require_problem(callers["roma"].get(f"/api/v1/salesmen/{path}"), 404)


def test_models_are_filtered_or_refused(callers: Callers) -> None:
    client = callers["roma"]
    rows = client.get("/api/v1/models/salesman_city_daily").json()["rows"]
    assert {row["city"] for row in rows} == {"Roma"}
    for path in ("models/salesman_daily", "models/top_salesmen", "sales/rejected", "dead-letters", "dead-letters/1"):
        require_problem(client.get(f"/api/v1/{path}"), 403)
    require_problem(client.post("/api/v1/dead-letters/replay", json={"letters": [1]}), 403)


def test_a_cursor_is_of_the_rule_too(callers: Callers) -> None:
    following = callers["everybody"].get("/api/v1/sales/city?limit=1").json()["next"]
    require_problem(callers["roma"].get(following), 422)


def test_what_is_remembered_is_for_the_same_rights_only(published: Results) -> None:
    """One server, two callers: the one's answer is in memory when the other asks."""
    turns = iter([Caller(name="ann"), Caller(name="bob", cities=ROMA), Caller(scopes=frozenset()), Caller(name="eve")] * 50)
    with (api := api_over(published.dsn, callers=turns)) as client:
        until(lambda: api.reader.generation)
        answers = [client.get("/api/v1/sales/city") for _ in range(12)]
        for everybody, roma, nobody, again in zip(answers[::4], answers[1::4], answers[2::4], answers[3::4], strict=True):
            assert [len(answer.json()["cities"]) for answer in (everybody, roma, again)] == [4, 1, 4]
            assert len({everybody.headers["etag"], roma.headers["etag"], again.headers["etag"]}) == 2
            require_problem(nobody, 403)


def test_the_dependency_may_be_overridden(published: Results) -> None:
    """As tests do: every endpoint asks the one dependency, and nothing is remembered past it."""
    with (api := api_over(published.dsn)) as client:
        until(lambda: api.reader.generation)
        assert len(client.get("/api/v1/sales/city").json()["cities"]) == 4
        api.app.dependency_overrides[caller] = lambda: Caller(cities=ROMA)
        assert len(client.get("/api/v1/sales/city").json()["cities"]) == 1


def test_pages_of_other_origins_may_not_replay(callers: Callers) -> None:
    answer = callers["everybody"].post(
        "/api/v1/dead-letters/replay", json={"letters": [1]}, headers={"Origin": "http://evil.example"}
    )
    require_problem(answer, 403)


BODIES = ["", "{}", '{"letters": []}', '{"letters": [0]}', '{"letters": ["1"]}', '{"letters": [1], "x": 1}']


@pytest.mark.parametrize("body", BODIES)
def test_what_cannot_be_replayed_is_refused(body: str, callers: Callers) -> None:
    answer = callers["everybody"].post(
        "/api/v1/dead-letters/replay", content=body, headers={"Content-Type": "application/json"}
    )
    require_problem(answer, 422)
