"""Answers that come slowly, broken, packed or too large: whole or not at all, and in bounded memory."""

import gzip
import itertools
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.integration.sources.rest.asking import always, feed, in_turn, listed, rows, serving
from tests.servers.http import Reply, Server
from topline.errors import SourceHalted, ToplineError, TransientError

BODY = rows("1", "2").encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
TIMEOUTS = {"connect": 2, "read": 0.3, "total": 0.6}


def whole(body: bytes = BODY) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*pieces: bytes) -> bytes:
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def sent(*pieces: bytes) -> Reply:
    return Reply(wire=lambda: pieces)


def never(server: Server, *pieces: bytes) -> Callable[[], Iterable[bytes]]:
    """The pieces, and then nothing more."""

    def wire() -> Iterator[bytes]:
        yield from pieces
        server.stopping.wait(10)

    return wire


def trickled(server: Server, data: bytes) -> Callable[[], Iterable[bytes]]:
    """A byte at a time, each well within the time that a byte may take."""

    def wire() -> Iterator[bytes]:
        for place in range(len(data)):
            server.stopping.wait(0.1)
            yield data[place : place + 1]

    return wire


def test_chunks_are_put_together() -> None:
    with serving(always(sent(chunked(BODY[:5], BODY[5:6], BODY[6:]), b"0\r\n\r\n"))) as server:
        assert listed(feed(server.url).pages(None)) == ["1", "2"]


@pytest.mark.parametrize(
    "wire",
    [
        [],
        [b"HTTP/1.1 200 O"],
        [HEAD],
        [whole()[:-1]],
        [chunked(BODY)],
        [chunked(BODY[:5])[:-4]],
        [b"SSH-2.0-OpenSSH_9.6\r\n"],
        [HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"],
        [HEAD + b"\r\n" + BODY[:-1]],
        [whole(b"")],
    ],
)
def test_an_answer_that_breaks_off_is_none(wire: list[bytes]) -> None:
    with serving(always(sent(*wire))) as server, pytest.raises(TransientError, match=r"^GET http://127.0.0.1:\d+/: "):
        listed(feed(server.url).pages(None))


@pytest.mark.parametrize("pieces", [(), (whole()[:-5],)])
def test_a_connection_that_is_reset_is_none(pieces: tuple[bytes, ...]) -> None:
    with (
        serving(always(Reply(wire=lambda: pieces, reset=True))) as server,
        pytest.raises(TransientError, match="connection broke"),
    ):
        listed(feed(server.url).pages(None))


def test_an_origin_that_is_not_there_is_none() -> None:
    with serving(always(Reply())) as server:
        url = server.url
    with pytest.raises(TransientError, match="no connection"):
        listed(feed(url).pages(None))


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 20",), (whole()[:-3],)])
def test_silence_ends_after_the_time_for_a_byte(pieces: tuple[bytes, ...]) -> None:
    with serving(always(Reply())) as server:
        server.app = always(Reply(wire=never(server, *pieces)))
        with pytest.raises(TransientError, match=r"timeouts\.read, 0\.3 s"):
            listed(feed(server.url, timeouts=TIMEOUTS).pages(None))


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 500, HEAD + b"Content-Length: 500\r\n\r\n" + b" " * 500]
)
def test_a_trickle_ends_after_the_time_for_all(data: bytes) -> None:
    with serving(always(Reply())) as server:
        server.app = always(Reply(wire=trickled(server, data)))
        begun = time.monotonic()
        with pytest.raises(TransientError, match=r"timeouts\.total, 0\.6 s"):
            listed(feed(server.url, timeouts=TIMEOUTS).pages(None))
        assert time.monotonic() - begun < 10


def test_what_came_before_the_time_was_over_is_not_taken_for_whole() -> None:
    """The end of this answer is not marked, and what came of it is a list by itself."""
    with serving(always(Reply())) as server:
        spaces = trickled(server, b" " * 500)
        server.app = always(Reply(wire=lambda: itertools.chain([HEAD + b"\r\n[]"], spaces())))
        with pytest.raises(TransientError, match=r"timeouts\.total, 0\.6 s"):
            listed(feed(server.url, timeouts=TIMEOUTS).pages(None))


def test_a_trickle_over_a_connection_that_was_used_before_ends_too() -> None:
    with serving(always(Reply(BODY))) as server:
        asking = feed(server.url, timeouts=TIMEOUTS)
        listed(asking.pages(None))
        server.app = always(Reply(wire=trickled(server, HEAD + b"Content-Length: 500\r\n\r\n" + b" " * 500)))
        with pytest.raises(TransientError, match=r"timeouts\.total"):
            listed(asking.pages(None))


def packed(data: bytes) -> bytes:
    """Without the time, which would be part of a test's name."""
    return gzip.compress(data, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", packed(BODY)),
        ("x-gzip", packed(BODY[:9]) + packed(BODY[9:])),
        ("gzip", packed(BODY) + b"\0" * 100),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("deflate, gzip", packed(zlib.compress(BODY))),
        ("identity", BODY),
    ],
)
def test_packed_bodies_are_unpacked(coding: str, body: bytes) -> None:
    with serving(always(Reply(body, headers={"Content-Encoding": coding}))) as server:
        assert listed(feed(server.url).pages(None)) == ["1", "2"]
        assert server.asked[0].headers["accept-encoding"] == "gzip, deflate"


LINES = b'{"id": 1}\n{"id": 2}\n'


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", packed(LINES)[:-9]),
        ("gzip", packed(LINES) + packed(LINES)[:-1]),
        ("gzip", packed(LINES) + b"garbage"),
        ("deflate", zlib.compress(LINES)[:-5]),
        ("gzip", LINES),
        ("gzip", b""),
        ("br", LINES),
    ],
)
def test_a_packed_body_that_does_not_end_is_none(coding: str, body: bytes) -> None:
    """Its lines alone would look whole."""
    reply = Reply(body, headers={"Content-Encoding": coding, "Content-Type": "application/x-ndjson"})
    with serving(always(reply)) as server, pytest.raises(TransientError, match="cannot be read"):
        listed(feed(server.url, {"format": "ndjson"}).pages(None))


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b" " * 2_000_000, "identity"),
        (packed(b" " * 2_000_000), "gzip"),
        (zlib.compress(b" " * 100_000_000), "deflate"),
        (packed(packed(b" " * 100_000_000)), "gzip, gzip"),
        (b"".join(packed(b" " * 600_000) for _ in range(2)), "gzip"),
    ],
)
def test_a_body_beyond_the_limit_stops_before_it_fills_the_memory(body: bytes, coding: str) -> None:
    with serving(always(Reply(body, headers={"Content-Encoding": coding}))) as server:
        asking = feed(server.url, max_answer_bytes=1_000_000)
        tracemalloc.start()
        with pytest.raises(SourceHalted, match=r"larger than 1,000,000 bytes \(max_answer_bytes"):
            listed(asking.pages(None))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 20_000_000


def test_lines_without_a_marked_end_are_refused() -> None:
    """Such an answer may have been cut off between two of them."""
    with serving(always(sent(HEAD + b"\r\n" + LINES))) as server, pytest.raises(SourceHalted, match="Content-Length"):
        listed(feed(server.url, {"format": "ndjson"}).pages(None))


def test_json_without_a_marked_end_says_itself_that_it_is_whole() -> None:
    with serving(always(sent(HEAD + b"\r\n" + BODY))) as server:
        assert listed(feed(server.url).pages(None)) == ["1", "2"]


def test_no_content_is_an_empty_list() -> None:
    with serving(always(Reply(status=204))) as server:
        assert listed(feed(server.url).pages(None)) == []


@pytest.mark.parametrize(
    ("status", "error"), [(202, TransientError), (206, TransientError), (304, TransientError), (500, TransientError)]
)
def test_other_answers_are_no_lists(status: int, error: type[ToplineError]) -> None:
    with serving(always(Reply("[]", status))) as server, pytest.raises(error, match=f"HTTP {status}"):
        listed(feed(server.url).pages(None))


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json"])
def test_a_login_page_stops(kind: str) -> None:
    page = "\n<!DOCTYPE html><html><form action='/login'>Sign in"
    with (
        serving(always(Reply(page, headers={"Content-Type": kind}))) as server,
        pytest.raises(SourceHalted, match="login page"),
    ):
        listed(feed(server.url).pages(None))


@pytest.mark.parametrize("body", ["", "no JSON, sorry", '{"items": [', '{"error": "overloaded"}', "null", '"text"', "\xff\xfe"])
def test_a_body_that_is_no_list_is_none_and_is_shown(body: str) -> None:
    with serving(always(Reply(body))) as server, pytest.raises(TransientError) as caught:
        listed(feed(server.url, {"rows": "items"}).pages(None))
    assert "the answer cannot be read" in str(caught.value)
    assert not body.isprintable() or body in str(caught.value)


def test_a_page_that_breaks_is_asked_for_again_within_the_list() -> None:
    """Else a long list would begin from its first page, again and again."""
    app = in_turn(Reply(rows("1")), sent(), Reply("busy", 503), Reply(rows("2")), Reply("[]"))
    table: dict[str, Any] = {"paging": {"by": "page", "param": "page"}}
    with serving(app) as server:
        assert listed(feed(server.url, table).pages(None)) == ["1", "2"]
        assert [asked.query["page"] for asked in server.asked] == ["1", "2", "2", "2", "3"]


def test_a_page_that_stays_broken_ends_the_list() -> None:
    table: dict[str, Any] = {"paging": {"by": "page", "param": "page"}}
    with serving(in_turn(Reply(rows("1")), Reply("busy", 503))) as server, pytest.raises(TransientError, match="HTTP 503"):
        listed(feed(server.url, table).pages(None))
    assert len(server.asked) == 5
