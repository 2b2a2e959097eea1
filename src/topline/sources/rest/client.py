"""Asks the origin: signs requests, renews a token once, waits as the origin wishes, and says what a status means."""

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from topline.errors import SourceHalted, TransientError
from topline.sources.rest.credentials import Credentials
from topline.sources.rest.settings import RestSettings
from topline.sources.web.addresses import Url
from topline.sources.web.failures import LATER, may_heal
from topline.sources.web.redirects import followed
from topline.sources.web.wire import Answer, Request, Wire

log = logging.getLogger("topline.sources.rest")

_REMEDIES = {
    400: "see path, params and body",
    401: "see auth or basic",
    403: "what auth or basic names may not read this; the origin's administrator can allow it",
    404: "see url and path",
    405: "see method",
    410: "it is gone for good; see url and path",
}


class Refused(SourceHalted):
    """The origin answered, and does not give what was asked for."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Later(TransientError):  # noqa: N818 - it is a wish, as the message says
    """The origin asks to wait. `seconds`: for how long from now."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Pace:
    """When the origin may be asked again: one a source, for all its tables, and over its reopenings."""

    def __init__(self, settings: RestSettings) -> None:
        self._pause, self._most = settings.pause, settings.max_wait
        self._lock = threading.Lock()
        self._next = self._not_before = 0.0

    def rest(self) -> float:
        """Seconds to leave between the last request and the next."""
        with self._lock:
            return max(0.0, self._next - time.monotonic())

    def begin(self, request: Request) -> None:
        """Later while the origin wants no request."""
        with self._lock:
            now = time.monotonic()
            if (left := self._not_before - now) > 0:
                raise Later(f"{request.shown}: the origin asked to wait, for {left:.0f} s more (Retry-After)", left)
            self._next = now + self._pause

    def wait(self, seconds: float) -> float:
        """The origin wants no request for `seconds`; how many of them hold."""
        with self._lock:
            kept = min(seconds, self._most)
            self._not_before = max(self._not_before, time.monotonic() + kept)
        return kept


@dataclass(frozen=True, slots=True)
class Shared:
    """What the feeds of a source share: who we are, and how fast we may ask."""

    credentials: Credentials
    pace: Pace

    @classmethod
    def of(cls, settings: RestSettings) -> "Shared":
        return cls(Credentials(settings), Pace(settings))


class Client:
    """`ask` gives a whole answer of 200, 204 or 304, or says by an error why there is none."""

    def __init__(self, base: Url, wire: Wire, tokens: Wire, shared: Shared) -> None:
        """`tokens`: connections to where OAuth2 tokens are given out, another server as a rule."""
        self.base, self._wire, self._tokens, self._shared = base, wire, tokens, shared

    @property
    def pace(self) -> Pace:
        return self._shared.pace

    def hide(self, text: str) -> str:
        return self._shared.credentials.hide(text)

    def ask(self, request: Request) -> Answer:
        """TransientError (Later, where the origin wants us to wait), or SourceHalted (Refused, with the status)."""
        credentials = self._shared.credentials
        self.pace.begin(request)
        signed = self._signed(request)
        answer = self._followed(signed)
        if answer.status == 401 and credentials.renewable:
            credentials.forget(signed)
            answer = self._followed(self._signed(request))
        conditional = not request.headers.keys().isdisjoint(("If-None-Match", "If-Modified-Since"))
        if answer.status in (200, 204) or (answer.status == 304 and conditional):
            return answer
        raise self._failure(answer)

    def close(self) -> None:
        self._wire.close()
        self._tokens.close()

    def _signed(self, request: Request) -> Request:
        return self._shared.credentials.sign(request, self._tokens.send)

    def _followed(self, request: Request) -> Answer:
        return followed(request, self._wire.send, self._signed, self.base, "url and path")

    def _failure(self, answer: Answer) -> Exception:
        said = f"{answer.request.shown}: HTTP {answer.status} {answer.phrase}".rstrip()
        snippet = self.snippet(answer)
        seconds = wait_of(answer.headers, datetime.now(UTC))
        if seconds is not None and (answer.status in LATER or answer.status in (403, 503)):
            kept = self.pace.wait(seconds)
            log.warning("%s; asked again in %.0f s", said, kept)
            return Later(f"{said}; it is asked again in {kept:.0f} s, as it wishes{snippet}", kept)
        if may_heal(answer.status):
            return TransientError(f"{said}{snippet}")
        return Refused(f"{said}; {_REMEDIES.get(answer.status, 'see path, params, headers and body')}{snippet}", answer.status)

    def snippet(self, answer: Answer) -> str:
        """How the body begins, for a message; '' where it is empty."""
        words = " ".join(answer.body[:2000].decode("utf-8", "replace").split())
        shown = self.hide("".join(c if c.isprintable() else "?" for c in words))
        return f". It says: {shown[:200]}" if shown else ""


def wait_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the origin asks to wait: Retry-After (RFC 9110 section 10.2.3), or the end of a spent rate limit."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    moment = http_date(text)
    if moment is not None:
        return max(0.0, (moment - (http_date(headers.get("date", "")) or now)).total_seconds())
    if headers.get("x-ratelimit-remaining", "").strip() == "0":
        reset = headers.get("x-ratelimit-reset", "").strip()
        if re.fullmatch(r"\d{1,10}", reset):  # an instant where it is large, else seconds from now
            return max(0.0, float(reset) - now.timestamp()) if len(reset) > 8 else float(reset)
    return None


def http_date(text: str) -> datetime | None:
    """An HTTP date (RFC 9110 section 5.6.7); None where it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
