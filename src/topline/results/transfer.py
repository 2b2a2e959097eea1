"""Rows between Arrow and PostgreSQL, through COPY in CSV: quoted text, so that an empty string is never taken for NULL."""

from collections.abc import Iterable, Iterator

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from topline.pgtime import TYPE_OF_TIME, are_plain, read_times, write_times
from topline.results.connection import Cursor
from topline.results.tables import GONE, identifiers, stage
from topline.schema import TableSchema

ROWS_AT_ONCE = 50_000
_WRITE = csv.WriteOptions(include_header=False, quoting_style="needed")


def copy_in(cursor: Cursor, target: sql.Composable, rows: pa.Table) -> None:
    """COPY `rows` into the columns of `target` that have their names."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(target, identifiers(rows.column_names))
    with cursor.copy(statement) as copy:
        for batch in rows.to_batches(max_chunksize=ROWS_AT_ONCE):
            copy.write(_encode(batch))


def stage_changes(cursor: Cursor, model: TableSchema, keys: pa.Table, rows: pa.Table) -> None:
    """Bring rows, and keys without a row, to the model's stage."""
    ordered = rows.select(model.names).sort_by([(name, "ascending") for name in model.key])  # as the key's index lies
    copy_in(cursor, stage(model.name), ordered)
    gone = vanished(model, keys, rows)
    if len(gone):
        flags = pa.array([True]).take(pa.array([0] * len(gone)))
        copy_in(cursor, stage(model.name), gone.append_column(GONE, flags))


def stage_all(cursor: Cursor, model: TableSchema, chunks: Iterable[pa.Table]) -> None:
    """Bring all rows of a model to its stage."""
    for chunk in chunks:
        copy_in(cursor, stage(model.name), chunk.select(model.names))


def vanished(model: TableSchema, keys: pa.Table, rows: pa.Table) -> pa.Table:
    """The keys that have no row, each once. Rows stand for keys, so as many rows as keys leave none."""
    key = list(model.key)
    if len(keys) == len(rows):
        return keys.slice(0, 0)
    left = keys.select(key).group_by(key).aggregate([]).select(key)
    return left.join(rows.select(key), keys=key, join_type="left anti") if len(rows) else left


def copy_out(cursor: Cursor, query: sql.Composable, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of `query`, in tables of at most `ROWS_AT_ONCE` rows typed as `schema`."""
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)").format(query)
    lines: list[bytes] = []
    with cursor.copy(statement) as copy:
        for line in _lines(copy):
            lines.append(line)
            if len(lines) == ROWS_AT_ONCE:
                yield _decode(lines, schema)
                lines = []
    if lines:
        yield _decode(lines, schema)


def _lines(copy: psycopg.Copy) -> Iterator[bytes]:
    """PostgreSQL sends one row in each message, whatever line breaks it holds."""
    return (bytes(block) for block in copy)


def _encode(batch: pa.RecordBatch) -> memoryview:
    for place, column in enumerate(batch.columns):
        if pa.types.is_temporal(column.type) and not are_plain(column):  # infinity, years before 1 and after 9999
            batch = batch.set_column(place, batch.schema.names[place], write_times(column))
    sink = pa.BufferOutputStream()
    csv.write_csv(batch, sink, _WRITE)
    return memoryview(sink.getvalue())


def _decode(lines: list[bytes], schema: pa.Schema) -> pa.Table:
    text = b"".join(lines)
    try:
        return _parse(text, schema)
    except pa.ArrowInvalid:  # a date or time that Arrow does not read
        texts = _parse(text, pa.schema([(f.name, pa.string() if pa.types.is_temporal(f.type) else f.type) for f in schema]))
        return pa.Table.from_arrays([_read(texts.column(field.name), field.type) for field in schema], schema=schema)


def _read(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    values = column.combine_chunks()
    return read_times(values, TYPE_OF_TIME[kind]) if pa.types.is_temporal(kind) else values


def _parse(text: bytes, schema: pa.Schema) -> pa.Table:
    return csv.read_csv(
        pa.BufferReader(text),
        csv.ReadOptions(column_names=schema.names, use_threads=False),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
