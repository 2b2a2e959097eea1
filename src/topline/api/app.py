"""The REST API: published results and what the engine says of itself, read from PostgreSQL; and the inbox."""

import datetime as dt
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from topline import __version__
from topline.api import events, health, models, operations, sales, salesmen
from topline.api.access import Identify, anybody
from topline.api.delivery import Delivery
from topline.api.documented import install_examples
from topline.api.events import Streams
from topline.api.ingest import Intakes
from topline.api.ingest import router as ingest
from topline.api.lineage import Drawing
from topline.api.problems import install_problems
from topline.api.reference import install_reference
from topline.models.plan import ProjectPlan
from topline.results import Reader
from topline.sources.push import Intake

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Clock = Callable[[], dt.datetime]


def create_app(
    results: Reader,
    zone: ZoneInfo,
    *,
    plan: ProjectPlan | None = None,
    hosts: frozenset[str] = LOOPBACK,
    clock: Clock | None = None,
    intakes: Sequence[Intake] = (),
    troubles: Callable[[], list[str]] | None = None,
    identify: Identify = anybody,
) -> FastAPI:
    """An app over an opened reader (which the caller closes).

    `zone` says which business day it is. `plan`: the project's models; without it none is listed. `hosts`: names under which
    it answers; another one may be a web page that has itself resolved to this machine. `intakes`: the tables that may be
    sent to. `troubles`: what an engine in this process says is wrong with it; without it, what the last one published of
    itself counts. `identify`: tells who asks; raises ProblemError (401) for who cannot be told.
    """
    app = FastAPI(
        title="Topline", version=__version__, description=__doc__, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.results = results
    app.state.plan = plan
    app.state.today = lambda: (clock or _now)().astimezone(zone).date()
    app.state.troubles = troubles
    app.state.identify = identify
    app.state.drawing = Drawing()
    app.state.streams = Streams(results.publications)
    for part in (sales, salesmen, models, operations, events, health):
        app.include_router(part.router)
    if intakes:
        app.state.intakes = Intakes(intakes)
        app.include_router(ingest)
    install_reference(app)
    install_examples(app)
    app.add_middleware(Delivery, generation=lambda: results.generation, today=app.state.today)
    install_problems(app, hosts)
    app.add_middleware(Head)
    return app


class Head:
    """Answers HEAD as GET (RFC 9110, 9.3.2); the server leaves the body out. `scope["head"]`: for what would not end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self._app({**scope, "method": "GET", "head": True} if head else scope, receive, send)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
