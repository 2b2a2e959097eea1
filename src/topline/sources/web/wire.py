"""One HTTP exchange: a request out, a whole answer back, within limits of time and size. No retries, no secrets.

HTTP/1.1, by the proxy of the settings or none; that of the environment is not used.
"""

import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import quote, urlencode

import httpx2

from topline.errors import SourceHalted, TransientError
from topline.sources.web.addresses import Url
from topline.sources.web.deadline import Deadline
from topline.sources.web.failures import failure
from topline.sources.web.inflate import CODINGS, TooLarge, inflate
from topline.sources.web.settings import WebSettings

for _name in ("httpx2", "httpcore2"):  # they log addresses and headers, and with them keys and tokens
    logging.getLogger(_name).setLevel(logging.WARNING)

_AGENT = f"topline/{version('topline')}"


@dataclass(frozen=True, slots=True)
class Request:
    """`params` are added to the query of `url`; `content` is of the kind that `headers` say."""

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

    @property
    def content_type(self) -> str:
        return str(self.headers.get("content-type", ""))


Send = Callable[[Request], Answer]


class Wire:
    """A connection at a time. `send` opens it as needed, and keeps it for the next request; `close` lets go of it, and may be
    followed by `send`. For one thread."""

    def __init__(self, settings: WebSettings, context: ssl.SSLContext) -> None:
        self._settings, self._timeouts, self._limit = settings, settings.timeouts, settings.max_answer_bytes
        self._context = context
        self._client: httpx2.Client | None = None
        self._deadline = Deadline(settings.timeouts.total)

    def send(self, request: Request) -> Answer:
        """TransientError where no whole answer came; SourceHalted for a certificate that fails, or a body beyond the limit."""
        with self._told(request):
            client = self._opened()
            headers = httpx2.Headers({"User-Agent": _AGENT, "Accept-Encoding": CODINGS})
            headers.update(request.headers)
            trace = {"trace": self._deadline.note}
            sent = client.build_request(
                request.method, request.target, headers=headers, content=request.content, extensions=trace
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
                proxy=self._settings.proxy,
                trust_env=False,
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
        if self._deadline.passed:  # a body whose end is not marked looks whole where it was cut
            raise TimeoutError
        try:
            body = inflate(b"".join(pieces), ",".join(response.headers.get_list("content-encoding")), self._limit)
        except ValueError as error:
            raise TransientError(f"{request.shown}: the answer cannot be read: {error}") from None
        framed = "content-length" in response.headers or "chunked" in response.headers.get("transfer-encoding", "")
        return Answer(request, response.status_code, response.headers, body, framed)

    @contextmanager
    def _told(self, request: Request) -> Iterator[None]:
        """What goes wrong on the way, in our words."""
        try:
            yield
        except TooLarge:
            raise SourceHalted(
                f"{request.shown}: the answer is larger than {self._limit:,} bytes (max_answer_bytes, unpacked); ask for "
                "smaller pages, or raise it"
            ) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            self.close()
            if self._deadline.passed:
                total = f"no whole answer within timeouts.total, {self._timeouts.total:g} s"
                raise TransientError(f"{request.shown}: {total}") from None
            told = failure(error, self._timeouts)
            raise type(told)(f"{request.shown}: {told}") from None
