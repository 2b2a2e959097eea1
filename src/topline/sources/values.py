"""Values as an origin gives them (JSON, XML, a database driver), cast to a table's declared types or refused with a reason."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal, InvalidOperation

import numpy as np
import pyarrow as pa

from topline.changes import Ints
from topline.localtime import instant_of
from topline.schema import MONEY_LIMIT, MONEY_SCALE, TableSchema, Type

_UNIT = Decimal(1).scaleb(-MONEY_SCALE)
_MOST_DIGITS = 1000  # a number as `9e999999` would be a megabyte written out
# Python takes any character between the two: a date with a zone (2026-11-21+14:00) would be a time.
_DATE_AND_TIME = re.compile(r"[0-9W-]+([Tt ].*)?", re.DOTALL)
_TRUE, _FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})


def table_of(
    schema: TableSchema, rows: Sequence[Mapping[str, object]], zone: tzinfo
) -> tuple[pa.Table, Ints, list[tuple[int, str]]]:
    """`rows` (field name -> value; a missing field is NULL) in the columns and types of `schema`.

    Returns the table of the rows that can be cast and have their key, the place of each in `rows`, and (place, reason) for
    those that do not. `zone`: that of times which carry none.
    """
    columns = [_column([row.get(column.name) for row in rows], column.type, zone) for column in schema.columns]
    refused: dict[int, str] = {}
    for column, (values, faults) in zip(schema.columns, columns, strict=True):
        for place, reason in faults:
            refused.setdefault(place, f"{column.name}: {reason}")
        if column.name in schema.key:
            for place, value in enumerate(values):
                if value is None:
                    refused.setdefault(place, f"no key: {column.name} is missing")
    places = np.array([place for place in range(len(rows)) if place not in refused], dtype=np.int64)
    kept = [values if not refused else [values[place] for place in places] for values, _ in columns]
    arrays = [pa.array(values, column.type.arrow) for values, column in zip(kept, schema.columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema.arrow), places, sorted(refused.items())


def _column(values: list[object], type_: Type, zone: tzinfo) -> tuple[list[object], list[tuple[int, str]]]:
    if _fits(values, type_):
        return values, []
    faults: list[tuple[int, str]] = []
    result: list[object] = []
    for place, value in enumerate(values):
        try:
            result.append(cast(value, type_, zone))
        except ValueError as error:
            result.append(None)
            faults.append((place, str(error)))
    return result, faults


def _fits(values: list[object], type_: Type) -> bool:
    """Whether all are as `cast` would give them, seen at once: what most columns are."""
    kinds = {type(value) for value in values} - {type(None)}
    if type_ is Type.BIGINT:
        return kinds <= {int} and all(value is None or -(2**63) < value < 2**63 for value in values)  # type: ignore[operator]
    if type_ is not Type.TEXT or not kinds <= {str}:
        return type_ is Type.BOOLEAN and kinds <= {bool}
    whole = "".join(value for value in values if value is not None)  # type: ignore[misc]
    return "\0" not in whole and (whole.isascii() or _encodes(whole))


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def cast(value: object, type_: Type, zone: tzinfo) -> object:
    """`value` as a declared type; None stays None. ValueError says which value is not one, and what would be."""
    return None if value is None else _CASTS[type_](value, zone)


def text(value: object, zone: tzinfo | None = None) -> str:  # noqa: ARG001
    """As TEXT: numbers and times by their exact text, nested values as JSON. ValueError for what text cannot hold."""
    match value:
        case str():
            result = value
        case bool():
            result = "true" if value else "false"
        case Decimal():
            result = format(value, "f") if value.is_finite() and abs(value.adjusted()) < _MOST_DIGITS else str(value)
        case datetime():
            result = value.isoformat(" ")
        case date() | time():
            result = value.isoformat()
        case bytes() | bytearray() | memoryview():
            result = "\\x" + bytes(value).hex()
        case dict() | list() | tuple():
            result = json.dumps(value, ensure_ascii=False, default=text)
        case _:
            result = str(value)
    if "\0" in result:
        raise ValueError(f"a NUL character in {_shown(result)}; text cannot hold one")
    if not result.isascii() and not _encodes(result):
        raise ValueError(f"half of a surrogate pair in {_shown(result)}; it is no character")
    return result


def _bigint(value: object, zone: tzinfo) -> int:  # noqa: ARG001
    number = _decimal_of(value)
    if number is None or number.adjusted() >= _MOST_DIGITS or number != int(number) or not -(2**63) < number < 2**63:
        raise ValueError(f"{_shown(value)} is no whole number of 64 bits, or the least one, which stands for NULL")
    return int(number)


def _money(value: object, zone: tzinfo) -> Decimal:  # noqa: ARG001
    number = _decimal_of(value)
    if number is None or number.adjusted() >= _MOST_DIGITS or abs(number) * 10**MONEY_SCALE >= MONEY_LIMIT:
        raise ValueError(f"{_shown(value)} is no number of DECIMAL(18,{MONEY_SCALE})")
    if number != number.quantize(_UNIT):
        raise ValueError(f"{_shown(value)} has more than {MONEY_SCALE} decimals: declare TEXT, round in staging (try_decimal)")
    return number


def _decimal_of(value: object) -> Decimal | None:
    """A finite number. Floats by their shortest text, which is what the origin wrote."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):  # Python takes 1_000 for a thousand
        return None
    try:
        number = Decimal(value) if isinstance(value, int | Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _date(value: object, zone: tzinfo) -> date:  # noqa: ARG001
    if isinstance(value, datetime):
        if value.tzinfo is None and value.time() == time():
            return value.date()
        raise ValueError(f"{_shown(value)} is a time, not a date: declare TIMESTAMPTZ, and take the business date in staging")
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError(f"{_shown(value)} is no date such as 2026-11-21") from None


def _timestamp(value: object, zone: tzinfo) -> datetime:  # noqa: ARG001
    moment = _moment(value)
    if moment.tzinfo is not None:
        raise ValueError(f"{_shown(value)} has a zone: declare TIMESTAMPTZ")
    return moment


def _timestamptz(value: object, zone: tzinfo) -> datetime:
    moment = _moment(value)
    try:
        return moment.astimezone(UTC) if moment.tzinfo else instant_of(moment, zone)
    except OverflowError:
        raise ValueError(f"{_shown(value)} lies outside the years 1 to 9999 in UTC") from None


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    written = str(value).strip()
    try:
        if _DATE_AND_TIME.fullmatch(written):
            return datetime.fromisoformat(written)
    except ValueError:
        pass
    raise ValueError(f"{_shown(value)} is no time such as 2026-11-21T14:05:00+01:00")


def _boolean(value: object, zone: tzinfo) -> bool:  # noqa: ARG001
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"{_shown(value)} is neither true nor false")


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


_CASTS: Mapping[Type, Callable[[object, tzinfo], object]] = {
    Type.TEXT: text,
    Type.BIGINT: _bigint,
    Type.DECIMAL: _money,
    Type.DATE: _date,
    Type.TIMESTAMP: _timestamp,
    Type.TIMESTAMPTZ: _timestamptz,
    Type.BOOLEAN: _boolean,
}
