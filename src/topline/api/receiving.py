"""The body of a request, read piece by piece: unpacked, counted, signed and hashed on the way, never more than is allowed."""

import asyncio
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from starlette.requests import ClientDisconnect

from topline.api.problems import ProblemError
from topline.sources.push.signing import Check

SECONDS = 60.0  # that a body may take
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Body:
    """`digest`: SHA-256 of the data."""

    data: bytes
    digest: bytes


class Budget:
    """Bytes of bodies that this process holds at once, over all requests."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """A request's part, given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.taken

    def take(self, count: int) -> None:
        if self._held + count > self._limit:
            detail = "bodies of other requests fill the memory that is set aside for them; send it again in a moment"
            raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": "1"})
        self._held += count


class Share:
    def __init__(self, budget: Budget) -> None:
        self._budget, self.taken = budget, 0

    def take(self, count: int) -> None:
        self._budget.take(count)
        self.taken += count


async def receive(request: Request, limit: int, share: Share, check: Check | None) -> Body:
    """The unpacked body, at most `limit` bytes. ProblemError: too large, too slow, broken off, not unpackable, not signed."""
    unpack = _unpacker(request, limit)
    if (announced := request.headers.get("content-length", "")).isdigit() and int(announced) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    digest = hashlib.sha256()
    try:
        async with asyncio.timeout(SECONDS):
            async for piece in request.stream():
                if check is not None:
                    check.update(piece)
                plain = unpack.add(piece)
                share.take(len(plain))
                digest.update(plain)
                pieces.append(plain)
    except TimeoutError:
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the connection ended before the body did") from None
    if check is not None and (fault := check.fault()):
        raise ProblemError(HTTPStatus.UNAUTHORIZED, fault, headers={"WWW-Authenticate": "Signature"})
    unpack.end()
    return Body(b"".join(pieces), digest.digest())


def _unpacker(request: Request, limit: int) -> "_Plain":
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding in ("identity", ""):
        return _Plain(limit)
    if coding in ("gzip", "x-gzip"):
        return _Gzip(limit)
    detail = f"Content-Encoding {coding!r} is not taken; allowed: gzip, identity"
    raise ProblemError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept-Encoding": "gzip, identity"}
    )  # RFC 9110, 15.5.16


class _Plain:
    def __init__(self, limit: int) -> None:
        self._limit, self._left = limit, limit

    def add(self, piece: bytes) -> bytes:
        """What the next piece of the body holds."""
        self._left -= len(piece)
        if self._left < 0:
            raise _too_large(self._limit)
        return piece

    def end(self) -> None:
        """The body has come."""


class _Gzip(_Plain):
    """Unpacks no more than what is allowed, however little was sent."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._inflater = zlib.decompressobj(_GZIP)
        self._begun = False

    def add(self, piece: bytes) -> bytes:
        plain: list[bytes] = []
        while piece:
            self._begun = True
            plain.append(super().add(self._inflate(piece)))
            piece = self._inflater.unconsumed_tail
            if self._inflater.eof:  # RFC 1952, 2.2: members may follow each other
                piece = self._inflater.unused_data
                self._inflater = zlib.decompressobj(_GZIP)
                self._begun = False
        return b"".join(plain)

    def _inflate(self, piece: bytes) -> bytes:
        try:
            return self._inflater.decompress(piece, self._left + 1)
        except zlib.error as error:
            raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is not gzip: {error}") from None

    def end(self) -> None:
        if self._begun:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "the gzip body ends too early")


def _too_large(limit: int) -> ProblemError:
    detail = f"the body is larger than {limit} bytes (max_body_bytes, unpacked): send it in parts"
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
