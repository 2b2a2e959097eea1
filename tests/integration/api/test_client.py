"""The client that comes with the package, against a real server."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import httpx2
import pytest
from fastapi import FastAPI, Response

from tests.integration.api.conftest import DAY, Results, api_over
from tests.integration.results.support import NOON, SCHEMA, query
from topline.api import serve
from topline.client import Client, Refused
from topline.results import DeadLetterStatus


@pytest.fixture
def topline(published: Results) -> Iterator[Client]:
    published.tell([DeadLetterStatus(1, "branches", "branches.sales", "rome.csv:7", "3 fields", NOON, "open", b"17;Roma")])
    with api_over(published.dsn) as api, Client(str(api.base_url)) as client:
        yield client


def test_it_gives_rankings_page_by_page(topline: Client) -> None:
    pages = list(topline.pages(topline.sales_by_city(date=DAY, limit=3)))
    assert [len(page.cities) for page in pages] == [3, 1]
    assert pages[0].cities[0].city == "Roma"
    assert sum(Decimal(city.total_sales) for page in pages for city in page.cities) == Decimal("12467.5")
    assert [man.salesman_id for man in topline.top_salesmen(first=date(2026, 11, 1), last=DAY).salesmen] == ["S1", "S2", "S3"]


def test_it_gives_every_other_answer(topline: Client) -> None:
    assert topline.city_history("IT", "Roma", region="Lazio").days[0].total_sales == "12450.5000"
    assert topline.salesman("S1").totals.deals_closed == 8
    assert topline.salesman_history("S1").days[0].date == DAY
    assert topline.rejected_sales(source="shop").rejected[0].reason == "amount missing"
    assert topline.dead_letters(state="open").dead_letters[0].id == 1
    assert topline.dead_letter(1).text == "17;Roma"
    assert [source.source for source in topline.sources().sources] == ["branches", "shop"]
    assert "salesman_daily" in [model.name for model in topline.models().models]
    assert topline.rows("salesman_city_daily", date=DAY, city="Bari").rows[0]["total_sales"] == "7.0000"
    assert topline.lineage().models
    assert topline.ready().epoch == 7


def test_it_asks_for_a_replay(topline: Client, published: Results) -> None:
    assert topline.replay(1, 2).letters == [1, 2]
    assert query(published.dsn, f"SELECT kind, arguments FROM {SCHEMA}._topline_commands") == [("replay", {"letters": [1, 2]})]


def test_a_problem_is_raised(topline: Client) -> None:
    with pytest.raises(Refused, match="no sale of a salesman") as refused:
        topline.salesman("nobody")
    assert (refused.value.problem.status, refused.value.retry_after) == (404, None)


def test_an_answer_of_somebody_else_is_a_problem_too(gateway: str) -> None:
    with Client(gateway) as client, pytest.raises(Refused, match="502 Bad Gateway: no upstream"):
        client.sources()


@pytest.fixture
def gateway() -> Iterator[str]:
    """A proxy whose server is gone."""
    app = FastAPI()
    app.get("/api/v1/sources")(lambda: Response("no upstream", 502))
    with serve(app, "127.0.0.1", 0) as server:
        yield server.url


def test_a_server_that_is_gone_is_the_transports_own_error() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(httpx2.ConnectError):
        client.sources()
