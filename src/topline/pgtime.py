"""Dates and times as PostgreSQL writes and reads them (DateStyle ISO, TimeZone UTC).

In bulk by Arrow, one by one for what Arrow does not know: infinity, and years before 1 and after 9999. An infinity is DuckDB's:
the greatest integer of the type, or its negative.
"""

import re
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.errors import TransientError
from topline.schema import Type

TYPE_OF_TIME = {kind.arrow: kind for kind in (Type.DATE, Type.TIMESTAMP, Type.TIMESTAMPTZ)}
_COMMON = {
    Type.DATE: r"^\d{4}-\d\d-\d\d$",
    Type.TIMESTAMP: r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$",
    Type.TIMESTAMPTZ: r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[+-]\d\d(:\d\d)?$",
}
_ODD = re.compile(r"(\d+)-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(?:\+00)?( BC)?")
_DATE_LIMIT = 2**31 - 1  # in days
_TIME_LIMIT = 2**63 - 1  # in microseconds
_DAY = 86_400_000_000
_CYCLE, _CYCLE_DAYS = 400, 146_097  # the Gregorian calendar repeats
_FIRST, _LAST = (date(1, 1, 1) - date(1970, 1, 1)).days, (date(9999, 12, 31) - date(1970, 1, 1)).days


class UnreadableValueError(TransientError):
    """A text that PostgreSQL does not write for this type: the stream or the session is not what it should be."""


def read_times(texts: pa.StringArray, declared: Type) -> pa.Array:
    """PostgreSQL's texts in the Arrow type of `declared` (DATE, TIMESTAMP, TIMESTAMPTZ).

    Times after DuckDB's last (294247 AD), which PostgreSQL still has, become infinite.
    """
    try:
        return pc.cast(texts, declared.arrow)
    except pa.ArrowInvalid:
        common = pc.match_substring_regex(texts, _COMMON[declared])
    plain = read_plain(pc.if_else(common, texts, pa.scalar(None, pa.string())), declared)
    places = np.flatnonzero(pc.fill_null(pc.invert(common), False).to_numpy(zero_copy_only=False))
    odd = pa.array([_read(texts[int(i)].as_py(), declared) for i in places], _units(declared.arrow)).view(declared.arrow)
    return pc.replace_with_mask(plain, _mask(places, len(texts)), odd)


def read_plain(texts: pa.Array, declared: Type) -> pa.Array:
    """By Arrow alone. UnreadableValueError for what it does not read."""
    try:
        return pc.cast(texts, declared.arrow)
    except pa.ArrowInvalid as error:
        raise UnreadableValueError(f"not a {declared}: {error}") from None


def are_plain(values: pa.Array) -> bool:
    """True where Arrow's own text of each date or time is PostgreSQL's too."""
    first, last = _plain_units(values.type)
    bounds = pc.min_max(values.view(_units(values.type)))
    return bounds["min"].as_py() is None or (first <= bounds["min"].as_py() and bounds["max"].as_py() <= last)


def write_times(values: pa.Array) -> pa.StringArray:
    """Dates or times as texts that PostgreSQL reads."""
    plain = _plain(values)
    texts = pc.if_else(plain, values, pa.scalar(None, values.type)).cast(pa.string())
    places = np.flatnonzero(pc.fill_null(pc.invert(plain), False).to_numpy(zero_copy_only=False))
    units = values.view(_units(values.type))
    odd = pa.array([_written(units[int(i)].as_py(), values.type) for i in places], pa.string())
    return pc.replace_with_mask(texts, _mask(places, len(values)), odd)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC. The year is taken to begin in March."""
    year -= month <= 2
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719_468


def _units(kind: pa.DataType) -> pa.DataType:
    return pa.int32() if pa.types.is_date32(kind) else pa.int64()


def _plain(values: pa.Array) -> pa.BooleanArray:
    """Where a value lies in the years 1 to 9999."""
    first, last = _plain_units(values.type)
    units = values.view(_units(values.type))
    return pc.and_(pc.greater_equal(units, first), pc.less_equal(units, last))


def _plain_units(kind: pa.DataType) -> tuple[int, int]:
    return (_FIRST, _LAST) if pa.types.is_date32(kind) else (_FIRST * _DAY, (_LAST + 1) * _DAY - 1)


def _mask(places: "np.ndarray[tuple[int], np.dtype[np.int64]]", length: int) -> pa.Array:
    mask = np.zeros(length, bool)
    mask[places] = True
    return pa.array(mask)


def _read(text: str, declared: Type) -> int:
    limit = _DATE_LIMIT if declared is Type.DATE else _TIME_LIMIT
    if text in ("infinity", "-infinity"):
        return limit if text == "infinity" else -limit
    match = _ODD.fullmatch(text)
    if match is None:
        raise UnreadableValueError(f"not a {declared} as PostgreSQL writes it with DateStyle ISO and TimeZone UTC: {text!r}")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    days = days_from_civil(1 - year if match[8] else year, month, day)
    if declared is Type.DATE:
        return days
    micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + int((match[7] or "").ljust(6, "0"))
    return min(days * _DAY + micros, limit)


def _written(units: int, kind: pa.DataType) -> str:
    """One value: days, or microseconds, from 1970."""
    limit = _DATE_LIMIT if pa.types.is_date32(kind) else _TIME_LIMIT
    if abs(units) == limit:
        return "infinity" if units > 0 else "-infinity"
    days, micros = (units, 0) if pa.types.is_date32(kind) else divmod(units, _DAY)
    cycles = (days - _FIRST) // _CYCLE_DAYS
    alike = date(1970, 1, 1) + timedelta(days=days - cycles * _CYCLE_DAYS)
    year = alike.year + cycles * _CYCLE
    shown = f"{year if year > 0 else 1 - year:04}-{alike.month:02}-{alike.day:02}"
    if not pa.types.is_date32(kind):
        shown += f" {datetime(1, 1, 1) + timedelta(microseconds=micros):%H:%M:%S.%f}" + ("+00" if kind.tz else "")
    return shown + ("" if year > 0 else " BC")
