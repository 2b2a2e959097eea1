"""Sending rows to the API, as a shop or a webhook does."""

import base64
import contextlib
import gzip
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest

from tests.integration.sources.push.reading import ORDERS, Reading, push_source
from tests.polling import until
from topline.api import create_app, serve
from topline.api.problems import ProblemError
from topline.api.receiving import Budget
from topline.results import Reader
from topline.sources.base import Context
from topline.sources.push import Intake, Settings, create

KEY = {"Idempotency-Key": "k-1"}
SECRET = "shared"
SIGNED = {"header": "X-Signature", "secret": SECRET, "prefix": "sha256="}
STRIPE = {"header": "Stripe-Signature", "secret": SECRET, "scheme": "timestamped"}
SHOPIFY = {"header": "X-Shopify", "secret": SECRET, "encoding": "base64"}
_PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


@contextlib.contextmanager
def served(intakes: Sequence[Intake]) -> Iterator[httpx2.Client]:
    """An API without results: only what is sent matters here."""
    reader = Reader("host=127.0.0.1 port=1 dbname=none", "none")  # never opened
    app = create_app(reader, ZoneInfo("UTC"), intakes=intakes)
    with serve(app, "127.0.0.1", 0) as server, httpx2.Client(base_url=server.url, timeout=20) as client:
        yield client


class Api:
    """The API over one push source, and what the engine would read from it."""

    def __init__(self, state: Path, settings: Mapping[str, Any], client: httpx2.Client) -> None:
        self.state, self.settings, self.client = state, settings, client
        self.port = client.base_url.port

    def send(self, rows: object, table: str = "orders", **headers: str) -> httpx2.Response:
        return self.post(json.dumps(rows).encode(), "application/json", table, **headers)

    def post(self, body: bytes, kind: str, table: str = "orders", **headers: str) -> httpx2.Response:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(f"/api/v1/ingest/{table}", content=body, headers={"Content-Type": kind, **more})

    def rows(self) -> dict[str, dict[str, object]]:
        """What the engine makes of it, read by a source of its own."""
        with Reading(push_source(self.state, self.settings)) as reading:
            return reading.all()


@contextlib.contextmanager
def api_of(state: Path, **settings: Any) -> Iterator[Api]:
    with served(push_source(state, settings).intakes) as client:
        yield Api(state, settings, client)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    (state := tmp_path / "state").mkdir()
    with api_of(state) as opened:
        yield opened


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One for all tests after which nothing is in the inbox."""
    with api_of(tmp_path_factory.mktemp("refusing")) as opened:
        yield opened
        assert opened.rows() == {}


def order(number: object, **fields: object) -> dict[str, object]:
    return {"id": str(number), "amount": "1.10", **fields}


def require_problem(answer: httpx2.Response, status: int, *words: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, status), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["instance"] == answer.request.url.path
    assert all(word in answer.text for word in words), body


def test_an_object_is_accepted_and_read(api: Api) -> None:
    answer = api.send(order(1, items=2, placed="2026-11-21T10:00:00+01:00"))
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["table"], body["accepted"], body["kept_as_dead_letters"]) == ("web.orders", 1, 0)
    assert body["first"] == body["last"]
    [row] = api.rows().values()
    assert (row["id"], row["amount"], row["items"]) == ("1", "1.10", 2)
    assert str(row["placed"]) == "2026-11-21 09:00:00+00:00"


BODIES = {
    "array": (b'[{"id": "1", "amount": 1.10}, {"id": "2", "amount": null}]', "application/json"),
    "ndjson": (b'{"id": "1", "amount": 1.10}\n\n{"id": "2"}\r\n', "application/x-ndjson"),
    "alias": (b'{"id": "1", "amount": "1.10"}\n{"id": "2"}', "application/jsonl; charset=UTF-8"),
    "csv": (b"id,amount\r\n1,1.10\r\n2,\r\n", "text/csv"),
    "csv with a mark": (b'\xef\xbb\xbfamount,id\n"1.10",1\n,2\n', "text/csv"),
    "utf-16": ("id,amount\n1,1.10\n2,\n".encode("utf-16"), "text/csv; charset=utf-16"),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_kind_of_body_brings_the_same_rows(name: str, api: Api) -> None:
    answer = api.post(*BODIES[name])
    assert (answer.status_code, answer.json().get("accepted")) == (202, 2), answer.text
    assert {key: row["amount"] for key, row in api.rows().items()} == {"1": "1.10", "2": None}


def test_numbers_keep_their_exact_text_also_in_nested_values(api: Api) -> None:
    api.post(b'{"id": 12345678901234567890123, "amount": 1e3, "note": {"a": [1.10, "x", true, null]}}', "application/json")
    [row] = api.rows().values()
    assert row["id"] == "12345678901234567890123"
    assert row["amount"] == "1e3"
    assert row["note"] == '{"a":[1.10,"x",true,null]}'


def test_latin_1_csv_is_read_in_its_charset(api: Api) -> None:
    assert api.post("id,note\n1,Città\n".encode("latin-1"), "text/csv; charset=iso-8859-1").status_code == 202
    assert api.rows()["1"]["note"] == "Città"


def test_a_row_that_says_so_takes_the_row_of_its_key_out(api: Api) -> None:
    api.send([order(1), order(2)])
    assert api.send({"id": "1", "_deleted": True}).json()["accepted"] == 1
    assert api.post(b"id,_deleted\n2,true\n3,false\n", "text/csv").status_code == 202
    assert list(api.rows()) == ["3"]


REFUSED = {
    "unknown field": (b'[{"id": "1"}, {"id": "2", "colour": "red"}]', ["record 2", "colour", "allowed", "amount"]),
    "no key": (b'[{"id": "1"}, {"amount": "2"}]', ["record 2", "no key: id"]),
    "null key": (b'{"id": null}', ["record 1", "no key: id"]),
    "no number": (b'{"id": "1", "items": "two"}', ["record 1", "items", "'two'", "whole number"]),
    "no time": (b'{"id": "1", "placed": "yesterday"}', ["placed", "yesterday", "such as"]),
    "twice": (b'{"id": "1", "id": "2"}', ["record 1", "id: the member stands twice"]),
    "not an object": (b'[{"id": "1"}, 7]', ["record 2", "object"]),
    "no json": (b'[{"id": "1"}, ', ["not JSON", "character"]),
    "more after the end": (b'{"id": "1"} {"id": "2"}', ["not JSON", "character 13"]),
    "not a number": (b'{"id": "1", "amount": NaN}', ["NaN"]),
    "not utf-8": (b'{"id": "\xff"}', ["UTF-8", "0xff"]),
    "half a pair": (b'{"id": "\\ud800"}', ["surrogate"]),
    "nul": (b'{"id": "a\\u0000b"}', ["NUL"]),
    "deep": (b'{"id": "1", "note": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ["deep"]),
    "deleted what": (b'{"id": "1", "_deleted": "perhaps"}', ["_deleted", "perhaps"]),
    "deleted without key": (b'{"_deleted": true, "amount": "1"}', ["no key: id"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_row_is_refused_with_record_field_and_value_and_nothing_is_kept(name: str, refusing: Api) -> None:
    body, words = REFUSED[name]
    answer = refusing.post(body, "application/json")
    require_problem(answer, 422, *words)
    assert answer.json()["errors"]
    assert refusing.rows() == {}


REFUSED_CSV = {
    "no header": (b"", "names the fields"),
    "twice in the header": (b"id,id\n1,2\n", "twice"),
    "unnamed": (b"id,\n1,2\n", "without a name"),
    "too many": (b"id,amount\n1,2,3\n", "record 1: 3 fields"),
    "open quote": (b'id,amount\n1,"2\n', "line 2: a quoted field is never closed"),
    "after a quote": (b'id,amount\n1,2\n1,"2"3\n', "line 3: text after a closing quote"),
    "another charset": (b"id\n\xff\n", "UTF-8"),
    "unknown": (b"id,colour\n1,red\n", "colour"),
}


@pytest.mark.parametrize("name", REFUSED_CSV)
def test_csv_that_is_no_table_is_refused(name: str, refusing: Api) -> None:
    body, word = REFUSED_CSV[name]
    require_problem(refusing.post(body, "text/csv"), 422, word)
    assert refusing.rows() == {}


def test_a_thousand_faults_are_not_all_listed(refusing: Api) -> None:
    answer = refusing.send([{"id": None}] * 1000)
    require_problem(answer, 422, "1000 records")
    assert len(answer.json()["errors"]) == 100


def test_an_empty_array_is_accepted_and_changes_nothing(refusing: Api) -> None:
    assert refusing.send([]).json()["accepted"] == 0
    assert refusing.rows() == {}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "", "application/json; charset=latin-1"]
)
def test_another_kind_of_body_is_refused_with_what_is_allowed(kind: str, refusing: Api) -> None:
    require_problem(refusing.post(b"{}", kind), 415, "allowed")


def test_what_the_table_does_not_know_is_ignored_where_that_is_set(tmp_path: Path) -> None:
    with api_of(tmp_path, tables={"orders": {"on_unknown": "ignore"}}) as api:
        assert api.send(order(1, colour="red")).status_code == 202
        assert list(api.rows()) == ["1"]


def test_invalid_records_are_kept_where_that_is_set_and_the_others_count(tmp_path: Path) -> None:
    with api_of(tmp_path, tables={"orders": {"on_invalid": "keep"}}) as api:
        answer = api.post(b'[{"id": "1"},  {"id": "2", "items":"x"} , {"id": "3"}]', "application/json")
        assert (answer.json()["accepted"], answer.json()["kept_as_dead_letters"]) == (2, 1)
        assert api.post(b"<xml/>", "application/json").json()["kept_as_dead_letters"] == 1
        assert api.post(b"id,items\r\n4,1\r\n5,y\r\n", "text/csv").json()["accepted"] == 1
        with Reading(push_source(tmp_path, api.settings)) as reading:
            assert list(reading.all()) == ["1", "3", "4"]
            assert [letter.raw for letter in reading.letters] == [
                b'{"id": "2", "items":"x"}',
                b"<xml/>",
                b"id,items\n5,y\r\n",
            ]
            assert [letter.position.lo for letter in reading.letters] == [2, 4, 6]
            assert reading.numbers == [1, 3, 5]


def test_the_same_key_and_body_is_answered_as_before_and_counts_once(api: Api) -> None:
    first = api.send(order(1), **KEY)
    api.send(order(1, amount="9.99"))
    again = api.send(order(1), **{"Idempotency-Key": '"k-1"'})
    assert again.json() == first.json()
    assert (again.status_code, again.headers.get("idempotent-replayed")) == (202, "true")
    assert "idempotent-replayed" not in first.headers
    assert api.rows()["1"]["amount"] == "9.99"


def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    api.send(order(1), **KEY)
    require_problem(api.send(order(2), **KEY), 422, "k-1", "another body")
    assert list(api.rows()) == ["1"]


def test_a_refused_request_leaves_its_key_free(api: Api) -> None:
    require_problem(api.send({"id": None}, **KEY), 422)
    assert api.send(order(1), **KEY).status_code == 202


def test_keys_are_per_table(api: Api) -> None:
    assert api.send(order(1), **KEY).status_code == 202
    assert api.send({"id": "1", "name": "Ada"}, "customers", **KEY).status_code == 202


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\tbed", "é".encode().decode("latin-1")])
def test_a_key_that_is_none_is_refused(key: str, refusing: Api) -> None:
    answer = refusing.client.post(
        "/api/v1/ingest/orders",
        content=b'{"id": "1"}',
        headers=[(b"Content-Type", b"application/json"), (b"Idempotency-Key", key.encode("latin-1"))],
    )
    require_problem(answer, 400, "Idempotency-Key")


@contextlib.contextmanager
def begun(api: Api, body: bytes) -> Iterator[socket.socket]:
    """A request whose body the API waits for: its last byte has not been sent."""
    head = (
        f"POST /api/v1/ingest/orders HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nIdempotency-Key: k-1\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as slow:
        slow.sendall(head.encode())
        assert b" 100 " in slow.recv(100)
        slow.sendall(body[:-1])
        yield slow


def test_while_the_first_is_under_way_its_key_is_a_conflict(api: Api) -> None:
    body = b'{"id": "1"}'
    with begun(api, body) as slow:
        require_problem(api.send({"id": "1"}, **KEY), 409, "k-1")
        slow.sendall(body[-1:])
        assert b" 202 " in slow.recv(100)
    again = api.post(body, "application/json", **KEY)
    assert (again.status_code, again.headers.get("idempotent-replayed")) == (202, "true")


def test_a_client_that_goes_away_leaves_nothing(api: Api) -> None:
    with begun(api, b'{"id": "1"}'):
        assert api.send({"id": None}, **KEY).status_code == 409
    until(lambda: api.send({"id": None}, **KEY).status_code == 422, what="the key is free again")
    assert api.rows() == {}


@pytest.mark.parametrize(("table", "status"), [("web.orders", 202), ("orders", 202), ("shop.orders", 404), ("nothing", 404)])
def test_a_table_is_named_in_full_or_in_short(table: str, status: int, api: Api) -> None:
    answer = api.send(order(1), table)
    assert answer.status_code == status
    if status == 404:
        require_problem(answer, 404, "web.customers, web.orders")


def test_a_short_name_of_two_sources_is_not_clear(tmp_path: Path) -> None:
    other = Context("app", {"orders": replace(ORDERS, name="app.orders")}, tmp_path, tmp_path)
    intakes = [*push_source(tmp_path).intakes, *create(other, Settings()).intakes]
    with served(intakes) as client:
        answer = client.post("/api/v1/ingest/orders", json={"id": "1"})
        require_problem(answer, 404, "not clear", "app.orders, web.orders")
        assert client.post("/api/v1/ingest/app.orders", json={"id": "1"}).status_code == 202


def test_without_a_push_source_there_is_nothing_to_send_to() -> None:
    with served([]) as client:
        require_problem(client.post("/api/v1/ingest/orders", json={}), 404)


@pytest.mark.parametrize(
    ("origin", "status"), [("http://evil.example", 403), ("null", 403), ("https://127.0.0.1", 403), ("own", 202)]
)
def test_a_page_of_another_origin_may_not_send(origin: str, status: int, api: Api) -> None:
    own = str(api.client.base_url).rstrip("/")
    assert api.send(order(1), Origin=own if origin == "own" else origin).status_code == status
    assert len(api.rows()) == (status == 202)


def test_a_page_that_resolves_its_name_to_this_machine_sends_nothing(api: Api) -> None:
    require_problem(api.send(order(1), Host="evil.example"), 421)


SMALL = {"max_body_bytes": 2048}


def test_a_larger_body_is_refused_announced_or_not(tmp_path: Path) -> None:
    with api_of(tmp_path, **SMALL) as api:
        body = json.dumps([order(n) for n in range(100)]).encode()
        require_problem(api.post(body, "application/json"), 413, "2048")
        pieces = (body[at : at + 100] for at in range(0, len(body), 100))
        answer = api.client.post("/api/v1/ingest/orders", content=pieces, headers={"Content-Type": "application/json"})
        require_problem(answer, 413, "2048")
        assert api.rows() == {}


def test_gzip_is_unpacked_up_to_the_limit(tmp_path: Path) -> None:
    with api_of(tmp_path, **SMALL) as api:
        rows = json.dumps([order(n) for n in range(20)]).encode()
        several = gzip.compress(rows[:100]) + gzip.compress(rows[100:])
        for packed in (gzip.compress(rows), several):
            assert api.post(packed, "application/json", Content_Encoding="gzip").json()["accepted"] == 20
        bomb = gzip.compress(b" " * 50_000_000)
        require_problem(api.post(bomb[:1500], "application/json", Content_Encoding="gzip"), 413)
        require_problem(api.post(gzip.compress(rows)[:-9], "application/json", Content_Encoding="gzip"), 400, "too early")
        require_problem(api.post(rows, "application/json", Content_Encoding="gzip"), 400, "not gzip")
        require_problem(api.post(rows, "application/json", Content_Encoding="br"), 415, "gzip")


def test_the_memory_for_bodies_is_bounded_and_given_back() -> None:
    budget = Budget(100)
    with budget.share() as first, budget.share() as second:
        first.take(60)
        with pytest.raises(ProblemError, match="memory") as refused:
            second.take(41)
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
        second.take(40)
    with budget.share() as third:
        third.take(100)


def test_the_memory_of_requests_that_ended_is_free(tmp_path: Path) -> None:
    with api_of(tmp_path, **SMALL) as api:
        bodies = [[order(number, note="x" * 1500)] for number in range(10)] + [[{"id": None, "note": "x" * 1500}]] * 10
        assert [api.send(body).status_code for body in bodies] == [202] * 10 + [422] * 10


def test_more_than_may_wait_is_refused_until_the_engine_took_some(tmp_path: Path) -> None:
    with api_of(tmp_path, max_waiting_rows=3) as api:
        assert api.send([order(n) for n in range(2)], **KEY).status_code == 202
        assert api.send([order(n) for n in range(5)]).status_code == 202
        answer = api.send(order(1))
        require_problem(answer, 429, "7 rows", "3 rows")
        assert int(answer.headers["retry-after"]) > 0
        assert api.send([order(n) for n in range(2)], **KEY).headers["idempotent-replayed"] == "true"
        with Reading(push_source(tmp_path)) as reading:
            reading.all()
            reading.source.acknowledge(reading.batches[-1].positions)
        assert api.send(order(1)).status_code == 202


def test_more_bytes_than_may_wait_are_refused(tmp_path: Path) -> None:
    with api_of(tmp_path, max_waiting_bytes=1024) as api:
        assert api.send(order(1, note="x" * 2000)).status_code == 202
        require_problem(api.send(order(2)), 429, "1024 bytes")


def test_a_body_that_is_signed_is_let_in(tmp_path: Path) -> None:
    with api_of(tmp_path, tables={"orders": {"signature": SIGNED}}) as api:
        body = b'{"id": "1"}'
        good = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        for bad in (good[:-1] + ("0" if good[-1] != "0" else "1"), good.removeprefix("sha256="), "sha256=", "sha256"):
            require_problem(api.post(body, "application/json", **{"X-Signature": bad}), 401)
        answer = api.post(body, "application/json")
        require_problem(answer, 401, "missing")
        assert "www-authenticate" in answer.headers
        assert SECRET not in answer.text
        assert api.rows() == {}
        assert api.post(body, "application/json", **{"X-Signature": good}).status_code == 202


def test_signatures_in_base64_are_those_of_the_bytes_that_were_sent(tmp_path: Path) -> None:
    with api_of(tmp_path, tables={"orders": {"signature": SHOPIFY}}) as api:
        body = gzip.compress(b'{"id": "1"}')
        good = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        answer = api.post(body, "application/json", **{"X-Shopify": good, "Content-Encoding": "gzip"})
        assert answer.status_code == 202


@pytest.mark.parametrize(("age", "status"), [(0, 202), (200, 202), (400, 401), (-400, 401)])
def test_a_signature_with_a_time_holds_for_some_minutes(age: int, status: int, tmp_path: Path) -> None:
    with api_of(tmp_path, tables={"orders": {"signature": STRIPE}}) as api:
        body, then = b'{"id": "1"}', int(time.time()) - age
        signed = hmac.new(SECRET.encode(), f"{then}.".encode() + body, hashlib.sha256).hexdigest()
        header = f"t={then},v1={'0' * 64},v1={signed},v0=old"
        assert api.post(body, "application/json", **{"Stripe-Signature": header}).status_code == status
        forged = header.replace(f"t={then}", f"t={then + 1}")
        require_problem(api.post(body, "application/json", **{"Stripe-Signature": forged}), 401)
        require_problem(api.post(body, "application/json", **{"Stripe-Signature": "t=,v1="}), 401)


def test_who_sent_it_can_ask_whether_it_is_in_the_log(api: Api) -> None:
    sent = api.send([order(1), order(2)]).json()
    found = api.client.get(sent["status"]).json()
    assert (found["waiting_rows"], found["accepted"]) == (2, sent["last"])
    assert found["committed"] < sent["first"]
    with Reading(push_source(api.state)) as reading:
        reading.all()
        reading.source.acknowledge(reading.batches[-1].positions)
    found = api.client.get(sent["status"]).json()
    assert (found["waiting_rows"], found["waiting_bytes"], found["committed"]) == (0, 0, sent["last"])


def test_an_inbox_that_cannot_be_opened_is_unavailable_and_comes_back(api: Api) -> None:
    api.state.rename(api.state.with_name("away"))
    api.state.write_text("a file where a folder is expected")
    answer = api.send(order(1))
    require_problem(answer, 503, "inbox")
    assert answer.headers["retry-after"]
    api.state.unlink()
    api.state.with_name("away").rename(api.state)
    assert api.send(order(1)).status_code == 202


def test_a_damaged_inbox_is_named(api: Api) -> None:
    (api.state / "inbox.sqlite").write_bytes(b"no database" * 1000)
    require_problem(api.send(order(1)), 503, "damaged")


def test_many_senders_at_once_each_count_once(api: Api) -> None:
    def send(worker: int) -> int:
        with httpx2.Client(base_url=api.client.base_url, timeout=20) as client:
            headers = [{"Idempotency-Key": f"{worker}-{n // 2}"} for n in range(20)]
            answers = [
                client.post("/api/v1/ingest/orders", json=order(f"{worker}-{n // 2}"), headers=headers[n]) for n in range(20)
            ]
        return sum(answer.status_code == 202 for answer in answers)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(8))) == 160
    with Reading(push_source(api.state)) as reading:
        assert len(reading.all()) == 80
        assert reading.numbers == list(range(1, 81))


def test_the_document_describes_bodies_and_answers(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    post = document["paths"]["/api/v1/ingest/{table}"]["post"]
    assert set(post["requestBody"]["content"]) == {"application/json", "application/x-ndjson", "text/csv"}
    assert {"202", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"} <= set(post["responses"])
    assert "Idempotency-Key" in {parameter["name"] for parameter in post["parameters"]}
    for status, response in post["responses"].items():
        assert ("application/problem+json" in response["content"]) == (status != "202"), response


def test_the_documentation_shows_what_is_answered(api: Api) -> None:
    _, _, page = _PAGE.partition("## Sending rows")
    body = re.findall(r"^\[.*\]$", page, re.MULTILINE)[0].encode()
    accepted, standing = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)[:2])
    answer = api.post(body, "application/json", "web.orders").json()
    own = {"first", "last", "accepted_at"}
    assert answer.keys() == accepted.keys()
    assert {name: answer[name] for name in answer.keys() - own} == {name: accepted[name] for name in accepted.keys() - own}
    assert api.client.get(answer["status"]).json().keys() == standing.keys()
