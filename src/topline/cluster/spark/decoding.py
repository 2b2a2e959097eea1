"""Records to rows on Spark's executors: by the live engine's own decoders, one struct for each record."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from topline.changes import Ints
from topline.kafka.events import Events, Format, Wanted
from topline.kafka.formats import format_of
from topline.kafka.settings import KafkaSettings
from topline.schema import TableSchema, Type
from topline.sources.kafka.rows import Bound, bound

DDL = {
    Type.TEXT: "string", Type.BIGINT: "bigint", Type.DECIMAL: "decimal(18,4)", Type.DATE: "date", Type.TIMESTAMP: "timestamp",
    Type.TIMESTAMPTZ: "timestamp", Type.BOOLEAN: "boolean",
}  # fmt: skip
"""Spark's types. Its session's zone is UTC, and a time without a zone is an instant there."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What it takes to read a table's records. It travels to the executors; `root` is where certificates lie there."""

    cluster: KafkaSettings
    root: Path
    schema: TableSchema
    zone: str

    @property
    def ddl(self) -> str:
        """What `decoded` gives: `op` is UPSERT, DELETE, or NULL with a `reason`; `time` in milliseconds since 1970; bit i of
        `unchanged`: TOAST left column i out; bit i of `lacking`: the record has no such column."""
        columns = ", ".join(f"`{column.name}`: {DDL[column.type]}" for column in self.schema.columns)
        return f"struct<op: tinyint, reason: string, time: bigint, unchanged: bigint, lacking: bigint, row: struct<{columns}>>"

    def batches(self, records: Iterator[tuple[pa.Array, pa.Array]]) -> Iterator[pa.Array]:
        """Keys and values to structs, a batch at a time."""
        format_ = format_of(self.cluster, self.root)
        try:
            for keys, values in records:
                yield decoded(format_, self.schema, ZoneInfo(self.zone), keys, values)
        finally:
            format_.close()


def decoded(format_: Format, schema: TableSchema, zone: ZoneInfo, keys: pa.Array, values: pa.Array) -> pa.StructArray:
    events = format_.read(keys.to_pylist(), values.to_pylist(), Wanted(schema.names, schema.key))
    found = [bound(rows, schema, zone) for rows in events.rows]
    reasons = {**events.faults, **{place: reason for one in found for place, reason in one.refused.items()}}
    count = len(keys)
    places = _joined([one.places for one in found])
    at = np.full(count, -1)
    at[places] = np.arange(len(places))
    order = pa.array(at, mask=at < 0)
    columns = {
        "op": pa.array(_joined([one.ops.astype(np.int64) for one in found]), pa.int8()).take(order),
        "reason": pa.array([reasons.get(place) for place in range(count)], pa.string()),
        "time": pa.array(_times(events, count)),
        "unchanged": pa.array(_joined([_unchanged(one, schema) for one in found])).take(order),
        "lacking": pa.array(_joined([_lacking(one, schema) for one in found])).take(order),
        "row": _rows(found, schema).take(order),
    }
    return pa.StructArray.from_arrays(list(columns.values()), list(columns))


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _times(events: Events, count: int) -> Ints:
    times = np.zeros(count, np.int64)
    for rows in events.rows:
        times[rows.places] = rows.times
    return times


def _unchanged(one: Bound, schema: TableSchema) -> Ints:
    """By the table's columns, of which the records may lack some."""
    bits = np.zeros(len(one), np.int64)
    if one.unchanged is not None:
        for number, name in enumerate(one.schema.names):
            bits |= (one.unchanged >> number & 1) << schema.names.index(name)
    return bits


def _lacking(one: Bound, schema: TableSchema) -> Ints:
    missing = 0 if one.deletes else sum(1 << n for n, name in enumerate(schema.names) if name not in one.schema.names)
    return np.full(len(one), missing, np.int64)


def _rows(found: Sequence[Bound], schema: TableSchema) -> pa.StructArray:
    """All rows, one after the other, in the declared columns; times without a zone as instants."""
    arrays = []
    for column in schema.columns:
        parts = [_column(one, column.name, column.type.arrow) for one in found]
        values = pa.concat_arrays(parts) if parts else pa.array([], column.type.arrow)
        arrays.append(values.cast(Type.TIMESTAMPTZ.arrow) if column.type is Type.TIMESTAMP else values)
    return pa.StructArray.from_arrays(arrays, list(schema.names))


def _column(one: Bound, name: str, kind: pa.DataType) -> pa.Array:
    if name not in one.table.column_names:
        return pa.nulls(len(one), kind)
    return one.table.column(name).combine_chunks()
