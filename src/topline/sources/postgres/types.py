"""PostgreSQL's text of a value, to the declared type: in bulk by Arrow, one by one for the odd (infinity, BC, year 10000)."""

import re
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.errors import TransientError
from topline.schema import Type

# Types by oid (pg_type.dat); all others travel as their text.
CLASSES: dict[int, Type] = {
    16: Type.BOOLEAN,
    20: Type.BIGINT,
    21: Type.BIGINT,
    23: Type.BIGINT,
    26: Type.BIGINT,
    1082: Type.DATE,
    1114: Type.TIMESTAMP,
    1184: Type.TIMESTAMPTZ,
}
_COMMON = {
    Type.DATE: r"^\d{4}-\d\d-\d\d$",
    Type.TIMESTAMP: r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$",
    Type.TIMESTAMPTZ: r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[+-]\d\d(:\d\d)?$",
}
_ODD = re.compile(r"(\d+)-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(?:\+00)?( BC)?")
_DATE_LIMIT = 2**31 - 1  # DuckDB's infinity for DATE, in days
_TIME_LIMIT = 2**63 - 1  # ... and for TIMESTAMP, in microseconds
_DAY = 86_400_000_000


class UnreadableValueError(TransientError):
    """A text that the source's type does not write: the stream or the session is not what it should be."""


def class_of(oid: int) -> Type:
    return CLASSES.get(oid, Type.TEXT)


def bears(declared: Type, oid: int) -> bool:
    """True when a column of the type `oid` can be held, without loss, in one that is declared as `declared`."""
    found = class_of(oid)
    return declared in (Type.TEXT, found) or (declared, found) == (Type.TIMESTAMPTZ, Type.TIMESTAMP)


def cast(texts: pa.StringArray, declared: Type, oid: int, zone: ZoneInfo) -> pa.Array:
    """`texts`, as PostgreSQL writes the type `oid` (ISO dates, UTC), in the Arrow type of `declared`.

    Infinite times become DuckDB's own infinities; so do times after its last (294247 AD), which PostgreSQL still has.
    """
    if declared is Type.TEXT:
        return texts
    if declared is Type.BOOLEAN:
        return pc.equal(texts, "t")
    if declared is Type.BIGINT:
        return _bulk(texts, declared)
    if declared is Type.TIMESTAMPTZ and class_of(oid) is Type.TIMESTAMP:
        return _localised(_times(texts, Type.TIMESTAMP), zone)
    return _times(texts, declared)


def _bulk(texts: pa.Array, declared: Type) -> pa.Array:
    try:
        return pc.cast(texts, declared.arrow)
    except pa.ArrowInvalid as error:
        raise UnreadableValueError(f"not a {declared}: {error}") from None


def _times(texts: pa.Array, declared: Type) -> pa.Array:
    try:
        return pc.cast(texts, declared.arrow)
    except pa.ArrowInvalid:
        common = pc.match_substring_regex(texts, _COMMON[declared])
    plain = _bulk(pc.if_else(common, texts, pa.scalar(None, pa.string())), declared)
    places = np.flatnonzero(pc.fill_null(pc.invert(common), False).to_numpy(zero_copy_only=False))
    units = pa.int32() if declared is Type.DATE else pa.int64()
    odd = pa.array([_odd(texts[int(i)].as_py(), declared) for i in places], units).view(declared.arrow)
    mask = np.zeros(len(texts), bool)
    mask[places] = True
    return pc.replace_with_mask(plain, pa.array(mask), odd)


def _odd(text: str, declared: Type) -> int:
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


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC. The year is taken to begin in March."""
    year -= month <= 2
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719_468


def _localised(times: pa.Array, zone: ZoneInfo) -> pa.Array:
    """Times without a zone, as instants in `zone`; in the hour that occurs twice the earlier, in the missing one the next."""
    units = times.cast(pa.int64())
    extreme = pc.greater(pc.abs(units), 200_000_000_000 * 1_000_000)
    usual = pc.if_else(extreme, pa.scalar(None, times.type), times)
    instants = pc.assume_timezone(usual, zone.key, ambiguous="earliest", nonexistent="latest").cast(
        pa.timestamp("us", tz="UTC")
    )
    return pc.if_else(extreme, units.view(pa.timestamp("us", tz="UTC")), instants)
