"""An origin that asks to wait is not asked before, in the midst of a list neither."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.sources.rest.asking import always, feed, in_turn, listed, rows, serving, source
from tests.polling import until
from tests.servers.http import Asked, Reply, Server
from topline.errors import SourceHalted, TransientError
from topline.sources.base import Resume
from topline.sources.rest.client import wait_of

PAGES = {"paging": {"by": "page", "param": "page"}}
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "99999999999999999999"}, 999_999_999),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 0),
        # by the origin's own clock, which is five minutes behind
        (
            {
                "retry-after": format_datetime(NOW - timedelta(seconds=240), usegmt=True),
                "date": format_datetime(NOW - timedelta(seconds=300), usegmt=True),
            },
            60,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 30)}, 30),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "45"}, 45),
        ({"x-ratelimit-remaining": "12", "x-ratelimit-reset": "45"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "²"}, None),
        ({}, None),
    ],
)
def test_how_long_the_origin_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_of(headers, NOW) == seconds


def times(server: Server) -> tuple[list[float], Callable[[Asked], Reply]]:
    """When each request came, and the app that notes it."""
    found: list[float] = []
    app = server.app

    def noting(asked: Asked) -> Reply:
        found.append(time.monotonic())
        return app(asked)

    return found, noting


@pytest.mark.parametrize("status", [429, 503, 403])
def test_the_first_page_says_until_when_and_asks_no_more_before(tmp_path: Path, status: int) -> None:
    """Also when the source is opened anew meanwhile, as after every such error."""
    with serving(in_turn(Reply("slow down", status, {"Retry-After": "1"}), Reply(rows("1")))) as server:
        came, server.app = times(server)
        pulled = source(server.url, tmp_path)
        pulled.open(Resume())
        with pytest.raises(TransientError, match="asked again in 1 s"):
            pulled.read(10, 1)
        pulled.open(Resume())
        with pytest.raises(TransientError, match="asked to wait"):
            pulled.read(10, 1)

        def opened() -> bool:
            try:
                pulled.open(Resume())
                return pulled.read(10, 0.1) is not None
            except TransientError:
                return False

        until(opened)
        pulled.close()
    assert came[1] - came[0] >= 1


def test_a_refusal_without_a_wish_to_wait_stops() -> None:
    with serving(always(Reply("no", 403))) as server, pytest.raises(SourceHalted):
        listed(feed(server.url).pages(None))


def test_the_wait_has_a_limit() -> None:
    with serving(in_turn(Reply("", 429, {"Retry-After": "86400"}), Reply(rows("1")))) as server:
        asking = feed(server.url, max_wait=0.1)
        with pytest.raises(TransientError, match="HTTP 429"):
            listed(asking.pages(None))
        until(lambda: _tried(asking))


def _tried(asking: object) -> bool:
    try:
        return listed(asking.pages(None)) == ["1"]  # type: ignore[attr-defined]
    except TransientError:
        return False


def test_in_the_midst_of_a_list_it_waits_and_goes_on(tmp_path: Path) -> None:
    """Meanwhile whoever reads is not held up."""
    app = in_turn(Reply(rows("1")), Reply("", 429, {"Retry-After": "1"}), Reply(rows("2")), Reply("[]"))
    with serving(app) as server:
        came, server.app = times(server)
        pulled = source(server.url, tmp_path, PAGES, every=60)
        pulled.open(Resume())
        reads: list[float] = []
        found: list[str] = []

        def read() -> bool:
            begun = time.monotonic()
            batch = pulled.read(10, 0.05)
            reads.append(time.monotonic() - begun)
            found.extend(row for part in (batch.parts if batch else ()) for row in part.rows["id"].to_pylist())  # type: ignore[union-attr]
            return pulled.reached_end()

        until(read)
        pulled.close()
    assert found == ["1", "2"]
    assert came[2] - came[1] >= 1
    assert max(reads) < 0.8


def test_a_pause_lies_between_two_requests() -> None:
    with serving(in_turn(Reply(rows("1")), Reply(rows("2")), Reply("[]"))) as server:
        came, server.app = times(server)
        assert listed(feed(server.url, PAGES, pause=0.5).pages(None)) == ["1", "2"]
    assert min(later - earlier for earlier, later in pairwise(came)) >= 0.4  # what is sent in time may come late
