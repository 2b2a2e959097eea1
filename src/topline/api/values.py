"""Values that come as text, in a query or a cursor: checked and typed before PostgreSQL sees them."""

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from topline.schema import Type

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


def typed(kind: Type, text: str) -> Any:
    """The value of a column. ValueError says what is expected."""
    return _READ[kind](text)


def _date(text: str) -> dt.date:
    """Written out: pydantic alone would take 0 for 1970-01-01."""
    if not _DATE.fullmatch(text):
        raise ValueError("a date is expected, such as 2026-11-21")
    return dt.date.fromisoformat(text)


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise ValueError("a whole number of 64 bits is expected")
    return int(text)


def _decimal(text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("a decimal is expected, such as 1250.5000")
    return Decimal(text)


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError("true or false is expected")
    return _BOOLEANS[text]


def _instant(text: str) -> dt.datetime:
    found = _time(text)
    if found.tzinfo is None:
        raise ValueError("a time with its offset is expected, such as 2026-11-21T09:00:00Z")
    return found


def _local(text: str) -> dt.datetime:
    found = _time(text)
    if found.tzinfo is not None:
        raise ValueError("a time without an offset is expected, such as 2026-11-21T09:00:00")
    return found


def _time(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time is expected, such as 2026-11-21T09:00:00Z") from None


def _text(text: str) -> str:
    """PostgreSQL's text holds every character but one."""
    if "\0" in text:
        raise ValueError("no text holds a zero byte")
    text.encode()
    return text


_READ: dict[Type, Callable[[str], Any]] = {
    Type.TEXT: _text,
    Type.BIGINT: _whole,
    Type.DECIMAL: _decimal,
    Type.DATE: _date,
    Type.TIMESTAMP: _local,
    Type.TIMESTAMPTZ: _instant,
    Type.BOOLEAN: _boolean,
}


def _checked_date(value: object) -> object:
    try:
        return _date(value) if isinstance(value, str) else value
    except ValueError:
        raise PydanticCustomError("iso_date", "a date is expected, such as 2026-11-21") from None


def _checked_text(value: object) -> object:
    if isinstance(value, str) and "\0" in value:
        raise PydanticCustomError("zero_byte", "no text holds a zero byte")
    return value


IsoDate = Annotated[dt.date, BeforeValidator(_checked_date)]
PlainText = Annotated[str, BeforeValidator(_checked_text)]
