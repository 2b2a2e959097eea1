"""Rows that others send: `POST /api/v1/ingest/{table}` puts a request into the inbox, whole or not at all."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from topline.answers import Accepted, InboxStanding
from topline.api.access import Caller, needs, require_own_origin
from topline.api.problems import ProblemError, responses
from topline.api.receiving import Body, Budget, receive
from topline.sources.push import Intake
from topline.sources.push.bodies import ALLOWED, Content, content_of
from topline.sources.push.inbox import Once, Receipt
from topline.sources.push.refusals import InboxFull, InvalidRows, KeyReused, Refusal
from topline.sources.push.signing import Check

PATH = "/api/v1/ingest/"
_KEY_LENGTH = 255
_RETRY = "5"  # seconds after which an inbox that was full may have room
_BODIES = 4  # largest bodies that are held at once
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

TableName = Annotated[str, Path(description="`source.table`, or the table's own name where only one source has it.")]
router = APIRouter(tags=["ingest"])


class Intakes:
    """The tables that may be sent to, and what is under way in this process."""

    def __init__(self, intakes: Sequence[Intake]) -> None:
        self._intakes = {intake.name: intake for intake in intakes}
        self.budget = Budget(_BODIES * max((intake.settings.max_body_bytes for intake in intakes), default=0))
        self._under_way: set[tuple[str, str, str]] = set()

    def named(self, table: str) -> Intake:
        """By full name, or by the table's own where that is clear."""
        found = self._intakes.get(table)
        alike = [intake for name, intake in self._intakes.items() if name.partition(".")[2] == table]
        if found is not None or len(alike) == 1:
            return found or alike[0]
        what = f"{table!r} is not clear" if alike else f"nothing may be sent to {table!r}"
        names = ", ".join(sorted(intake.name for intake in alike) or sorted(self._intakes))
        raise ProblemError(HTTPStatus.NOT_FOUND, f"{what}; there is {names}")

    @contextmanager
    def only_one(self, table: str, caller: str, key: str | None) -> Iterator[None]:
        """409 while another request with this key is under way."""
        if key is None:
            yield
            return
        mark = (table, caller, key)
        if mark in self._under_way:
            detail = f"a request with the Idempotency-Key {key!r} is under way; ask again for its answer in a moment"
            raise ProblemError(HTTPStatus.CONFLICT, detail)
        self._under_way.add(mark)
        try:
            yield
        finally:
            self._under_way.discard(mark)


def _intakes(request: Request) -> Intakes:
    found: Intakes = request.app.state.intakes
    return found


def idempotency_key(
    key: Annotated[list[str] | None, Header(alias="Idempotency-Key", description="See docs/sources/push.md.")] = None,
) -> str | None:
    """The key, with or without the quotes of a structured field (draft-ietf-httpapi-idempotency-key-header)."""
    if key is None:
        return None
    text = key[0].strip() if len(key) == 1 else ""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 0 < len(text) <= _KEY_LENGTH or not text.isascii() or not text.isprintable():
        detail = f"Idempotency-Key: one of 1 to {_KEY_LENGTH} printable ASCII characters is expected"
        raise ProblemError(HTTPStatus.BAD_REQUEST, detail)
    return text


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Rows with the table's declared columns: one object, an array, an object a line, or CSV with a header. "
        "`_deleted: true` takes the row with this key out.",
        "content": {
            "application/json": {
                "schema": {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
            },
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}
_FAULTS = responses(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


@router.post(
    PATH + "{table}",
    status_code=HTTPStatus.ACCEPTED,
    responses=_FAULTS,
    openapi_extra=_BODY,
    dependencies=[Depends(require_own_origin)],
)
async def send_rows(
    request: Request,
    response: Response,
    table: TableName,
    intakes: Annotated[Intakes, Depends(_intakes)],
    who: Annotated[Caller, Depends(needs("ingest:write"))],
    key: Annotated[str | None, Depends(idempotency_key)],
) -> Accepted:
    """Put rows into a table's inbox: all of the request or nothing. Accepted means on the disk, for the engine to take."""
    intake = intakes.named(table)
    content = _content(request)
    signature = intake.table.signature
    check = Check(signature, request.headers.get(signature.header)) if signature else None
    with intakes.only_one(intake.name, who.name, key), intakes.budget.share() as share:
        body = await receive(request, intake.settings.max_body_bytes, share, check)
        once = Once(who.name, key, body.digest) if key is not None else None
        receipt = await run_in_threadpool(_accept, intake, body, content, once)
    if receipt.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return _accepted(intake, receipt)


@router.get(
    PATH + "{table}",
    responses=responses(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
    dependencies=[Depends(needs("ingest:write"))],
)
def inbox_standing(table: TableName, intakes: Annotated[Intakes, Depends(_intakes)]) -> InboxStanding:
    """How far the engine is with what was sent to a table's source."""
    intake = intakes.named(table)
    found = intake.standing()
    return InboxStanding(
        table=intake.name,
        waiting_rows=found.waiting_rows,
        waiting_bytes=found.waiting_bytes,
        accepted=_position(*found.accepted),
        committed=_position(*found.committed),
    )


def _content(request: Request) -> Content:
    header = request.headers.get("content-type", "")
    try:
        return content_of(header)
    except ValueError as error:
        allowed = {"Accept": ", ".join(ALLOWED)}
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error), headers=allowed) from None


_STATUS: Mapping[type[Refusal], HTTPStatus] = {
    InvalidRows: HTTPStatus.UNPROCESSABLE_ENTITY,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    InboxFull: HTTPStatus.TOO_MANY_REQUESTS,
}


def _accept(intake: Intake, body: Body, content: Content, once: Once | None) -> Receipt:
    try:
        return intake.accept(body.data, content, once)
    except Refusal as refusal:
        faults = refusal.faults if isinstance(refusal, InvalidRows) else []
        headers = {"Retry-After": _RETRY} if isinstance(refusal, InboxFull) else {}
        raise ProblemError(_STATUS[type(refusal)], str(refusal), faults, headers) from None


def _accepted(intake: Intake, receipt: Receipt) -> Accepted:
    return Accepted(
        table=intake.name,
        accepted=receipt.rows,
        kept_as_dead_letters=receipt.letters,
        first=_position(receipt.generation, receipt.first),
        last=_position(receipt.generation, receipt.last),
        accepted_at=_EPOCH + dt.timedelta(microseconds=receipt.time),
        status=f"{PATH}{intake.name}",
    )


def _position(generation: int, number: int) -> str:
    """As text that sorts as the positions do."""
    return f"{generation:013}-{number:012}"
