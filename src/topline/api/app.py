"""The REST API: the two rankings and a salesman's history, read from the published results; and the inbox."""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError
from starlette.types import ASGIApp, Receive, Scope, Send

from topline import __version__
from topline.api.answers import AsOfAnswer, Cities, Health, History, Ready, Salesmen
from topline.api.ingest import Intakes
from topline.api.ingest import router as ingest
from topline.api.problems import ProblemError, install_problems, responses
from topline.api.remembered import Remembered
from topline.errors import StateError, TransientError
from topline.results import Ranking, Reader
from topline.results.queries import Readiness
from topline.sources.push import Intake

HEARTBEAT_LIMIT = 15.0  # seconds without a word from the engine
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Clock = Callable[[], dt.datetime]
_router = APIRouter()
_FAULTS = responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE)


def create_app(
    results: Reader,
    zone: ZoneInfo,
    *,
    hosts: frozenset[str] = LOOPBACK,
    clock: Clock | None = None,
    intakes: Sequence[Intake] = (),
    troubles: Callable[[], list[str]] | None = None,
) -> FastAPI:
    """An app over an opened reader (which the caller closes).

    `zone` says which business day it is. `hosts`: names under which it answers; another one may be a web page that has
    itself resolved to this machine. `intakes`: the tables that may be sent to. `troubles`: what an engine in this process says
    is wrong with it; without it, what the last one published of itself counts.
    """
    app = FastAPI(
        title="Topline", version=__version__, description=__doc__, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.results = results
    app.state.today = lambda: (clock or _now)().astimezone(zone).date()
    app.state.troubles = troubles
    app.include_router(_router)
    if intakes:
        app.state.intakes = Intakes(intakes)
        app.include_router(ingest)
    app.add_middleware(Remembered, generation=lambda: results.generation, today=app.state.today)
    install_problems(app, hosts)
    app.add_middleware(Head)
    return app


class Head:
    """Answers HEAD as GET (RFC 9110, 9.3.2); the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self._app({**scope, "method": "GET"} if head else scope, receive, send)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _results(request: Request) -> Reader:
    reader: Reader = request.app.state.results
    return reader


Results = Annotated[Reader, Depends(_results)]


def _iso_date(value: object) -> object:
    """A date is written out: pydantic alone would take 0 for 1970-01-01."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        raise PydanticCustomError("iso_date", "a date is expected, such as 2026-11-21")
    return value


class _DayQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    date: Annotated[dt.date | None, BeforeValidator(_iso_date)] = Field(
        None, description="Business date (YYYY-MM-DD); the current business day by default."
    )
    limit: int = Field(10, ge=1, le=1000, description="Most rows to return.")


class _HistoryQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(1000, ge=1, le=1000, description="Most days to return.")


@_router.get("/api/v1/sales/city", responses=_FAULTS)
def sales_by_city(request: Request, results: Results, query: Annotated[_DayQuery, Query()]) -> Cities:
    """The cities with the highest sales of a day. Ties: by country, region and city, in bytes."""
    day = query.date or request.app.state.today()
    found = _published(results.top_cities(day, query.limit))
    return Cities.model_validate({"date": day, "as_of": AsOfAnswer.of(found.as_of), "cities": found.rows})


@_router.get("/api/v1/salesmen/top", responses=_FAULTS)
def top_salesmen(request: Request, results: Results, query: Annotated[_DayQuery, Query()]) -> Salesmen:
    """The best salesmen of a day in the whole country. Ties: by id, in bytes."""
    day = query.date or request.app.state.today()
    found = _published(results.top_salesmen(day, query.limit))
    return Salesmen.model_validate({"date": day, "as_of": AsOfAnswer.of(found.as_of), "salesmen": found.rows})


@_router.get("/api/v1/salesmen/{salesman_id:path}/history", responses={**_FAULTS, **responses(HTTPStatus.NOT_FOUND)})
def salesman_history(results: Results, salesman_id: str, query: Annotated[_HistoryQuery, Query()]) -> History:
    """A salesman's days, newest first, ranked or not."""
    if "\0" in salesman_id:  # PostgreSQL's text cannot hold it, so nobody has such an id
        raise _nobody(salesman_id)
    found = _published(results.salesman_history(salesman_id, query.limit))
    if not found.rows:
        raise _nobody(salesman_id)
    return History.model_validate({"salesman_id": salesman_id, "as_of": AsOfAnswer.of(found.as_of), "days": found.rows})


def _nobody(salesman_id: str) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"no sale of a salesman with the id {salesman_id!r} counts")


@_router.get("/healthz")
def healthz() -> Health:
    """The API runs. It says nothing of the engine: see /readyz."""
    return Health(status="ok")


@_router.get("/readyz", responses=responses(HTTPStatus.SERVICE_UNAVAILABLE))
def readyz(request: Request, results: Results) -> Ready:
    """Rankings are published and go on, the engine is alive, and every source is read; else each reason why not."""
    own: Callable[[], list[str]] | None = request.app.state.troubles
    try:
        found = results.readiness()
    except (TransientError, StateError) as error:
        told = own() if own else []
        silent = (
            []
            if any(text.startswith("results: ") for text in told)
            else [f"results: {error}: see that the database of results.dsn runs and can be reached"]
        )
        raise _unready(silent + told) from error
    reasons = _behind(found) + (own() if own else _said(found))
    if reasons:
        raise _unready(reasons)
    return Ready(status="ready", epoch=found.epoch)


def _unready(reasons: list[str]) -> ProblemError:
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(reasons), reasons)


def _behind(found: Readiness) -> list[str]:
    """What is not published, and an engine that is not heard of."""
    reasons = [f"model {model}: not published yet" for model in found.unpublished]
    if not found.epoch:
        reasons.append("nothing has been published yet")
    if found.heartbeat_age is None:
        reasons.append("engine: has not started yet")
    elif found.heartbeat_age > HEARTBEAT_LIMIT:
        reasons.append(f"engine: silent for {found.heartbeat_age:.0f} s")
    return reasons


def _said(found: Readiness) -> list[str]:
    """What the engine published of itself."""
    reasons = [
        f"source {name}: {state}" + (f": {error}" if error else "")
        for name, state, error in found.sources
        if state in ("down", "halted")
    ]
    reasons += [f"model {name}: halted: {why}" for name, why in sorted(found.halted.items())]
    return reasons + [why for _, why in sorted(found.held.items())]


def _published(found: Ranking) -> Ranking:
    if not found.as_of.epoch:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE, "this ranking has not been published yet; /readyz says what is missing"
        )
    return found
