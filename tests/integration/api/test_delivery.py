"""ETags, packed answers, and the forms that rows come in."""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from decimal import Decimal

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Postgres
from tests.integration.api.conftest import DAY, Results, api_over, first_epoch
from tests.integration.api.test_api import addresses, require_problem
from tests.integration.results.support import NOON, SCHEMA, execute
from tests.polling import until
from topline.results import Epoch

CITY = "/api/v1/sales/city"
PARQUET = "application/vnd.apache.parquet"


@pytest.fixture(scope="module")
def api(postgres: Postgres) -> Iterator[httpx2.Client]:
    results = Results(postgres.dsn("delivery"))
    results.publisher.publish(first_epoch())
    odd = "(date '2026-11-18', 'I\"T', E'a,b\\r\\nc', '', -1.5, 1, -1.5, -1.5)"
    most = ", ".join(f"(date '2025-01-0{day}', 'IT', '', 'Zara', 99999999999999.9999, 1, 1, 1)" for day in (1, 2))
    execute(results.dsn, f"INSERT INTO {SCHEMA}.top_sales_by_city VALUES {odd}, {most}")
    results.tell([])
    with api_over(results.dsn) as client:
        yield client
    results.close()


def test_an_answer_that_did_not_change_is_not_sent_again(api: httpx2.Client) -> None:
    for path in sorted(addresses(api, "get") - {"/healthz", "/readyz", "/api/v1/events", "/api/v1/dead-letters/1"}):
        first = api.get(path)
        tag = first.headers["etag"]
        assert tag.startswith('"'), "a strong one"
        if path == "/api/v1/sources":  # says how old the heartbeat is
            continue
        for given in (tag, f'"other", W/{tag}', "*"):
            again = api.get(path, headers={"If-None-Match": given})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_tag_is_of_the_question_the_form_and_the_epoch(published: Results, client: httpx2.Client) -> None:
    tags = [client.get(CITY, headers=headers).headers["etag"] for headers in ({}, {"Accept": "text/csv"}, {"Accept": PARQUET})]
    tags += [client.get(f"{CITY}?date=1999-01-0{day}").headers["etag"] for day in (1, 2)]
    tags.append(client.get(CITY, headers={"Accept-Encoding": "identity"}).headers["etag"])
    published.publisher.publish(Epoch(8, {}, {"shop": NOON, "branches": NOON}))
    for headers in ({}, {"Accept": "text/csv"}):
        old = tags[len(headers)]
        tags.append(until(lambda old=old, headers=headers: _other(client, headers, old)))  # type: ignore[misc]
    assert len(set(tags)) == len(tags) - 1, "small answers are not packed"


def _other(client: httpx2.Client, headers: dict[str, str], old: str) -> str | None:
    tag = client.get(CITY, headers=headers).headers["etag"]
    return tag if tag != old else None


def test_a_large_answer_is_packed_for_who_takes_that(api: httpx2.Client) -> None:
    path = "/openapi.json"
    plain, packed = (api.get(path, headers={"Accept-Encoding": coding}) for coding in ("gzip;q=0", "br, gzip;q=0.5"))
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert plain.content == packed.content, "unpacked by the client"
    assert plain.headers["etag"] != packed.headers["etag"]
    assert "Accept-Encoding" in plain.headers["vary"]
    with api.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        assert gzip.decompress(b"".join(answer.iter_raw())) == plain.content


def test_rows_come_as_csv(api: httpx2.Client) -> None:
    answer = api.get(f"{CITY}?from=2026-11-18&to=2026-11-18", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert json.loads(answer.headers["topline-as-of"])["epoch"] == 7
    header, row = csv.reader(io.StringIO(answer.text, newline=""))
    assert header == ["rank", "date", "country", "region", "city", "total_sales", "transaction_count", "avg_sale", "max_sale"]
    assert row == ["1", "2026-11-18", 'I"T', "a,b\r\nc", "", "-1.5000", "1", "-1.5000", "-1.5000"]
    assert answer.text.endswith('"I""T","a,b\r\nc","",-1.5000,1,-1.5000,-1.5000\r\n')
    assert api.get(f"{CITY}?from=2026-11-18", headers={"Accept": "text/csv"}).text.splitlines()[1].startswith("1,,IT")


def test_rows_come_as_parquet(api: httpx2.Client) -> None:
    answer = api.get("/api/v1/salesmen/top", headers={"Accept": PARQUET})
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.schema.field("total_sales").type == pa.decimal128(18, 4)
    assert table.schema.field("date").type == pa.date32()
    assert table.select(["rank", "date", "salesman_id", "total_sales"]).to_pylist() == [
        {"rank": 1, "date": DAY, "salesman_id": "S1", "total_sales": Decimal("9360.0000")},
        {"rank": 2, "date": DAY, "salesman_id": "S2", "total_sales": Decimal("3090.5000")},
    ]
    empty = api.get(f"{CITY}?date=1999-01-01", headers={"Accept": PARQUET})
    assert pq.read_table(io.BytesIO(empty.content)).num_rows == 0


LISTS = {
    "salesmen/S1/history": 2,
    "sales/city/history?country=IT&region=Lazio&city=Roma": 1,
    "sales/rejected": 2,
    "dead-letters": 0,
}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("media", ["text/csv", PARQUET])
def test_every_list_comes_as_a_table(path: str, media: str, api: httpx2.Client) -> None:
    content = api.get(f"/api/v1/{path}", headers={"Accept": media}).content
    rows = list(csv.DictReader(io.StringIO(content.decode()))) if media == "text/csv" else _parquet(content)
    assert len(rows) == LISTS[path]


def _parquet(content: bytes) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


def test_pages_of_tables_go_on_by_the_link(api: httpx2.Client) -> None:
    answer = api.get(f"{CITY}?limit=3", headers={"Accept": "text/csv"})
    following = answer.links["next"]["url"]
    assert api.get(following, headers={"Accept": "text/csv"}).text.splitlines()[1].startswith("4,")


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/json;q=0.2, text/csv;q=0.5", "text/csv"),
        ("*/*, application/json;q=0", "text/csv"),
        ("", "application/json"),
    ],
)
def test_the_form_is_the_one_that_is_wanted_most(accept: str, media: str, api: httpx2.Client) -> None:
    assert api.get(CITY, headers={"Accept": accept}).headers["content-type"].startswith(media)


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/xml;q=x"])
def test_another_form_is_refused(accept: str, api: httpx2.Client) -> None:
    answer = api.get(CITY, headers={"Accept": accept})
    require_problem(answer, 406)
    assert PARQUET in answer.json()["detail"]


def test_a_total_beyond_parquets_money_is_refused_and_told(api: httpx2.Client) -> None:
    path = f"{CITY}?from=2025-01-01&to=2025-01-02"
    assert api.get(path).json()["cities"][0]["total_sales"] == "199999999999999.9998"
    answer = api.get(path, headers={"Accept": PARQUET})
    require_problem(answer, 406)
    assert "DECIMAL(18,4)" in answer.json()["detail"]


def test_the_reference_works_without_the_internet(api: httpx2.Client) -> None:
    page = api.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "http" not in page.text
    for file in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert f"/docs/{file}" in page.text
        assert api.get(f"/docs/{file}").status_code == 200
    require_problem(api.get("/docs/../app.py"), 404)
    require_problem(api.get("/docs/nothing.js"), 404)
