"""Publications as they are told to listeners."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from starlette.types import Message

from tests.integration.api.conftest import CITIES as CITY_MODEL
from tests.integration.api.conftest import Results, api_over, city_row
from tests.integration.api.test_api import require_problem
from tests.integration.results.support import NOON, changed
from tests.polling import until
from topline.api.events import Streams
from topline.client import Client
from topline.results import Epoch
from topline.results.listening import Heard, Publication

PATH = "/api/v1/events"


def publish(results: Results, epoch: int) -> None:
    rows = [city_row("Pisa", f"{epoch}.0000")]
    results.publisher.publish(Epoch(epoch, {"top_sales_by_city": changed(rows, schema=CITY_MODEL)}, {"shop": NOON}))


class Listener:
    """A stream of events, read in a thread."""

    def __init__(self, url: str, after: int | None = None) -> None:
        self.found: list[tuple[int, list[str] | None, float]] = []
        self.ended = threading.Event()
        self._client = Client(url)
        self._thread = threading.Thread(target=self._listen, args=(after,))
        self._thread.start()

    def _listen(self, after: int | None) -> None:
        for event in self._client.events(after):
            self.found.append((event.epoch, event.models, time.monotonic()))
        self.ended.set()

    def close(self) -> None:
        self._thread.join(10)
        self._client.close()
        assert not self._thread.is_alive()


@contextmanager
def listening(api: api_over, client: httpx2.Client, after: int | None = None) -> Iterator[Listener]:
    """From when the stream stands until the server has stopped."""
    before = len(api.streams.open)
    listener = Listener(str(client.base_url), after)
    until(lambda: len(api.streams.open) > before)
    try:
        yield listener
    finally:
        api.server.stop()
        listener.close()


def test_a_publication_is_told_within_a_second_with_what_changed(published: Results) -> None:
    with (api := api_over(published.dsn)) as client, listening(api, client) as listener:
        until(lambda: api.reader.generation)
        begun = time.monotonic()
        publish(published, 8)
        until(lambda: listener.found)
        epoch, models, heard = listener.found[-1]
        assert (epoch, models) == (8, ["top_sales_by_city"])
        assert heard - begun < 1
        assert client.get("/api/v1/sales/city").json()["as_of"]["epoch"] == 8


def test_who_comes_back_is_told_what_he_missed(published: Results) -> None:
    with (api := api_over(published.dsn)) as client:
        until(lambda: api.reader.generation)
        for epoch in (8, 9, 10):
            publish(published, epoch)
            until(lambda epoch=epoch: api.heard_of(epoch))  # type: ignore[misc]
        with listening(api, client, after=8) as listener:
            until(lambda: len(listener.found) == 2)
            assert [(epoch, models) for epoch, models, _ in listener.found] == [
                (9, ["top_sales_by_city"]),
                (10, ["top_sales_by_city"]),
            ]


def test_who_missed_more_than_is_kept_is_told_that_anything_may_have_changed(published: Results) -> None:
    with (api := api_over(published.dsn)) as client:
        until(lambda: api.reader.generation)
        with listening(api, client, after=3) as listener:
            until(lambda: listener.found)
            assert [(epoch, models) for epoch, models, _ in listener.found] == [(7, None)]


def test_an_open_stream_does_not_hold_the_end(published: Results) -> None:
    with (api := api_over(published.dsn)) as client, listening(api, client) as listener:
        begun = time.monotonic()
        api.server.stop()
        assert time.monotonic() - begun < 3
        assert listener.ended.wait(3)


def test_listeners_are_bounded_and_make_room_when_they_leave(published: Results) -> None:
    with (api := api_over(published.dsn, most=1)) as client:
        with client.stream("GET", PATH) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()  # without a reader the stream ends
            assert next(lines) == "retry: 1000"
            with client.stream("GET", PATH) as other:
                other.read()
                require_problem(other, 503)
        until(lambda: not api.streams.open, what="the place of who left is free")


def test_comments_show_that_the_stream_stands(published: Results) -> None:
    with api_over(published.dsn, heartbeat=0.05) as client, client.stream("GET", PATH) as stream:
        lines = stream.iter_lines()
        assert ": still here" in [next(lines) for _ in range(3)]


def test_events_answer_to_head_and_refuse_what_is_no_epoch(published: Results, client: httpx2.Client) -> None:
    assert client.head(PATH).headers["content-type"].startswith("text/event-stream")
    require_problem(client.get(PATH, headers={"Last-Event-ID": "x"}), 422)


def test_an_event_is_one_line_of_json(published: Results) -> None:
    with (api := api_over(published.dsn)) as client:
        until(lambda: api.reader.generation)
        with client.stream("GET", PATH, headers={"Last-Event-ID": "1"}) as stream:
            lines = stream.iter_lines()
            assert [next(lines) for _ in range(4)][2:] == ["id: 7", "event: publication"]
            assert json.loads(next(lines).removeprefix("data: ")) == {"epoch": 7, "models": None}


def test_who_does_not_read_is_let_go() -> None:
    heard = Heard()
    streams = Streams(heard)

    async def stays() -> Message:
        return await asyncio.Future()

    async def listen() -> list[bytes]:
        stream = streams.told(None, stays)
        first = await anext(stream)
        for epoch in range(2_000):
            heard.add(Publication(epoch, None))
        return [first, *[text async for text in stream]]

    assert asyncio.run(listen()) == [b"retry: 1000\n\n"]
    assert not streams.open
