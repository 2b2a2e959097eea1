"""Ranges of days and pages of rows, as a query asks for them."""

import base64
import binascii
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field

from topline.api.problems import ProblemError
from topline.api.values import IsoDate, typed
from topline.results.questions import Days, Listing
from topline.schema import Type

LONGEST_RANGE = 366  # days
HISTORY = 30  # days, unless said
MOST_ROWS = 1000

Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="Most rows of a page.")]
Cursor = Annotated[
    str | None,
    Field(
        description="Where a page begins: it comes from the `next` of the page before.",
        json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$"},  # `read_cursor` says more than a pattern could
    ),
]


class PageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Limit = 10
    cursor: Cursor = None


class SpanQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    first: IsoDate | None = Field(None, alias="from", description="First day (YYYY-MM-DD) of a range.")
    last: IsoDate | None = Field(None, alias="to", description="Last day, which is in it; the current business day by default.")


class RankingQuery(SpanQuery):
    date: IsoDate | None = Field(
        None, description="Business date (YYYY-MM-DD); the current business day by default, where no range is asked for."
    )
    limit: Limit = 10
    cursor: Cursor = None


def days_of(query: RankingQuery, today: dt.date) -> Days:
    """The day, or the range. 422 where both are given, or half of a range."""
    if query.first is None and query.last is None:
        return Days.one(query.date or today)
    if query.date is not None:
        raise _refused("date: a day or a range (from, to) is expected, and both are given")
    if query.first is None:
        raise _refused("from: a range has a first day, and only `to` is given")
    return _checked(Days(query.first, query.last or today))


def span_of(query: SpanQuery, today: dt.date) -> Days:
    """The range of a history: of the last 30 days unless said."""
    last = query.last or today
    first = query.first or dt.date.fromordinal(max(1, last.toordinal() - HISTORY + 1))
    return _checked(Days(first, last))


def spelled(days: Days) -> dict[str, Any]:
    """The query's parameters that ask for these days."""
    return {"date": days.first} if days.single else {"from": days.first, "to": days.last}


def range_fields(days: Days) -> dict[str, Any]:
    """What a ranking's answer says of its days."""
    return {"date": days.first if days.single else None, "from": days.first, "to": days.last}


def _checked(days: Days) -> Days:
    if days.first > days.last:
        raise _refused(f"from: {days.first} lies after the last day, {days.last}")
    if days.count > LONGEST_RANGE:
        raise _refused(f"from: a range of {days.count} days is asked for, and {LONGEST_RANGE} at most; ask for it in parts")
    return days


def _refused(fault: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, fault, [fault])


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a page begins: behind a row's place, and the epoch of the first page."""

    epoch: int
    after: tuple[Any, ...]


def write_cursor(listing: Listing, epoch: int, row: Mapping[str, Any]) -> str:
    """Opaque to clients: the question, the first page's epoch and the last row's place, with a checksum."""
    body = json.dumps([listing.digest, epoch, listing.place_of(row)], separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_checksum(body) + body).rstrip(b"=").decode()


def read_cursor(listing: Listing, cursor: str) -> Begin:
    """422 where it is spoilt, or of another question; it says what to do."""
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        digest, epoch, place = json.loads(data[_CHECKSUM:])
        whole = data[:_CHECKSUM] == _checksum(data[_CHECKSUM:]) and isinstance(epoch, int)
    except (binascii.Error, ValueError, TypeError):
        whole = False
    if not whole:
        raise _refused(
            "cursor: it is not one that this API gave; take it whole from `next`, or ask for the first page without one"
        )
    if digest != listing.digest:
        raise _refused(
            "cursor: it belongs to another question; ask as for the first page (`limit` may differ), or begin without it"
        )
    return Begin(epoch, _place(listing, place))


def _place(listing: Listing, place: Sequence[Any]) -> tuple[Any, ...]:
    """JSON's values as the columns' own."""
    kinds = [column.type for column in listing.order_columns]
    try:
        return tuple(_value(kind, value) for kind, value in zip(kinds, place, strict=True))
    except (ValueError, TypeError):
        raise _refused("cursor: it is not one that this API gave; ask for the first page without one") from None


def _value(kind: Type, value: Any) -> Any:
    """TypeError or ValueError where the column cannot have it."""
    if value is None:
        return None
    own = {Type.BIGINT: int, Type.BOOLEAN: bool}.get(kind, str)
    if type(value) is not own:
        raise TypeError(f"{own.__name__} is expected")
    return typed(kind, str(value).lower() if own is bool else str(value))


_CHECKSUM = 6


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM).digest()


def link(path: str, asked: Mapping[str, Any], cursor: str) -> str:
    """The next page's address: the same question, spelled out, so that it is the same after midnight."""
    given = {name: str(value) for name, value in asked.items() if value is not None}
    return f"{quote(path)}?{urlencode({**given, 'cursor': cursor})}"
