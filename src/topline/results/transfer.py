"""Rows between Arrow and PostgreSQL, through COPY in CSV: quoted text, so that an empty string is never taken for NULL."""

from collections.abc import Iterator

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

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
    sink = pa.BufferOutputStream()
    csv.write_csv(batch, sink, _WRITE)
    return memoryview(sink.getvalue())


def _decode(lines: list[bytes], schema: pa.Schema) -> pa.Table:
    return csv.read_csv(
        pa.BufferReader(b"".join(lines)),
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
