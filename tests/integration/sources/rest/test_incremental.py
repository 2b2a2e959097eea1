"""Later polls ask for what changed, and no row is passed over, however the origin sorts and whatever moves meanwhile."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.ledger import Ledger, Rows
from tests.integration.sources.rest.asking import always, feed, in_turn, listed, serving, source
from tests.polling import until
from tests.servers.http import Asked, Reply
from topline.errors import SourceHalted
from topline.sources.base import Resume
from topline.sources.polled import CursorExpired, PolledSource

TIME = {"cursor": {"field": "at", "overlap": 60}, "since": {"param": "since"}}
VERSION = {"cursor": {"field": "v", "type": "number", "overlap": 0}, "since": {"param": "since"}}
BY_PAGE = {"paging": {"by": "page", "param": "page"}}
BY_TOKEN = {"rows": "items", "paging": {"by": "cursor", "param": "after", "next": "next"}}


def items(field: str, **ids: object) -> str:
    return json.dumps([{"id": name, field: value} for name, value in ids.items()])


def cursor_of(body: str, table: dict[str, Any], since: str | None = None) -> str | None:
    with serving(always(Reply(body))) as server:
        return [page.cursor for page in feed(server.url, table).pages(since)][-1]


def asked_for(since: str, table: dict[str, Any]) -> str | None:
    with serving(always(Reply("[]"))) as server:
        listed(feed(server.url, table).pages(since))
        return server.asked[0].query.get("since")


def test_the_greatest_time_is_kept_and_asked_for_less_the_overlap() -> None:
    body = items("at", a="2026-11-21T10:00:00+01:00", b="2026-11-21T09:30:00Z", c=None)
    cursor = cursor_of(body, TIME)
    assert cursor is not None
    assert asked_for(cursor, TIME) == "2026-11-21T09:29:00Z"


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        ("iso", "2026-11-21T09:29:00.500000Z"),
        ("epoch", "1795253340"),
        ("epoch_ms", "1795253340500"),
        ("%Y-%m-%d %H:%M:%S", "2026-11-21 09:29:00"),
    ],
)
def test_times_are_written_as_the_origin_reads_them(form: str, sent: str) -> None:
    assert asked_for("2026-11-21T09:30:00.5+00:00", {**TIME, "since": {"param": "since", "format": form}}) == sent


@pytest.mark.parametrize(("form", "value"), [("epoch", 1700000000), ("epoch", "1700000000.25"), ("epoch_ms", 1700000000250)])
def test_times_in_seconds_are_read_as_they_are_asked_for(form: str, value: object) -> None:
    table = {**TIME, "since": {"param": "since", "format": form}}
    cursor = cursor_of(items("at", a=value), table)
    assert cursor is not None
    assert cursor.startswith("2023-11-14T22:13:20")
    assert asked_for(cursor, table) == ("1699999940" if form == "epoch" else "1699999940250")


def test_a_time_may_be_sent_as_it_came() -> None:
    table = {"cursor": {"field": "at", "overlap": 0}, "since": {"param": "since", "format": "raw"}}
    cursor = cursor_of(items("at", a="2026-11-21 10:00:00.0+01:00", b="2026-11-21 08:59:00+00:00"), table)
    assert cursor == "2026-11-21 10:00:00.0+01:00"
    assert asked_for(cursor, table) == cursor


def test_a_template_surrounds_it() -> None:
    table = {**VERSION, "since": {"param": "since", "template": "version gt {} and shop eq 7"}}
    assert asked_for("41", table) == "version gt 41 and shop eq 7"


def test_numbers_reach_back_by_a_distance() -> None:
    table = {**VERSION, "cursor": {"field": "v", "type": "number", "overlap": 10}}
    assert cursor_of(items("v", a=99, b="100", c=9), table) == "100"
    assert asked_for("100", table) == "90"


def test_texts_are_compared_by_bytes() -> None:
    table = {**VERSION, "cursor": {"field": "v", "type": "text"}}
    assert cursor_of(items("v", a="01B", b="01a", c="01A"), table) == "01a"
    assert asked_for("01a", table) == "01a"


def test_a_field_may_lie_within() -> None:
    table = {**VERSION, "cursor": {"field": "meta.v", "type": "number", "overlap": 0}}
    assert cursor_of('[{"id": 1, "meta": {"v": 7}}]', table) == "7"


def test_a_row_dated_in_the_future_does_not_hide_later_ones() -> None:
    cursor = cursor_of(items("at", a="2999-01-01T00:00:00Z"), TIME)
    assert cursor is not None
    assert cursor < "2900"


def test_an_empty_poll_keeps_the_cursor() -> None:
    assert cursor_of("[]", VERSION, since="12") == "12"


def test_a_row_without_a_value_counts_and_moves_nothing() -> None:
    with serving(always(Reply(items("v", a="?", b=None)))) as server:
        (page,) = feed(server.url, VERSION).pages("3")
    assert [record.values["id"] for record in page.records] == ["a", "b"]
    assert not any(record.fault for record in page.records)
    assert page.cursor == "3"


def test_a_cursor_of_another_type_lists_everything() -> None:
    with serving(always(Reply("[]"))) as server, pytest.raises(CursorExpired):
        listed(feed(server.url, VERSION).pages("2026-11-21T00:00:00Z"))


def page_by_page(bodies: list[str], table: dict[str, Any], **headers: str) -> list[str | None]:
    replies = [Reply(body, headers=headers) for body in (*bodies, "[]")]
    with serving(in_turn(*replies)) as server:
        return [page.cursor for page in feed(server.url, {**table, **BY_PAGE}).pages(None)]


def test_the_newest_first_is_kept_from_the_first_page() -> None:
    assert page_by_page([items("v", a=9, b=8), items("v", c=7)], VERSION) == [None, None, "9"]


def test_of_numbers_no_more_than_the_first_page_is_vouched_for() -> None:
    """In a rising order too: the changes that lie behind it may have moved rows over the gap between two pages."""
    assert page_by_page([items("v", a=5, b=3), items("v", c=9), items("v", d=1)], VERSION)[-1] == "5"
    assert page_by_page([items("v", a=1, b=2), items("v", c=3)], VERSION)[-1] == "2"


FEBRUARY = "Sun, 01 Feb 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        (("2026-01-02", "2026-01-01", "2026-01-03"), "2026-01-03"),  # in no order, nothing changed meanwhile
        (("2026-01-02", "2026-01-01", "2026-05-05"), "2026-02-01"),  # in no order: what changed later is asked for again
        (("2026-01-01", "2026-01-02", "2026-01-03"), "2026-01-03"),  # rising, nothing changed meanwhile
        (("2026-01-01", "2026-01-02", "2026-05-05"), "2026-01-01"),  # rising, and rows moved: some may have been passed over
    ],
)
def test_times_are_vouched_for_until_the_first_page_was_asked_for(times: tuple[str, ...], kept: str) -> None:
    pages = [items("at", **{f"r{n}": f"{time}T00:00:00Z"}) for n, time in enumerate(times)]
    assert page_by_page(pages, TIME, Date=FEBRUARY)[-1] == f"{kept}T00:00:00+00:00"


def test_by_offset_in_rising_order_the_greatest_is_kept() -> None:
    bodies = [items("v", a=1, b=2), items("v", b=2, c=3), items("v", c=3)]
    table = {**VERSION, "since": {"param": "since", "rising": True}, "paging": {"by": "offset", "param": "skip", "size": 2}}
    with serving(in_turn(*map(Reply, bodies))) as server:
        assert [page.cursor for page in feed(server.url, table).pages(None)] == [None, None, "3"]


def test_a_long_list_in_rising_order_goes_on_where_it_broke_off() -> None:
    table = {**VERSION, **BY_TOKEN, "since": {"param": "since", "rising": True}}
    bodies = [json.dumps({"items": [{"id": n, "v": n}], "next": n}) for n in range(1, 4)]
    with serving(in_turn(*map(Reply, bodies))) as server:
        pages = feed(server.url, table).pages(None)
        assert [next(pages).cursor for _ in range(3)] == ["1", "2", "3"]


def test_an_origin_that_does_not_sort_as_it_was_said_stops() -> None:
    table = {**VERSION, **BY_TOKEN, "since": {"param": "since", "rising": True}}
    bodies = [json.dumps({"items": [{"id": n, "v": n}], "next": n}) for n in (2, 1)]
    with serving(in_turn(*map(Reply, bodies))) as server, pytest.raises(SourceHalted, match=r"since\.rising"):
        listed(feed(server.url, table).pages(None))


SYNC: dict[str, Any] = {
    "rows": "items",
    "cursor": {"field": "sync.next", "type": "text"},
    "since": {"param": "token", "place": "body"},
    "paging": {"by": "cursor", "param": "page", "next": "next"},
}


def test_a_token_of_the_origin_counts_once_the_last_page_is_there() -> None:
    bodies = [
        '{"items": [{"id": 1}], "next": "p", "sync": {"next": "early"}}',
        '{"items": [{"id": 2}], "sync": {"next": "A/+ ="}}',
    ]
    with serving(in_turn(*map(Reply, bodies))) as server:
        assert [page.cursor for page in feed(server.url, SYNC).pages(None)] == [None, "A/+ ="]
        listed(feed(server.url, SYNC).pages("A/+ ="))
        assert server.asked[-1].query["token"] == "A/+ ="


def test_a_token_may_come_in_a_header() -> None:
    table = {"cursor": {"field": "X-Sync", "type": "text"}, "since": {"param": "token", "place": "header"}}
    with serving(always(Reply("[]", headers={"X-Sync": "s1"}))) as server:
        assert [page.cursor for page in feed(server.url, table).pages(None)] == ["s1"]


@pytest.mark.parametrize("status", [410, 400])
def test_an_expired_token_lists_everything_and_retracts_what_is_gone(tmp_path: Path, status: int) -> None:
    """The origin forgot the token, and row 2 with it."""
    table = {**SYNC, "since": {**SYNC["since"], "expired": [410, 400]}, "compare_every": 3600}
    forgotten: list[str] = []

    def app(asked: Asked) -> Reply:
        if asked.query.get("token") in forgotten:
            return Reply('{"error": "fullSyncRequired"}', status)
        ids = [] if "token" in asked.query else [1, 3] if forgotten else [1, 2]
        return Reply(json.dumps({"items": [{"id": n} for n in ids], "sync": {"next": f"t{len(forgotten)}"}}))

    ledger = Ledger()
    with serving(app) as server:
        pulled = source(server.url, tmp_path, table)
        pulled.open(Resume())
        until(lambda: _committed(pulled, ledger) == {"1": None, "2": None})
        forgotten.append("t0")
        until(lambda: _committed(pulled, ledger) == {"1": None, "3": None})
        pulled.close()


def _committed(pulled: PolledSource, ledger: Ledger) -> Rows:
    batch = pulled.read(10, 0.02)
    if batch is not None:
        ledger.commit(batch)
    return ledger.rows


def test_gone_without_a_token_is_an_error() -> None:
    with serving(always(Reply("gone", 410))) as server, pytest.raises(SourceHalted, match="HTTP 410"):
        listed(feed(server.url, SYNC).pages(None))
