"""What Topline writes as change events, its readers and an Avro library of others read back, row for row."""

import io
import json
from typing import Any
from zoneinfo import ZoneInfo

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.changes import DELETE, UPSERT, TableChanges
from topline.errors import SourceHalted
from topline.kafka.avro.format import AvroFormat
from topline.kafka.avro.program import Schema
from topline.kafka.avro.writer import AvroWriter
from topline.kafka.envelope import ORIGIN, Origin, Records, Writer
from topline.kafka.events import Format, Wanted
from topline.kafka.json.format import JsonFormat
from topline.kafka.json.writer import JsonWriter
from topline.kafka.registry import IncompatibleError
from topline.schema import Column, TableSchema, Type
from topline.sources.kafka.rows import bound

TYPES = [Type.TEXT, Type.BIGINT, Type.DECIMAL, Type.DATE, Type.TIMESTAMP, Type.TIMESTAMPTZ, Type.BOOLEAN]
TABLE = TableSchema("files.things", (Column("id", Type.TEXT), *(Column(f"c{n}", t) for n, t in enumerate(TYPES))), ("id", "c1"))
FROM = Origin("topline-files", "files", 1_700_000_000_123)
WANTED = Wanted(TABLE.names, TABLE.key, ORIGIN)
text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
VALUES: dict[Type, st.SearchStrategy[Any]] = {
    Type.TEXT: text,
    Type.BIGINT: st.integers(-(2**63) + 1, 2**63 - 1),
    Type.DECIMAL: st.decimals(-(10**13), 10**13, places=4),
    Type.DATE: st.dates(),
    Type.TIMESTAMP: st.datetimes(),
    Type.TIMESTAMPTZ: st.datetimes(timezones=st.just(ZoneInfo("UTC"))),
    Type.BOOLEAN: st.booleans(),
}


class Registered:
    """A registry's part in writing: each schema gets a number of its own."""

    def __init__(self) -> None:
        self.schemas: list[tuple[str, Schema]] = []
        self.refuses = False

    def register(self, subject: str, schema: Schema) -> int:
        if self.refuses:
            raise IncompatibleError("TYPE_MISMATCH at /fields/1")
        if (subject, schema) not in self.schemas:
            self.schemas.append((subject, schema))
        return self.schemas.index((subject, schema))

    def require_backward(self, subject: str) -> None:
        pass

    def schema(self, number: int) -> Schema | None:
        return self.schemas[number][1] if number < len(self.schemas) else None

    def close(self) -> None:
        pass


@st.composite
def changes(draw: st.DrawFn) -> TableChanges:
    count = draw(st.integers(1, 8))
    columns = []
    for column in TABLE.columns:
        values = VALUES[column.type] if column.name in TABLE.key else st.none() | VALUES[column.type]
        columns.append(pa.array([draw(values) for _ in range(count)], column.type.arrow))
    ops = np.array([draw(st.sampled_from([UPSERT, UPSERT, DELETE])) for _ in range(count)], np.int8)
    hi, lo = np.full(count, draw(st.integers(0, 2**62))), np.arange(count) * draw(st.integers(1, 10**6))
    rows = pa.Table.from_arrays(columns, schema=TABLE.arrow)
    start = draw(st.integers(0, count - 1))
    part = slice(start, None)
    return TableChanges("files.things", draw(text), rows.slice(start), ops[part], hi[part], lo[part])


def read_back(format_: Format, records: Records, given_: TableChanges) -> None:
    """Each change comes out as it went in, a deletion twice (with its tombstone)."""
    events = format_.read(records.keys, records.values, WANTED)
    assert events.faults == {}
    found: dict[int, tuple[Any, ...]] = {}
    for rows in events.rows:
        made = bound(rows, TABLE, ZoneInfo("UTC"))
        assert made.refused == {}
        for at, place in enumerate(made.places.tolist()):
            origin = tuple(rows.source[name].cast(pa.string())[at].as_py() for name in ORIGIN) if not made.deletes else ()
            row = made.table.select(list(TABLE.key) if made.deletes else list(TABLE.names)).slice(at, 1).to_pylist()[0]
            found[place] = (made.deletes, tuple(row.values()), origin)
    wanted: list[tuple[Any, ...]] = []
    for at, row in enumerate(given_.rows.to_pylist()):
        place = (given_.partition, str(given_.hi[at]), str(given_.lo[at]))
        if given_.ops[at] == DELETE:
            wanted += [(True, tuple(row[name] for name in TABLE.key), ())] * 2
        else:
            wanted.append((False, tuple(row.values()), place))
    assert [found[place] for place in sorted(found)] == wanted


@given(changes())
@settings(max_examples=150, deadline=None)
def test_avro_comes_back(given_: TableChanges) -> None:
    registry = Registered()
    writer: Writer = AvroWriter(registry)  # type: ignore[arg-type]
    records = writer.records("t", TABLE, given_, FROM)
    read_back(AvroFormat(registry.schema), records, given_)
    [schema] = [schema for subject, schema in registry.schemas if subject == "t-value"]
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
    for value in records.values:
        if value is not None:
            stream = io.BytesIO(value[5:])
            event: Any = fastavro.schemaless_reader(stream, parsed, None)
            assert stream.read() == b""
            assert event["source"]["name"] == "files"


@given(changes())
@settings(max_examples=150, deadline=None)
def test_json_comes_back(given_: TableChanges) -> None:
    writer, format_ = JsonWriter(), JsonFormat()
    records = writer.records("t", TABLE, given_, FROM)
    assert all(value is None or json.loads(value)["source"]["ts_ms"] == FROM.time for value in records.values)
    read_back(format_, records, given_)
    writer.close()
    format_.close()


def test_columns_that_readers_could_not_follow_halt_the_source() -> None:
    registry = Registered()
    registry.refuses = True
    nothing = np.zeros(0, np.int64)
    given_ = TableChanges("files.things", "p", TABLE.arrow.empty_table(), nothing.astype(np.int8), nothing, nothing)
    with pytest.raises(SourceHalted, match=r"readers of t-key could not follow.*TYPE_MISMATCH"):
        AvroWriter(registry).records("t", TABLE, given_, FROM)  # type: ignore[arg-type]
