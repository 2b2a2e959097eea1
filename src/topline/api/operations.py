"""What the engine says of itself: its sources, what could not be read, and asking it to read that again."""

import base64
import datetime as dt
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from topline.answers import MOST_LETTERS, LetterAnswer, Letters, ReplayAccepted, ReplayRequest, Sources
from topline.api.access import require_own_origin
from topline.api.asking import Ask, Asked, asking, not_found
from topline.api.documented import answers
from topline.api.paging import Cursor, Limit
from topline.api.representations import JSON
from topline.api.values import PlainText
from topline.live.commands import REPLAY
from topline.results.questions import dead_letter, dead_letters, sources

router = APIRouter(tags=["operations"])
_SOURCES, _LETTERS = "/api/v1/sources", "/api/v1/dead-letters"
_NUMBERED, _REPLAY = f"{_LETTERS}/{{number:int}}", f"{_LETTERS}/replay"
_MOST_SOURCES = 10_000

OnlyJson = Annotated[Ask, Depends(asking("operations:read", (JSON,)))]


class LettersQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: PlainText | None = Field(None, description="Only of this source.")
    table: PlainText | None = Field(None, description="Only of this table, such as branches.sales.")
    state: PlainText | None = Field(None, description="open, replayed or superseded.")
    limit: Limit = 100
    cursor: Cursor = None


@router.get(_SOURCES, responses=answers(), response_model=Sources)
def list_sources(ask: OnlyJson) -> Response:
    """Each source: its state, how far it lags, how fresh its published figures are, and what went wrong last."""
    page = ask.whole(sources(), _MOST_SOURCES)
    told: Mapping[str, Any] = page.extra or {"heartbeat": None, "age": None}
    rows = [{**row, "behind_seconds": _behind(row["time"], row["published_time"])} for row in page.rows]
    fields = {"heartbeat": told["heartbeat"], "heartbeat_age_seconds": told["age"], "sources": rows}
    return ask.answer(Sources, page, fields)


def _behind(taken: str | None, published: str | None) -> float | None:
    """The status may be a moment older than the publication: no source is ahead of itself."""
    if taken is None or published is None:
        return None
    return max(0.0, (dt.datetime.fromisoformat(taken) - dt.datetime.fromisoformat(published)).total_seconds())


@router.get(_LETTERS, responses=answers(tables=True), response_model=Letters)
def list_letters(ask: Annotated[Ask, Depends(asking("operations:read"))], query: Annotated[LettersQuery, Query()]) -> Response:
    """What could not be read, the newest first; the engine mirrors the newest 200."""
    ask.caller.require_all_cities("a dead letter")
    filters = {"source": query.source, "table": query.table, "state": query.state}
    return ask.listed(Letters, "dead_letters", dead_letters(**filters), Asked(query.limit, query.cursor, filters))


@router.get(_NUMBERED, responses=answers(HTTPStatus.NOT_FOUND), response_model=LetterAnswer)
def one_letter(
    ask: OnlyJson, number: Annotated[int, Path(ge=1, le=MOST_LETTERS, description="As the list has it (`id`).", examples=[1])]
) -> Response:
    """A dead letter with its bytes."""
    ask.caller.require_all_cities("a dead letter")
    page = ask.whole(dead_letter(number), 1)
    if not page.rows:
        raise not_found(f"no dead letter has the number {number} among the newest; `topline dead-letters show` knows all")
    letter = page.rows[0]
    raw = base64.b64decode(letter["raw"])
    return ask.answer(LetterAnswer, page, {**letter, "text": _text(raw), "truncated": len(raw) < letter["bytes"]})


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


@router.post(
    _REPLAY,
    status_code=HTTPStatus.ACCEPTED,
    responses=answers(HTTPStatus.BAD_REQUEST, success=HTTPStatus.ACCEPTED),
    dependencies=[Depends(require_own_origin)],
)
def replay_letters(
    ask: Annotated[Ask, Depends(asking("operations:write", (JSON,)))],
    asked: ReplayRequest,
) -> ReplayAccepted:
    """Have dead letters read again, after a fix: each is applied unless its key was changed later. Twice changes nothing."""
    ask.caller.require_all_cities("a dead letter")
    number = ask.results.submit(REPLAY, {"letters": asked.letters})
    return ReplayAccepted(command=number, letters=asked.letters)
