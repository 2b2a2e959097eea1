"""Server-sent events (WHATWG HTML, 9.2): each publication is told to whoever listens, as it happens."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive

from topline.answers import Event
from topline.api.access import Caller, needs
from topline.api.problems import ProblemError, responses
from topline.results.listening import Heard, Publication

PATH = "/api/v1/events"
MEDIA_TYPE = "text/event-stream"
HEARTBEAT = 15.0  # seconds without an event after which a comment shows that the stream stands
MOST_LISTENERS = 200
_QUEUED = 1_000  # publications that a listener may be behind; then it is let go, and comes back with its Last-Event-ID
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY = b"retry: 1000\n\n"  # milliseconds after which a browser comes back

router = APIRouter(tags=["events"])
Queue = asyncio.Queue[Publication | None]


class Streams:
    """The open streams of this process. `close` ends them all, and may be called from another thread."""

    def __init__(self, heard: Heard, most: int = MOST_LISTENERS, heartbeat: float = HEARTBEAT) -> None:
        self._heard = heard
        self._most = most
        self._heartbeat = heartbeat
        self.open: dict[Queue, asyncio.AbstractEventLoop] = {}
        self._closed = False

    def close(self) -> None:
        self._closed = True
        for queue, loop in list(self.open.items()):
            loop.call_soon_threadsafe(_put, queue, None)

    def require_room(self) -> None:
        """503 where there are too many listeners, or the server stops."""
        if self._closed or len(self.open) >= self._most:
            detail = f"{self._most} listeners are the most that there may be here at once"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the server stops" if self._closed else detail)

    async def told(self, last: int | None, receive: Receive) -> AsyncIterator[bytes]:
        """What to send to a new listener, which has seen `last`, until it leaves or the server stops."""
        queue: Queue = asyncio.Queue(_QUEUED)
        self.open[queue] = asyncio.get_running_loop()
        leaving = asyncio.create_task(_left(receive, queue))
        try:
            with self._following(queue) as before:
                yield _RETRY
                for missed in _missed(before, last):
                    yield _event(missed)
                while (text := await self._next(queue)) is not None:
                    yield text
        finally:
            leaving.cancel()
            del self.open[queue]

    async def _next(self, queue: Queue) -> bytes | None:
        if self._closed and queue.empty():
            return None
        try:
            told = await asyncio.wait_for(queue.get(), self._heartbeat)
        except TimeoutError:
            return b": still here\n\n"
        return None if told is None else _event(told)

    @contextmanager
    def _following(self, queue: Queue) -> Iterator[list[Publication]]:
        loop = asyncio.get_running_loop()

        def tell(publication: Publication) -> None:
            loop.call_soon_threadsafe(_put, queue, publication)

        before = self._heard.follow(tell)
        try:
            yield before
        finally:
            self._heard.leave(tell)


async def _left(receive: Receive, queue: Queue) -> None:
    """Nothing is sent for a while, so that nobody would notice."""
    while (await receive())["type"] != "http.disconnect":
        pass
    _put(queue, None)


def _put(queue: Queue, told: Publication | None) -> None:
    """Who is too far behind is let go: what waits for it goes, and the end comes."""
    if told is None or queue.full():
        while not queue.empty():
            queue.get_nowait()
        told = None
    queue.put_nowait(told)


def _missed(before: list[Publication], last: int | None) -> list[Publication]:
    """What a listener that comes back has missed; where that is not known any more, that anything may have changed."""
    if last is None or not before or before[-1].epoch == last:
        return []
    known = [number for number, publication in enumerate(before) if publication.epoch == last]
    return before[known[-1] + 1 :] if known else [Publication(before[-1].epoch, None)]


def _event(told: Publication) -> bytes:
    event = Event(epoch=told.epoch, models=None if told.models is None else list(told.models))
    return f"id: {told.epoch}\nevent: publication\ndata: {event.model_dump_json()}\n\n".encode()


_STREAM = {
    200: {
        "description": "A stream that does not end.",
        "content": {
            MEDIA_TYPE: {
                "schema": {"type": "string"},
                "example": 'id: 8\nevent: publication\ndata: {"epoch":8,"models":["top_sales_by_city"]}\n\n',
            }
        },
    },
    **responses(HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
}


@router.get(PATH, responses=_STREAM, response_class=StreamingResponse)
async def events(
    request: Request,
    _who: Annotated[Caller, Depends(needs("sales:read"))],
    last: Annotated[
        int | None,
        Header(alias="Last-Event-ID", description="The `id` of the last event seen: what came after it is told first."),
    ] = None,
) -> Response:
    """Each publication: `{"epoch": 8, "models": ["top_sales_by_city"]}`, `models` null where any may have changed.

    While nothing happens, comments show that the stream stands.
    """
    if request.scope.get("head"):
        return Response(media_type=MEDIA_TYPE, headers=_HEADERS)
    streams: Streams = request.app.state.streams
    streams.require_room()
    return StreamingResponse(streams.told(last, request.receive), media_type=MEDIA_TYPE, headers=_HEADERS)
