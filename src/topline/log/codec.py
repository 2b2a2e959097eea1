"""How changes, keys and schemas are written into the log: Arrow IPC (lz4, but of few rows), JSON for schemas and sweeps."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from topline.changes import Position, Sweep, TableChanges
from topline.schema import Column, TableSchema, Type

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
_PLAIN = pa.ipc.IpcWriteOptions()
_FEW = 4_000  # rows: to set up the compression of each buffer costs more than such a table takes on the disk
_META = ["_op", "_hi", "_lo"]


def encode_table(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_PLAIN if len(table) < _FEW else _OPTIONS) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def decode_table(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        return reader.read_all()


def encode_changes(changes: TableChanges) -> bytes:
    """The rows, then op, hi, lo (and `unchanged`, where there is one) as the last columns, told by their place."""
    arrays = [changes.ops, changes.hi, changes.lo]
    names = list(_META)
    if changes.unchanged is not None:
        arrays.append(changes.unchanged)
        names.append("_unchanged")
    rows = changes.rows
    columns = [*rows.columns, *(pa.array(array) for array in arrays)]
    return encode_table(pa.table(columns, names=[*rows.column_names, *names]))


def decode_changes(table: str, partition: str, data: bytes) -> TableChanges:
    rows, *meta = split(decode_table(data))
    ops, hi, lo, *unchanged = map(_numpy, meta)
    return TableChanges(
        table=table,
        partition=partition,
        rows=rows,
        ops=ops.astype(np.int8, copy=False),
        hi=hi,
        lo=lo,
        unchanged=unchanged[0] if unchanged else None,
    )


def split(stored: pa.Table) -> list[Any]:
    """Of encoded changes the rows (a table), then op, hi, lo, and `unchanged` where there is one (columns)."""
    extra = 4 if stored.num_columns and stored.column_names[-1] == "_unchanged" else 3
    width = stored.num_columns - extra
    return [stored.select(list(range(width))), *(stored.column(width + i) for i in range(extra))]


def _numpy(column: pa.ChunkedArray) -> Any:
    return column.to_numpy() if column.num_chunks != 1 else column.chunk(0).to_numpy(zero_copy_only=False)


def encode_sweep(sweep: Sweep) -> bytes:
    return json.dumps([sweep.partition, sweep.below, *sweep.at]).encode()


def decode_sweep(table: str, data: bytes) -> Sweep:
    partition, below, hi, lo = json.loads(data)
    return Sweep(table, partition, below, Position(hi, lo))


def encode_schema(schema: TableSchema) -> str:
    return json.dumps({"columns": [[c.name, c.type.value] for c in schema.columns], "key": list(schema.key)})


def decode_schema(name: str, text: str) -> TableSchema:
    document = json.loads(text)
    columns = tuple(Column(column, Type(kind)) for column, kind in document["columns"])
    return TableSchema(name, columns, tuple(document["key"]))


def to_micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
