"""The API as a client sees it: rankings, as_of, and one shape of error everywhere."""

import socket

import httpx2
import pytest
from fastapi import FastAPI

from tests.integration.api.conftest import MODELS, Results, api_over
from tests.integration.results.support import NOON, SCHEMA, emptied, execute
from topline.api import serve
from topline.errors import ConfigError
from topline.results import EngineStatus, Epoch, SourceStatus

AS_OF = {
    "epoch": 7,
    "held_back": False,
    "changed": False,
    "time": "2026-11-21T09:00:00Z",
    "sources": {"branches": "2026-11-21T09:00:00Z", "shop": "2026-11-21T12:00:00Z"},
}
RANKINGS = ["/api/v1/sales/city", "/api/v1/salesmen/top"]
HISTORIES = ["/api/v1/salesmen/S1/history", "/api/v1/salesmen/S1", "/api/v1/sales/city/history"]
ASKED = [*RANKINGS, "/api/v1/salesmen/S1/history"]


def test_cities_are_ranked_by_total_then_by_name_in_bytes(api: httpx2.Client) -> None:
    answer = api.get("/api/v1/sales/city?date=2026-11-21").json()
    assert [(city["rank"], city["city"], city["region"]) for city in answer["cities"]] == [
        (1, "Roma", "Lazio"),
        (2, "Bari", "Puglia"),
        (3, "Zara", ""),
        (4, "Étretat", ""),
    ]
    assert answer["as_of"] == AS_OF


def test_money_is_exact_text(api: httpx2.Client) -> None:
    [roma] = api.get("/api/v1/sales/city?date=2026-11-20").json()["cities"]
    assert roma == {
        "rank": 1,
        "date": "2026-11-20",
        "country": "IT",
        "region": "",
        "city": "Roma",
        "total_sales": "99999999999999.9999",
        "transaction_count": 3,
        "avg_sale": "4150.1667",
        "max_sale": "9000.0000",
    }


def test_salesmen_are_ranked_in_the_whole_country(api: httpx2.Client) -> None:
    answer = api.get("/api/v1/salesmen/top?date=2026-11-21&limit=1").json()
    assert answer["as_of"] == AS_OF
    assert answer["salesmen"] == [
        {
            "date": "2026-11-21",
            "salesman_id": "S1",
            "salesman_name": "Salesman S1",
            "total_sales": "9360.0000",
            "deals_closed": 4,
            "avg_deal_size": "2340.0000",
            "cities_covered": 2,
            "rank": 1,
        }
    ]


def test_a_salesman_has_a_history_newest_day_first(api: httpx2.Client) -> None:
    answer = api.get("/api/v1/salesmen/S1/history").json()
    assert [(day["date"], day["total_sales"]) for day in answer["days"]] == [
        ("2026-11-21", "9360.0000"),
        ("2026-11-19", "3.0000"),
    ]
    assert (answer["salesman_id"], answer["as_of"]) == ("S1", AS_OF)


@pytest.mark.parametrize("path", RANKINGS)
def test_the_day_is_the_current_business_day_unless_said(path: str, api: httpx2.Client) -> None:
    assert api.get(path).json()["date"] == "2026-11-21"


def test_a_day_without_sales_is_an_empty_ranking(api: httpx2.Client) -> None:
    answer = api.get("/api/v1/sales/city?date=1999-01-01")
    assert (answer.status_code, answer.json()["cities"], answer.json()["as_of"]) == (200, [], AS_OF)


def test_ten_rows_unless_said(published: Results, client: httpx2.Client) -> None:
    execute(
        published.dsn,
        f"INSERT INTO {SCHEMA}.top_sales_by_city SELECT date, country, region, city || n, 1, 1, 1, 1 "
        f"FROM {SCHEMA}.top_sales_by_city, generate_series(1, 20) n WHERE city = 'Zara'",
    )
    assert len(client.get("/api/v1/sales/city").json()["cities"]) == 10
    assert len(client.get("/api/v1/sales/city?limit=1000").json()["cities"]) == 24


def test_a_ranking_that_is_held_back_says_so(published: Results, client: httpx2.Client) -> None:
    published.publisher.publish(Epoch(8, {}, {}, held=frozenset({"top_salesmen"})))
    assert client.get("/api/v1/salesmen/top").json()["as_of"] == {**AS_OF, "held_back": True}
    assert client.get("/api/v1/sales/city").json()["as_of"]["epoch"] == 8


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=ten", "date=21.11.2026", "date=0", "unknown=1"])
def test_what_cannot_be_meant_is_refused_by_name(path: str, query: str, api: httpx2.Client) -> None:
    answer = api.get(f"{path}?{query}")
    require_problem(answer, 422)
    assert query.partition("=")[0] in answer.json()["detail"]


def test_an_unknown_salesman_is_not_found(api: httpx2.Client) -> None:
    require_problem(api.get("/api/v1/salesmen/nobody/history"), 404)


@pytest.mark.parametrize("salesman", ["%00", "%ff", "a%2Fb", ""])
def test_an_odd_id_is_one_that_nobody_has(salesman: str, api: httpx2.Client) -> None:
    require_problem(api.get(f"/api/v1/salesmen/{salesman}/history"), 404)


def test_head_answers_as_get_without_the_body(api: httpx2.Client) -> None:
    path = f"{RANKINGS[0]}?limit=1"
    head, got = api.head(path), api.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert api.head("/nowhere").status_code == 404


def test_another_spelling_of_a_path_is_not_found(api: httpx2.Client) -> None:
    require_problem(api.get("/healthz/"), 404)


def test_before_the_first_publication_nothing_is_shown(results: Results, client: httpx2.Client) -> None:
    for path in ASKED:
        require_problem(client.get(path), 503)
    answer = client.get("/readyz")
    require_problem(answer, 503)
    assert answer.json()["errors"] == [
        *(f"model {name}: not published yet" for name in sorted(MODELS)),
        "nothing has been published yet",
        "engine: has not started yet",
    ]


def test_ready_when_published_alive_and_read(api: httpx2.Client) -> None:
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "epoch": 7})


def test_not_ready_names_the_source_that_is_down(published: Results, client: httpx2.Client) -> None:
    published.say(
        SourceStatus("shop", "postgres", "down", last_error="connection refused"),
        SourceStatus("branches", "files", "halted", last_error="slot lost"),
        SourceStatus("other", "files", "starting"),
    )
    answer = client.get("/readyz")
    require_problem(answer, 503)
    assert answer.json()["errors"] == ["source branches: halted: slot lost", "source shop: down: connection refused"]


def test_not_ready_names_what_stands_still(published: Results, client: httpx2.Client) -> None:
    halted = {"b": "it reads a, which is halted", "a": "the key column city is NULL"}
    published.status.write(EngineStatus(NOON, {"halted_models": halted, "held_tables": {"shop.o": "table shop.o lost x"}}), [])
    answer = client.get("/readyz")
    require_problem(answer, 503)
    assert answer.json()["errors"] == [
        "model a: halted: the key column city is NULL",
        "model b: halted: it reads a, which is halted",
        "table shop.o lost x",
    ]


def test_a_ranking_that_the_project_does_not_have_is_named(published: Results, client: httpx2.Client) -> None:
    execute(published.dsn, f"DROP TABLE {SCHEMA}.top_salesmen")
    answer = client.get("/api/v1/salesmen/top")
    require_problem(answer, 503)
    assert answer.json()["detail"].startswith(f"no top_salesmen is published in the schema '{SCHEMA}'")
    assert "LINE" not in answer.json()["detail"]


def test_not_ready_when_the_engine_is_silent(published: Results, client: httpx2.Client) -> None:
    execute(published.dsn, f"UPDATE {SCHEMA}._topline_engine SET heartbeat = now() - interval '1 minute'")
    answer = client.get("/readyz")
    require_problem(answer, 503)
    assert answer.json()["errors"] == ["engine: silent for 60 s"]


def test_every_endpoint_answers_with_a_problem_when_the_database_is_gone() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        with api_over(f"host=127.0.0.1 port={taken.getsockname()[1]} dbname=none", wait=0.2) as client:
            for path in addresses(client, "get") - {"/healthz", "/api/v1/lineage", "/api/v1/events"}:
                require_problem(client.get(path), 503)
            assert client.get("/healthz").json() == {"status": "ok"}


def test_a_schema_without_results_is_not_ready(api_database: str) -> None:
    with api_over(emptied(api_database)) as client:
        for path in [*ASKED, "/readyz"]:
            require_problem(client.get(path), 503)


def test_every_endpoint_and_none_refuses_in_the_same_shape(api: httpx2.Client) -> None:
    for path in addresses(api, "get"):
        require_problem(api.post(path), 405)
    require_problem(api.get("/api/v1/nothing"), 404)


def test_an_error_that_nobody_foresaw_keeps_the_shape_and_its_innards(published: Results, client: httpx2.Client) -> None:
    execute(published.dsn, f"ALTER TABLE {SCHEMA}.salesman_daily ALTER COLUMN deals_closed TYPE text USING 'secret'")
    answer = client.get("/api/v1/salesmen/S1/history")
    require_problem(answer, 500)
    assert "secret" not in answer.text


def test_the_document_declares_every_problem(client: httpx2.Client) -> None:
    document = client.get("/openapi.json").json()
    for path in ASKED[:2]:
        assert {"200", "403", "406", "422", "500", "503"} <= set(document["paths"][path]["get"]["responses"])
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["description"]
            for status, response in operation["responses"].items():
                assert ("application/problem+json" in response.get("content", {})) == (status >= "400"), response
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_a_page_that_resolves_its_name_to_this_machine_learns_nothing(api: httpx2.Client) -> None:
    require_problem(api.get("/api/v1/sales/city", headers={"Host": "evil.example"}), 421)
    assert api.get("/api/v1/sales/city", headers={"Host": "localhost:1"}).status_code == 200


def test_a_port_that_is_taken_is_named(client: httpx2.Client, results: Results) -> None:
    port = client.base_url.port
    assert port is not None
    with pytest.raises(ConfigError, match=f"port {port}.*api.port"):
        serve(FastAPI(), "127.0.0.1", port)


def addresses(client: httpx2.Client, method: str) -> set[str]:
    """Every endpoint of the document with this method, as it is asked."""
    paths = client.get("/openapi.json").json()["paths"]
    found = {path.format(salesman_id="S1", model="salesman_city_daily", number=1) for path in paths if method in paths[path]}
    return {f"{path}?country=IT&city=Roma" if path.endswith("city/history") else path for path in found}


def require_problem(answer: httpx2.Response, status: int) -> None:
    """RFC 9457, and ours: every field is there."""
    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, status), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(body) == {"type", "title", "status", "detail", "instance", "errors"}
    assert body["type"] == "about:blank"
    assert ("retry-after" in answer.headers) == (status == 503)
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == answer.request.url.path
