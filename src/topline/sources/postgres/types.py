"""PostgreSQL's text of a value, to the declared type."""

from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from topline.localtime import instants
from topline.pgtime import read_plain, read_times
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
        return read_plain(texts, declared)
    if declared is Type.TIMESTAMPTZ and class_of(oid) is Type.TIMESTAMP:
        return instants(read_times(texts, Type.TIMESTAMP), zone)
    return read_times(texts, declared)
