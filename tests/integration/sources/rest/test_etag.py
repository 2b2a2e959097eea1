"""A list is asked for conditionally only where 304 surely means: every row that was handed over is still all there is."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.ledger import Ledger
from tests.integration.sources.rest.asking import always, feed, listed, rows, serving, source
from tests.polling import until
from tests.servers.http import Asked, Reply
from topline.errors import TransientError
from topline.sources.base import Resume

TAGGED = Reply(rows("1", "2"), headers={"ETag": 'W/"a"'})


def tagged(asked: Asked) -> Reply:
    return Reply(status=304) if asked.headers.get("if-none-match") == 'W/"a"' else TAGGED


def test_a_whole_list_is_asked_for_only_if_it_changed() -> None:
    with serving(tagged) as server:
        asking = feed(server.url)
        assert listed(asking.pages(None)) == ["1", "2"]
        for _ in range(2):
            (page,) = asking.pages(None)
            assert page.unchanged
            assert not page.records
        assert [asked.headers.get("if-none-match") for asked in server.asked] == [None, 'W/"a"', 'W/"a"']


def test_unchanged_retracts_nothing(tmp_path: Path) -> None:
    ledger = Ledger()
    with serving(tagged) as server:
        pulled = source(server.url, tmp_path)
        pulled.open(Resume())

        def read() -> bool:
            batch = pulled.read(10, 0.02)
            if batch is not None:
                ledger.commit(batch)
            return len(server.asked) > 3

        until(read)
        pulled.close()
    assert ledger.rows == {"1": "v", "2": "v"}


def test_a_list_that_was_not_taken_to_its_end_is_asked_for_whole() -> None:
    with serving(tagged) as server:
        asking = feed(server.url)
        next(asking.pages(None))
        listed(asking.pages(None))
        assert [asked.headers.get("if-none-match") for asked in server.asked] == [None, None]


def test_after_a_reopening_it_is_asked_for_whole() -> None:
    """What was handed over may have been lost before its commit."""
    with serving(tagged) as server:
        asking = feed(server.url)
        for _ in range(2):
            listed(asking.pages(None))
            asking.close()
        assert [asked.headers.get("if-none-match") for asked in server.asked] == [None, None]


def test_after_a_failure_it_is_asked_for_whole() -> None:
    with serving(tagged) as server:
        asking = feed(server.url)
        listed(asking.pages(None))
        server.app = always(Reply("", 500))
        with pytest.raises(TransientError):
            listed(asking.pages(None))
        server.app = tagged
        assert listed(asking.pages(None)) == ["1", "2"]


@pytest.mark.parametrize(
    ("table", "reply"),
    [
        ({"paging": {"by": "link"}}, TAGGED),  # a next page would stand in a header, which the tag need not cover
        ({"paging": {"by": "cursor", "param": "p", "next": "header:X-Next"}}, TAGGED),
        ({"paging": {"by": "page", "param": "p", "size": 2, "until": "short", "total": "header:X-Total"}}, TAGGED),
        ({"cursor": {"field": "id", "type": "text"}, "since": {"param": "since"}}, TAGGED),
    ],
)
def test_where_the_tag_does_not_cover_all_it_is_not_used(table: dict[str, Any], reply: Reply) -> None:
    reply = Reply(reply.body, headers={**reply.headers, "X-Total": "2"})
    with serving(always(reply)) as server:
        asking = feed(server.url, table)
        for _ in range(2):
            listed(asking.pages(None))
        assert all("if-none-match" not in asked.headers for asked in server.asked)


def test_of_several_pages_the_first_says_nothing_of_the_others() -> None:
    def app(asked: Asked) -> Reply:
        return Reply(rows(*"12" if asked.query["p"] == "1" else "3"), headers={"ETag": '"a"'})

    table = {"paging": {"by": "page", "param": "p", "size": 2, "until": "short"}}
    with serving(app) as server:
        asking = feed(server.url, table)
        for _ in range(2):
            listed(asking.pages(None))
        assert all("if-none-match" not in asked.headers for asked in server.asked)


def test_one_page_that_is_surely_all_is_asked_for_conditionally() -> None:
    table = {"paging": {"by": "page", "param": "p", "size": 3, "until": "short"}}
    with serving(tagged) as server:
        asking = feed(server.url, table)
        listed(asking.pages(None))
        assert [page.unchanged for page in asking.pages(None)] == [True]


@pytest.mark.parametrize(("age", "asks"), [(3600, True), (5, False)])
def test_the_time_of_the_last_change_serves_once_it_lies_back(age: int, asks: bool) -> None:
    """Within the second that it names, or by a clock that is off, the list may have changed again."""
    now = datetime.now(UTC)
    changed = format_datetime(now - timedelta(seconds=age), usegmt=True)
    headers = {"Last-Modified": changed, "Date": format_datetime(now, usegmt=True)}
    with serving(always(Reply(rows("1"), headers=headers))) as server:
        asking = feed(server.url)
        listed(asking.pages(None))
        listed(asking.pages(None))
        assert server.asked[1].headers.get("if-modified-since") == (changed if asks else None)
