"""Whether the API runs, and whether what it shows is whole and goes on."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import APIRouter, Request

from topline.answers import Health, Ready
from topline.api.problems import ProblemError, responses
from topline.errors import StateError, TransientError
from topline.results import Reader
from topline.results.readiness import Readiness

HEARTBEAT_LIMIT = 15.0  # seconds without a word from the engine

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """The API runs. It says nothing of the engine: see /readyz."""
    return Health(status="ok")


@router.get("/readyz", responses=responses(HTTPStatus.SERVICE_UNAVAILABLE))
def readyz(request: Request) -> Ready:
    """Rankings are published and go on, the engine is alive, and every source is read; else each reason why not."""
    results: Reader = request.app.state.results
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
