"""One question of one caller: what every endpoint does around the question itself."""

import datetime as dt
import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from topline.answers import Answer, AsOfAnswer
from topline.api.access import Caller, Scope, needs
from topline.api.delivery import AS_OF
from topline.api.paging import Begin, link, read_cursor, write_cursor
from topline.api.problems import ProblemError
from topline.api.representations import CONTENT_TYPES, JSON, TABULAR, require, written
from topline.models.plan import ProjectPlan
from topline.results import AsOf, Page, Reader
from topline.results.questions import Listing

_AS_OF = AS_OF.decode()


class Ask:
    """A request with its caller, the form that it wants, and where to read."""

    def __init__(self, request: Request, caller: Caller, media: str) -> None:
        self._request = request
        self.caller = caller
        self._media = media
        self.results: Reader = request.app.state.results

    @property
    def today(self) -> dt.date:
        found: dt.date = self._request.app.state.today()
        return found

    @property
    def plan(self) -> ProjectPlan | None:
        found: ProjectPlan | None = self._request.app.state.plan
        return found

    def whole(self, listing: Listing, limit: int) -> Page:
        """At most `limit` rows, and nothing said of more. 503 before the first publication."""
        return _published(listing, self.results.page(listing, limit))

    def listed(
        self, kind: type[Answer], name: str, listing: Listing, asked: "Asked", fields: Mapping[str, Any] | None = None
    ) -> Response:
        """A page of the listing, as `kind` with its rows under `name`, or as a table."""
        begin = None if asked.cursor is None else read_cursor(listing, asked.cursor)
        page = _published(listing, self.results.page(listing, asked.limit, None if begin is None else begin.after))
        following = self._following(listing, page, begin, asked)
        rest = {**(fields or {}), "next": following}
        return self.answer(kind, page, rest, rows=(name, listing), begin=begin)

    def answer(
        self,
        kind: type[Answer],
        page: Page,
        fields: Mapping[str, Any],
        rows: tuple[str, Listing] | None = None,
        begin: Begin | None = None,
    ) -> Response:
        """`kind` with these fields; `rows`: the name under which the page's rows stand there, and what they are rows of."""
        as_of = as_of_answer(page.as_of, changed=begin is not None and begin.epoch != page.as_of.epoch)
        headers = {_AS_OF: json.dumps(as_of.model_dump(mode="json"))}  # a header is ASCII
        if fields.get("next"):
            headers["link"] = f'<{fields["next"]}>; rel="next"'
        if self._media != JSON and rows is not None:
            body = written(self._media, rows[1].columns, page.rows)
        else:
            shown = {rows[0]: page.rows} if rows else {}
            body = kind.model_validate({**fields, **shown, "as_of": as_of}).model_dump_json(by_alias=True).encode()
        return Response(body, headers={**headers, "content-type": CONTENT_TYPES[self._media]})

    def _following(self, listing: Listing, page: Page, begin: Begin | None, asked: "Asked") -> str | None:
        if not page.more:
            return None
        cursor = write_cursor(listing, begin.epoch if begin else page.as_of.epoch, page.rows[-1])
        return link(self._request.url.path, {**asked.parameters, "limit": asked.limit}, cursor)


class Asked:
    """What is asked of a listing beside its first page: `parameters` spell the question out, without limit and cursor."""

    def __init__(self, limit: int, cursor: str | None, parameters: Mapping[str, Any]) -> None:
        self.limit, self.cursor, self.parameters = limit, cursor, parameters


def asking(scope: Scope, offered: tuple[str, ...] = TABULAR) -> Callable[..., Awaitable[Ask]]:
    """A dependency: the question of a caller who has the scope, in a form that is offered. 403 and 406 otherwise."""

    async def ask(request: Request, caller: Annotated[Caller, Depends(needs(scope))]) -> Ask:
        accept = ",".join(request.headers.getlist("accept"))
        return Ask(request, caller, require(accept, offered))

    return ask


def as_of_answer(found: AsOf, *, changed: bool = False) -> AsOfAnswer:
    return AsOfAnswer(
        epoch=found.epoch, held_back=found.held_back, changed=changed, time=found.time, sources=dict(found.sources)
    )


def _published(listing: Listing, page: Page) -> Page:
    if listing.models and not page.as_of.epoch:
        names = " and ".join(listing.models)
        detail = f"{names}: not published yet; /readyz says what is missing"
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail)
    return page


def not_found(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, detail)
