"""Answers on their way out: remembered until the next publication, told apart by ETag, packed where that is taken.

The hot path: an answer that was asked for since the last publication is given from memory, without the app behind.
"""

import asyncio
import datetime as dt
import gzip
import hashlib
from collections.abc import Callable, Hashable, Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from topline.api.access import caller
from topline.api.problems import ProblemError
from topline.errors import ToplineError

AS_OF = b"topline-as-of"
VARY = b"Accept, Accept-Encoding"
_REMEMBERED = ("/api/v1/sales/", "/api/v1/salesmen/", "/api/v1/models")
_LIVE = "/api/v1/events"
_PACKED_FROM = 1_000  # bytes
_MOST = 1_000  # answers
_MOST_BYTES = 64 << 20
_OWN = frozenset({b"content-type", b"link", AS_OF})

Key = Hashable
Headers = list[tuple[bytes, bytes]]


class Kept:
    """One answer whole: as it is and, once somebody takes it so, packed."""

    __slots__ = ("_packed", "body", "headers", "tag")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        self.body = body
        self.headers: Headers = [(name, value) for name, value in headers if name in _OWN]
        self.tag = _digest(self.headers, body)
        self._packed: bytes | None = None

    async def send(self, scope: Scope, send: Send) -> None:
        wanted = {name: value for name, value in scope["headers"] if name in (b"if-none-match", b"accept-encoding")}
        packed = len(self.body) >= _PACKED_FROM and _takes_gzip(wanted.get(b"accept-encoding", b""))
        tag = b'"' + self.tag + (b'-gzip"' if packed else b'"')
        headers = [*self.headers, (b"etag", tag), (b"vary", VARY), (b"cache-control", b"private, no-cache")]
        if _matches(wanted.get(b"if-none-match"), tag):
            body, status = b"", 304
        else:
            body, status = self._pack() if packed else self.body, 200
            headers.append((b"content-length", str(len(body)).encode()))
            if packed:
                headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _pack(self) -> bytes:
        if self._packed is None:
            self._packed = gzip.compress(self.body, compresslevel=5, mtime=0)
        return self._packed


class Delivery:
    """Remembers an answer as long as `generation()` is what it was before the answer was made; None: nobody can tell.

    So epochs that one client sees never go back: whoever reads a newer one from the database moves the generation on.
    An answer is given again to callers with the same rights only, and on the same business day. Who asks for what is being
    made waits for it: a publication does not have one question asked by everybody at once.
    """

    def __init__(self, app: ASGIApp, generation: Callable[[], int | None], today: Callable[[], dt.date]) -> None:
        self._app = app
        self._generation = generation
        self._today = today
        self._answers: dict[Key, Kept] = {}
        self._coming: dict[Key, asyncio.Future[Kept | None]] = {}
        self._bytes = 0
        self._of: int | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_answer(scope):
            await self._app(scope, receive, send)
            return
        generation = self._generation() if scope["path"].startswith(_REMEMBERED) else None
        key = None if generation is None else await self._key(scope)
        if key is None:
            await _send(await self._made(scope, receive), scope, send)
            return
        if generation != self._of or len(self._answers) >= _MOST or self._bytes >= _MOST_BYTES:
            self._answers, self._coming, self._bytes, self._of = {}, {}, 0, generation
        kept = self._answers.get(key) or await self._awaited(key)
        await _send(kept or await self._first(key, scope, receive), scope, send)

    async def _awaited(self, key: Key) -> Kept | None:
        """The answer that is being made for somebody else who asked the same; None where there is none, or it fails."""
        coming = self._coming.get(key)
        return None if coming is None else await asyncio.shield(coming)

    async def _first(self, key: Key, scope: Scope, receive: Receive) -> Kept | list[Message]:
        """The app's answer, for those who ask the same meanwhile too; remembered where it still holds."""
        coming: asyncio.Future[Kept | None] = asyncio.get_running_loop().create_future()
        generation, answers, waiting = self._of, self._answers, self._coming
        waiting[key] = coming
        made: Kept | list[Message] = []
        try:
            made = await self._made(scope, receive)
        finally:
            waiting.pop(key, None)
            coming.set_result(made if isinstance(made, Kept) else None)
        if isinstance(made, Kept) and generation == self._generation() == self._of:
            answers[key] = made
            self._bytes += len(made.body)
        return made

    async def _key(self, scope: Scope) -> Key | None:
        """What an answer depends on. None for a caller who cannot be told: the app says so, as of everything."""
        if scope["app"].dependency_overrides:  # endpoints may know another caller than we do: nothing is remembered
            return None
        try:
            who = await caller(Request(scope))
        except (ProblemError, ToplineError):
            return None
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
        return who, scope["path"], scope["query_string"], accept, self._today()

    async def _made(self, scope: Scope, receive: Receive) -> Kept | list[Message]:
        """The app's answer: kept where it is a whole one; others (problems) as they are."""
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self._app(scope, receive, hold)
        if held and held[0].get("status") == 200:
            return Kept(held[0]["headers"], b"".join(message.get("body", b"") for message in held[1:]))
        return held


async def _send(answer: Kept | list[Message], scope: Scope, send: Send) -> None:
    if isinstance(answer, Kept):
        await answer.send(scope, send)
        return
    for message in answer:
        await send(message)


def _is_answer(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    path: str = scope["path"]
    return (path.startswith("/api/v1/") and path != _LIVE) or path == "/openapi.json"


def _digest(headers: Headers, body: bytes) -> bytes:
    """A strong validator (RFC 9110, 8.8.1): two answers have one where they are the same to the byte, what they stand for
    included, whichever process made them."""
    digest = hashlib.blake2b(body, digest_size=12)
    for name, value in headers:
        digest.update(name + value)
    return digest.hexdigest().encode()


def _matches(given: bytes | None, tag: bytes) -> bool:
    """RFC 9110, 13.1.2: weak comparison, or any."""
    if given is None:
        return False
    return given.strip() == b"*" or tag in (one.strip().removeprefix(b"W/") for one in given.split(b","))


def _takes_gzip(header: bytes) -> bool:
    """Whether `Accept-Encoding` names gzip, or anything, and does not rule it out."""
    for part in header.lower().split(b","):
        coding, _, quality = part.partition(b";")
        if coding.strip() in (b"gzip", b"*"):
            return quality.strip().replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
