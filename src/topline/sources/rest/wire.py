"""One HTTP exchange: a request out, a whole answer back, within limits of time and size. No retries, no secrets.

HTTP/1.1. Proxies are those of the environment (HTTPS_PROXY, NO_PROXY), authorities those of the system or of `tls.ca`.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx2

from topline.errors import ConfigError, SourceHalted, TransientError
from topline.sources.rest.inflate import CODINGS, TooLarge, inflate
from topline.sources.rest.origin import Url
from topline.sources.rest.settings import RestSettings, Timeouts, Tls

for _name in ("httpx2", "httpcore2"):  # they log addresses and headers, and with them keys and tokens
    logging.getLogger(_name).setLevel(logging.WARNING)

_OURS = ("host", "content-length", "transfer-encoding", "connection")


@dataclass(frozen=True, slots=True)
class Request:
    """`params` are added to the query of `url`; `content` is JSON or a form, as `headers` say."""

    method: str
    url: Url
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    content: bytes | None = None

    @property
    def target(self) -> str:
        query = "&".join(filter(None, (self.url.query, urlencode(self.params, quote_via=quote, safe=""))))
        return self.url.origin + self.url.path + (f"?{query}" if query else "")

    @property
    def shown(self) -> str:
        return f"{self.method} {self.url.shown}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, unpacked. `framed`: its end was marked, so that a cut would have been noticed."""

    request: Request
    status: int
    headers: httpx2.Headers
    body: bytes
    framed: bool = True

    @property
    def phrase(self) -> str:
        return httpx2.codes.get_reason_phrase(self.status)


@cache
def _systems_context() -> ssl.SSLContext:
    """With the system's authorities, which take 40 ms to load."""
    return httpx2.create_ssl_context()


def tls_context(tls: Tls, root: Path) -> ssl.SSLContext:
    """What is trusted, and who we are. ConfigError where a file cannot be used."""
    if tls == Tls():
        return _systems_context()
    place = "tls.ca"
    try:
        context = ssl.create_default_context(cafile=str(root / tls.ca)) if tls.ca else httpx2.create_ssl_context()
        place = "tls.cert"
        if tls.cert:
            key = str(root / tls.key) if tls.key else None
            context.load_cert_chain(str(root / tls.cert), key, tls.key_password.get_secret_value)
    except (OSError, ssl.SSLError) as error:  # the second is one of the first, but says nothing of a file
        file = tls.ca if place == "tls.ca" else tls.cert
        raise ConfigError(f"{place}: {file} cannot be used: {error.strerror or error}; a PEM file is expected") from None
    return context


class Wire:
    """Connections to the origin. `send` opens them as needed; `close` lets go of them, and may be followed by `send`."""

    def __init__(self, settings: RestSettings, context: ssl.SSLContext) -> None:
        self._timeouts, self._limit, self._context = settings.timeouts, settings.max_body_bytes, context
        self._client: httpx2.Client | None = None
        self._deadline = _Deadline(settings.timeouts)

    def send(self, request: Request) -> Answer:
        """TransientError where no whole answer came; SourceHalted for a certificate that fails, or a body beyond the limit."""
        with self._told(request):
            client = self._opened()
            sent = client.build_request(
                request.method,
                request.target,
                headers={"Accept-Encoding": CODINGS, **request.headers},
                content=request.content,
                extensions={"trace": self._deadline.note},
            )
            with self._deadline:
                return self._answer(request, client.send(sent, stream=True, follow_redirects=False))

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _opened(self) -> httpx2.Client:
        if self._client is None:
            t = self._timeouts
            self._client = httpx2.Client(
                verify=self._context,
                timeout=httpx2.Timeout(connect=t.connect, read=t.read, write=t.read, pool=t.connect),
                limits=httpx2.Limits(max_connections=1),
            )
        return self._client

    def _answer(self, request: Request, response: httpx2.Response) -> Answer:
        pieces, size = [], 0
        try:
            for piece in response.iter_raw():
                size += len(piece)
                if size > self._limit:
                    raise TooLarge
                pieces.append(piece)
        finally:
            response.close()
        body = inflate(b"".join(pieces), ",".join(response.headers.get_list("content-encoding")), self._limit)
        framed = "content-length" in response.headers or "chunked" in response.headers.get("transfer-encoding", "")
        return Answer(request, response.status_code, response.headers, body, framed)

    @contextmanager
    def _told(self, request: Request) -> Iterator[None]:
        """What goes wrong on the way, in our words."""
        try:
            yield
        except TooLarge:
            raise SourceHalted(
                f"{request.shown}: the answer is larger than max_body_bytes, {self._limit}; ask for smaller pages, or raise it"
            ) from None
        except ValueError as error:
            raise TransientError(f"{request.shown}: the answer cannot be read: {error}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            self.close()
            raise self._failure(request, error) from None

    def _failure(self, request: Request, error: Exception) -> Exception:
        t = self._timeouts
        if self._deadline.passed:
            return TransientError(f"{request.shown}: no whole answer within timeouts.total, {t.total:g} s")
        if (fault := _certificate_fault(error)) is not None:
            return SourceHalted(f"{request.shown}: {fault}")
        match error:
            case httpx2.ConnectTimeout():
                text = f"no connection within timeouts.connect, {t.connect:g} s"
            case httpx2.ReadTimeout():
                text = f"not a byte within timeouts.read, {t.read:g} s"
            case httpx2.ConnectError():
                text = f"no connection: {error}"
            case _:
                text = f"the connection broke: {error or type(error).__name__}"
        return TransientError(f"{request.shown}: {text}")


def _certificate_fault(error: BaseException | None) -> str | None:
    """What a person must mend about TLS; None where another try may heal it."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"the certificate of the server fails: {error.verify_message}; where it is a company's own, set tls.ca to the "
                "file of its authority; else somebody may stand between"
            )
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            return f"the server refuses the connection ({_words(error)}); it may want a client certificate: see tls.cert"
        if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            return "the server does not speak TLS on this port; is it http://, or another port?"
        error = error.__cause__ or error.__context__
    return None


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "").replace("_", " ").lower()


class _Deadline:
    """Cuts the connection once the whole exchange takes too long: the client's own limits begin anew with each byte."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._seconds = timeouts.total
        self._stream: Any = None
        self._timer = threading.Timer(0, self._cut)
        self.passed = False

    def note(self, event: str, info: dict[str, Any]) -> None:
        """The client's trace extension: the newest connection is the one in use, as there is at most one."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._stream = info["return_value"]

    def __enter__(self) -> None:
        self.passed = False
        self._timer = threading.Timer(self._seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        self.passed = True
        connection = self._stream.get_extra_info("socket") if self._stream is not None else None
        if connection is not None:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already
