"""The change event as Topline writes it: its Avro schemas, and how values are spelt, as Debezium does by the modes named in
docs/kafka.md (decimals as text, times as ISO text).

Source: Debezium 3.7, "PostgreSQL connector: data change events"; Connect's names of kinds of text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import TableChanges
from topline.kafka.avro.program import Schema
from topline.pgtime import write_times
from topline.schema import TableSchema, Type

_ISO = "io.debezium.time."
_AVRO: Mapping[Type, Schema] = {
    Type.TEXT: "string",
    Type.BIGINT: "long",
    Type.DECIMAL: "string",
    Type.DATE: {"type": "string", "connect.name": f"{_ISO}IsoDate"},
    Type.TIMESTAMP: {"type": "string", "connect.name": f"{_ISO}IsoTimestamp"},
    Type.TIMESTAMPTZ: {"type": "string", "connect.name": f"{_ISO}ZonedTimestamp"},
    Type.BOOLEAN: "boolean",
}
ORIGIN = ("partition", "hi", "lo")
"""What `source` says of a row's place at its source: a row that is read again takes back what its partition wrote before."""
_STRANGE = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Origin:
    """What `source` says of all changes of a batch. `connector`: the kind of source; `time`: milliseconds since 1970 (UTC)."""

    connector: str
    name: str
    time: int
    copying: bool = False


@dataclass(frozen=True, slots=True)
class Records:
    """Keys and values side by side, in order; no value: a tombstone, which follows each deletion."""

    keys: list[bytes]
    values: list[bytes | None]


class Writer(Protocol):
    """Change events in one format. Not for several threads at once."""

    def records(self, topic: str, schema: TableSchema, changes: TableChanges, origin: Origin) -> Records:
        """The events of these changes, whose rows are as `schema`. SourceHalted where readers could not follow it."""

    def close(self) -> None:
        """Let go of connections; may be called twice."""


def value_schema(topic: str, schema: TableSchema) -> Schema:
    """Avro's schema of a table's events. Every column may be null, so that one that comes or goes breaks no reader."""
    fields = [{"name": column.name, "type": ["null", _AVRO[column.type]], "default": None} for column in schema.columns]
    texts = [{"name": name, "type": "string"} for name in ("connector", "name", "table", "partition")]
    numbers = [{"name": name, "type": "long"} for name in ("ts_ms", "hi", "lo")]
    source = {"type": "record", "name": "Source", "namespace": "topline", "fields": [*texts, *numbers]}
    return {
        "type": "record",
        "name": "Envelope",
        "namespace": namespace(topic),
        "fields": [
            {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": fields}], "default": None},
            {"name": "after", "type": ["null", "Value"], "default": None},
            {"name": "source", "type": source},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", "type": ["null", "long"], "default": None},
        ],
    }


def key_schema(topic: str, schema: TableSchema) -> Schema:
    fields = [{"name": name, "type": _AVRO[schema.type_of(name)]} for name in schema.key]
    return {"type": "record", "name": "Key", "namespace": namespace(topic), "fields": fields}


def namespace(topic: str) -> str:
    """A topic as Avro takes a namespace: letters, digits and underscores between dots, and no digit first."""
    parts = [_STRANGE.sub("_", part) or "_" for part in topic.split(".")]
    return ".".join(f"_{part}" if part[0].isdigit() else part for part in parts)


def spelt(values: pa.ChunkedArray | pa.Array, declared: Type) -> pa.Array:
    """Values as they are written: texts, whole numbers, truth values."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    match declared:
        case Type.DECIMAL:
            return array.cast(pa.string())
        case Type.DATE:
            return _with_zone(write_times(array))
        case Type.TIMESTAMP:
            return _with_zone(_with_t(write_times(array)))
        case Type.TIMESTAMPTZ:
            return _with_t(pc.replace_substring_regex(write_times(array), r"\+00($| BC)", r"Z\1"))
    return array


def _with_t(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, r"^(\S+-\S+) (\d)", r"\1T\2")


def _with_zone(texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(texts, pa.scalar("Z"), "")


def with_tombstones(keys: list[bytes], values: list[bytes | None], deleted: Sequence[int]) -> Records:
    """One record a change, and after each of those at `deleted` another, without a value."""
    if not deleted:
        return Records(keys, values)
    found = Records([], [])
    start = 0
    for row in deleted:
        found.keys.extend((*keys[start : row + 1], keys[row]))
        found.values.extend((*values[start : row + 1], None))
        start = row + 1
    found.keys.extend(keys[start:])
    found.values.extend(values[start:])
    return found
