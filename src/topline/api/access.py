"""Who asks, and what he may see and do. Without logins everybody may do everything: the API answers on loopback only.

The seam for logins: `create_app(identify=...)` takes what tells a request's caller, and everything else follows. Endpoints
declare the scope that they need (`asking`), questions are asked within `Caller.cities`, and answers that are remembered are
remembered for callers with the same rights.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import Depends, Request

from topline.api.problems import ProblemError
from topline.results.questions import Places

Scope = Literal["sales:read", "salesmen:read", "operations:read", "operations:write", "ingest:write"]
ALL: frozenset[Scope] = frozenset({"sales:read", "salesmen:read", "operations:read", "operations:write", "ingest:write"})


@dataclass(frozen=True, slots=True)
class Caller:
    """`cities`: those that he may see; None: all. Callers are equal where their rights are: the name is for logs."""

    name: str = field(default="", compare=False)
    scopes: frozenset[Scope] = ALL
    cities: Places | None = None

    def require(self, scope: Scope) -> None:
        if scope not in self.scopes:
            raise ProblemError(HTTPStatus.FORBIDDEN, f"this needs the scope {scope}, which the caller does not have")

    def require_all_cities(self, what: str) -> None:
        """Of what has no columns of cities nothing can be shown to somebody who may see some cities only."""
        if self.cities is not None:
            detail = f"{what} cannot be limited to the cities that the caller may see: it has no country, region and city"
            raise ProblemError(HTTPStatus.FORBIDDEN, detail)


Identify = Callable[[Request], Awaitable[Caller]]
ANYBODY = Caller()


async def anybody(request: Request) -> Caller:  # noqa: ARG001 - the place of those who look at the request
    return ANYBODY


async def caller(request: Request) -> Caller:
    """The request's caller, told once a request."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is None:
        known = request.state.caller = await request.app.state.identify(request)
    return known


def needs(scope: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, who has the scope. 403 otherwise."""

    async def allowed(who: Annotated[Caller, Depends(caller)]) -> Caller:
        who.require(scope)
        return who

    return allowed


async def require_own_origin(request: Request) -> None:
    """A web page of another origin must not make a reader's browser send (RFC 6454, 7): without an Origin it is no browser."""
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.url.netloc}"
    if origin is not None and origin != own:
        raise ProblemError(HTTPStatus.FORBIDDEN, f"pages of {origin!r} may not send here; the Origin has to be {own}")
