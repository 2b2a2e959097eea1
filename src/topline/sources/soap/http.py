"""HTTP for SOAP: documents and calls, each over a connection of its own, with what tells who we are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from topline.errors import SourceHalted
from topline.sources.soap.settings import SoapSettings
from topline.sources.web.addresses import Url
from topline.sources.web.failures import may_heal
from topline.sources.web.redirects import followed, redirects, target
from topline.sources.web.settings import exposed
from topline.sources.web.tls import tls_context
from topline.sources.web.wire import Answer, Request, Wire

_ASIS = "%/:=&?~#+!$,;'@()*[]"  # all that has a meaning in an address, RFC 3986 section 2


@dataclass(frozen=True, slots=True)
class Reply:
    """What is read of an answer over HTTP."""

    status: int
    content_type: str
    body: bytes


class Http:
    """Errors as of `Wire`; SourceHalted for redirects elsewhere, and where a login would travel readable. For any thread."""

    def __init__(self, settings: SoapSettings, root: Path) -> None:
        """ConfigError names a certificate that cannot be used."""
        self._settings, self._context = settings, tls_context(settings.tls, root)
        basic = settings.basic
        self._login = {**settings.headers, **({} if basic is None else {"Authorization": basic.authorization})}

    def get(self, url: str, *, known: bool) -> Reply:
        """Follows redirects on the same server. Only one that is `known` is told who we are."""
        request = Request("GET", address(url), (), self._login if known else {})
        if known and self._settings.has_login:
            self._refuse_readable(request.url)
        return _reply(followed(request, self._send, lambda again: again, request.url, "wsdl"))

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        request = Request("POST", address(url), (), {**headers, **self._login}, body)
        self._refuse_readable(request.url)
        answer = self._send(request)
        if redirects(answer):
            there = target(answer).shown
            raise SourceHalted(f"{request.shown}: redirects to {there}; if that is right, write it in `address`")
        return _reply(answer)

    def _refuse_readable(self, url: Url) -> None:
        if self._settings.exposes(url):
            raise SourceHalted(exposed(url))

    def _send(self, request: Request) -> Answer:
        """Calls are far apart, and nobody asks again at once: a connection that was kept would only have ended meanwhile."""
        wire = Wire(self._settings, self._context)
        try:
            return wire.send(request)
        finally:
            wire.close()


def address(url: str) -> Url:
    """As it is asked, spaces and the like encoded. SourceHalted where it is none."""
    try:
        return Url.parse(quote(url, safe=_ASIS))
    except ValueError as error:
        raise SourceHalted(f"it cannot be asked: {error}") from None


def refused_status(status: int) -> bool:
    """HTTP statuses that another try does not heal. It may heal 404: a service that is set up anew is gone for a while."""
    return status != 404 and not may_heal(status)


def _reply(answer: Answer) -> Reply:
    return Reply(answer.status, answer.content_type, answer.body)
