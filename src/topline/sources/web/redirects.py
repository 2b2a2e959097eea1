"""Redirects: followed on the same server alone, since credentials go nowhere else."""

from collections.abc import Callable
from dataclasses import replace

from topline.errors import SourceHalted
from topline.sources.web.addresses import Url
from topline.sources.web.wire import Answer, Request, Send

_MOST = 5  # in a row
_STATUSES = frozenset({301, 302, 303, 307, 308})


def followed(request: Request, send: Send, signed: Callable[[Request], Request], base: Url, setting: str) -> Answer:
    """The answer behind redirects of `request`, which leave neither its server nor that of `base`.

    signed   the next request, with what tells who we are
    setting  what to correct where the redirects are right, for messages

    SourceHalted where one leads elsewhere, or away from https, or makes a GET of a POST, or where they have no end.
    """
    for _ in range(_MOST + 1):
        answer = send(request)
        if not redirects(answer):
            return answer
        request = signed(_next(answer, base, setting))
    raise SourceHalted(f"{request.shown}: more than {_MOST} redirects, one to the next; see {setting}")


def redirects(answer: Answer) -> bool:
    return answer.status in _STATUSES


def target(answer: Answer) -> Url:
    """Where a redirect leads. SourceHalted where that is no address."""
    try:
        return answer.request.url.join(answer.headers.get("location", ""))
    except ValueError as error:
        raise SourceHalted(f"{answer.request.shown}: redirects to no address that can be followed: {error}") from None


def _next(answer: Answer, base: Url, setting: str) -> Request:
    request, url = answer.request, target(answer)
    there = f"{request.shown}: redirects"
    if not base.allows(url) or not request.url.allows(url):
        raise SourceHalted(
            f"{there} to {url.origin}, another server or not encrypted, where credentials do not go; if that is right, set "
            f"{setting} to it"
        )
    if request.method == "POST" and answer.status not in (307, 308):
        raise SourceHalted(f"{there} a POST to {url.shown} as a GET (HTTP {answer.status}); set {setting} to it")
    return replace(request, url=url, params=())
