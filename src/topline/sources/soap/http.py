"""HTTP for SOAP: one connection a call, bounded in time and size, no redirect to strangers, failures told apart."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from topline.errors import ConfigError, SourceHalted, TransientError
from topline.sources.soap.settings import SoapSettings, Tls

_HOPS = 5  # redirects that a GET follows, on its own host


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer over HTTP. `location`: where a redirect leads, absolute; '' where it is none."""

    status: int
    content_type: str
    body: bytes
    location: str = ""


class Http:
    """TransientError: no connection, a timeout, a broken answer. SourceHalted: certificates, size, a redirect elsewhere."""

    def __init__(self, settings: SoapSettings, root: Path) -> None:
        """ConfigError names a certificate that cannot be used."""
        self._limit, self._timeouts = settings.max_response_bytes, settings.timeouts
        self._headers, basic, waits = settings.http_headers, settings.basic, settings.timeouts
        self._auth = httpx2.BasicAuth(basic.username, basic.password.get_secret_value()) if basic else None
        self._client = httpx2.Client(
            verify=tls_context(settings.tls, root),
            headers={"User-Agent": "topline"},
            timeout=httpx2.Timeout(min(waits.read, waits.total), connect=waits.connect, pool=waits.total),
            limits=httpx2.Limits(max_keepalive_connections=0),  # one that stood idle between polls would only fail
            proxy=settings.proxy,
            trust_env=False,
        )

    def get(self, url: str, *, known: bool) -> Reply:
        """Follows redirects on the same host. Only one that is `known` is told who we are."""
        for _ in range(_HOPS):
            reply = self._send("GET", url, b"", self._headers if known else {}, self._auth if known else None)
            if not reply.location:
                return reply
            if not same_host(url, reply.location):
                where = shown(reply.location)
                raise SourceHalted(f"{shown(url)} redirects to {where}, another host or not encrypted: if it is right, name it")
            url = reply.location
        raise SourceHalted(f"{shown(url)} redirects again and again")

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        reply = self._send("POST", url, body, {**headers, **self._headers}, self._auth)
        if reply.location:
            raise SourceHalted(f"{shown(url)} redirects to {shown(reply.location)}: if that is right, write it in `address`")
        return reply

    def close(self) -> None:
        self._client.close()

    def _send(self, method: str, url: str, body: bytes, headers: Mapping[str, str], auth: httpx2.BasicAuth | None) -> Reply:
        deadline = _Deadline(self._timeouts.total)
        extensions = {"trace": deadline.trace}
        stream = self._client.stream
        with (
            _told_apart(url, deadline),
            deadline,
            stream(method, url, content=body, headers=headers, auth=auth, extensions=extensions) as response,
        ):
            location = response.headers.get("Location", "") if response.is_redirect else ""
            content_type = response.headers.get("Content-Type", "")
            return Reply(response.status_code, content_type, self._body(response, url), location and _absolute(url, location))

    def _body(self, response: httpx2.Response, url: str) -> bytes:
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > self._limit:
                raise SourceHalted(
                    f"the answer of {shown(url)} is larger than {self._limit:,} bytes: "
                    "ask for smaller pages, or raise max_response_bytes"
                )
            chunks.append(chunk)
        return b"".join(chunks)


class _Deadline:
    """Ends a call that takes too long, wherever it waits: its connection is shut down under it."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.passed = seconds, False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._stream: Any = None

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Told by the client what happens: the stream of the connection is the newest that was made."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]
            if self.passed:
                self._shut()

    def _end(self) -> None:
        self.passed = True
        self._shut()

    def _shut(self) -> None:
        connection = self._stream.get_extra_info("socket") if self._stream is not None else None
        if connection is not None:
            try:
                connection.shutdown(2)
            except OSError:
                return  # it has ended by itself


@contextmanager
def _told_apart(url: str, deadline: _Deadline) -> Iterator[None]:
    try:
        yield
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
        raise SourceHalted(f"{shown(url)} cannot be asked: {error}") from None
    except (httpx2.HTTPError, httpx2.StreamError, ssl.SSLError, OSError) as error:
        if deadline.passed:
            raise TransientError(f"{shown(url)} did not answer whole within {deadline.seconds:g} s (timeouts.total)") from None
        if reason := _certificate_fault(error):
            raise SourceHalted(f"{shown(url)}: {reason}") from None
        raise TransientError(f"{shown(url)}: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    if isinstance(error, httpx2.ConnectTimeout):
        return "no connection in time (timeouts.connect)"
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time (timeouts.read)"
    return f"{str(error) or type(error).__name__}"


def _certificate_fault(error: BaseException | None) -> str:
    """What a person must mend, or ''. Alerts: the other side refuses us (RFC 8446, section 6.2)."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted: {error.verify_message}. If it is the right one, name its authority in tls.ca"
            )
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "") and _about_certificates(error.reason or ""):
            return f"it refuses our certificate ({error.reason}): see tls.certificate"
        error = error.__cause__ or error.__context__
    return ""


def _about_certificates(reason: str) -> bool:
    return any(word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE"))


@cache
def _systems_context() -> ssl.SSLContext:
    """With the system's authorities, which take some milliseconds to load."""
    return ssl.create_default_context()


def tls_context(tls: Tls, root: Path) -> ssl.SSLContext:
    """Checks certificates and names. ConfigError names the file that cannot be used."""
    if tls == Tls():
        return _systems_context()
    setting, file = "ca", tls.ca
    try:
        context = ssl.create_default_context(cafile=None if tls.ca is None else str(root / tls.ca))
        setting, file = "certificate", tls.certificate
        if tls.certificate is not None:
            key = None if tls.key is None else str(root / tls.key)
            secret = tls.key_password.get_secret_value() if tls.key_password else ""
            context.load_cert_chain(str(root / tls.certificate), key, lambda: secret)
    except (OSError, ValueError) as error:
        raise ConfigError(f"tls.{setting}: {file} cannot be used: {error}") from None
    return context


def same_host(url: str, other: str) -> bool:
    """Whether `other` may be asked in place of `url`: the same host, and not plain where it was encrypted."""
    one, two = urlsplit(url), urlsplit(other)
    return one.hostname == two.hostname and two.scheme in {one.scheme, "https"}


def _absolute(url: str, location: str) -> str:
    try:
        absolute = urljoin(url, location)
        shown(absolute)
    except ValueError:
        raise SourceHalted(f"{shown(url)} redirects to {location[:80]!r}, which is no address") from None
    return absolute


def shown(url: str) -> str:
    """A URL for people: without user and query, which may hold secrets. ValueError where it is none."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def refused_status(status: int) -> bool:
    """HTTP statuses that another try does not heal (RFC 9110, section 15.5): all of 400 to 499 but these."""
    return 400 <= status < 500 and status not in {404, 408, 421, 423, 425, 429}
