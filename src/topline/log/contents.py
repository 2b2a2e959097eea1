"""The rows of a table as of an epoch, as DuckDB SQL over its Parquet segments and the batches that are not folded yet.

An input is a segment (one change a key, the last) or the batches of one column set. Inputs are ranked by age; `_ord` orders
the changes of a key across them: (batch's seq, row) for batches, the last seq that it folded for a segment.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import DELETE
from topline.log.codec import decode_schema, decode_table, split
from topline.schema import TableSchema

ORDER_BITS = 24  # a batch record holds less than 2^24 rows; seq has the other 39 bits
META = ("_partition", "_hi", "_lo", "_epoch", "_time")
CHUNK_ROWS = 122_880  # DuckDB's row group
_SMALL = 1_000  # rows


@dataclass(frozen=True, slots=True)
class Segment:
    id: int
    path: Path
    rows: int
    last_seq: int
    schema: TableSchema


@dataclass(frozen=True, slots=True)
class Record:
    """One part of a batch, still encoded. `time` is microseconds since 1970, UTC."""

    seq: int
    epoch: int
    time: int
    partition: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """What makes up a table at an epoch: segments oldest first, then batches in order."""

    table: str
    segments: tuple[Segment, ...]
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class _Input:
    """A relation that a query may read, and the columns (name -> DuckDB type) that it has."""

    relation: str
    columns: Mapping[str, str]
    order: str
    several: bool = False  # changes of a key; a segment has one


def load_segments(connection: sqlite3.Connection, folder: Path, table: str) -> tuple[Segment, ...]:
    rows = connection.execute(
        "SELECT id, file, rows, last_seq, definition FROM segments "
        "WHERE table_name = ? AND retired_after_pin IS NULL ORDER BY last_seq",
        (table,),
    )
    return tuple(Segment(i, folder / file, n, seq, decode_schema(table, text)) for i, file, n, seq, text in rows)


def load_records(connection: sqlite3.Connection, table: str, after: int, epoch: int) -> tuple[Record, ...]:
    """The batch records of `table` of the epochs in (after, epoch]."""
    rows = connection.execute(
        "SELECT seq, b.epoch, c.time, partition, data FROM batches b JOIN commits c ON c.epoch = b.epoch "
        "WHERE table_name = ? AND b.epoch > ? AND b.epoch <= ? ORDER BY seq",
        (table, after, epoch),
    )
    return tuple(Record(*row) for row in rows)


class Relations:
    """Registers what a table is made of in a DuckDB connection, and writes the SQL that reads it.

    `rows(...)` yields the table's columns, then META (`_time` in microseconds), then `_deleted`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, schema: TableSchema, contents: Contents, keys: str = "") -> None:
        """`keys`: a relation of keys that the rows are limited to, '' for all."""
        self._schema = schema
        self._keys = keys
        self._inputs = [_of_segment(segment) for segment in contents.segments]
        self._inputs += _register(connection, contents)

    def rows(self, where: str) -> str:
        """The last change of each key, where `where` holds (`NOT _deleted`: the current rows).

        Rows from under another key, with NULL in one of the columns of this one, are none.
        """
        where = " AND ".join([f"({where})", *(f"{quoted(name)} IS NOT NULL" for name in self._schema.key)])
        columns = ", ".join([*map(quoted, self._schema.names), *META, "_deleted"])
        if not self._inputs:
            return self._empty()
        oldest, newer = self._inputs[0], self._inputs[1:]
        if oldest.several:
            newer = self._inputs
        elif not newer:
            return f"SELECT {columns} FROM ({self._project(oldest)}) WHERE {where}"
        return self._last(columns, newer, where) + ("" if newer is self._inputs else self._untouched(columns, oldest, where))

    def _last(self, columns: str, newer: list[_Input], where: str) -> str:
        key = ", ".join(map(quoted, self._schema.key))
        every = " UNION ALL ".join(self._project(one) for one in newer)
        same = "_ord" if len(newer) == 1 and newer[0].several else f"_ord, {key}"
        return (
            f"WITH newer AS MATERIALIZED ({every}), "
            f"last AS MATERIALIZED (SELECT {key}, max(_ord) AS _ord FROM newer GROUP BY {key}) "
            f"SELECT {columns} FROM newer SEMI JOIN last USING ({same}) WHERE {where}"
        )

    def _untouched(self, columns: str, oldest: _Input, where: str) -> str:
        """Rows of the oldest segment whose key no newer input has."""
        key = ", ".join(map(quoted, self._schema.key))
        return f" UNION ALL SELECT {columns} FROM ({self._project(oldest)}) ANTI JOIN last USING ({key}) WHERE {where}"

    def _project(self, one: _Input) -> str:
        columns = [_column(column.name, column.type.value, one.columns) for column in self._schema.columns]
        sql = f"SELECT {', '.join([*columns, *META, '_deleted', one.order])} FROM {one.relation}"
        if not self._keys:
            return sql
        return f"SELECT * FROM ({sql}) SEMI JOIN {self._keys} USING ({', '.join(map(quoted, self._schema.key))})"

    def _empty(self) -> str:
        columns = [f"NULL::{column.type.value} AS {quoted(column.name)}" for column in self._schema.columns]
        meta = ["NULL::VARCHAR AS _partition", *(f"NULL::BIGINT AS {name}" for name in META[1:]), "false AS _deleted"]
        return f"SELECT {', '.join([*columns, *meta])} WHERE false"


def _column(name: str, kind: str, available: Mapping[str, str]) -> str:
    """Rows from before a column was declared have NULL there; another type is cast where it can be."""
    if name not in available:
        return f"NULL::{kind} AS {quoted(name)}"
    return quoted(name) if available[name] == kind else f"TRY_CAST({quoted(name)} AS {kind}) AS {quoted(name)}"


def _of_segment(segment: Segment) -> _Input:
    columns = {column.name: column.type.value for column in segment.schema.columns}
    return _Input(parquet(segment.path), columns, f"{(segment.last_seq + 1 << ORDER_BITS) - 1}::BIGINT AS _ord")


def parquet(path: Path, more: str = "") -> str:
    """The file as a relation. Folders on its way that are called `name=value` are no columns of it."""
    name = str(path).replace("'", "''")
    return f"read_parquet('{name}', hive_partitioning = false{more})"


def _register(connection: duckdb.DuckDBPyConnection, contents: Contents) -> list[_Input]:
    """One registered Arrow table for each set of columns that the batches came with."""
    inputs = []
    for number, table in enumerate(decoded(contents.records)):
        name = f"~batches {number} of {contents.table}"
        connection.register(name, table.unify_dictionaries())
        inputs.append(_Input(quoted(name), _types(connection, name), "_ord", several=True))
    return inputs


def _types(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    found = connection.execute(f"DESCRIBE SELECT * FROM {quoted(name)}").fetchall()
    names = {"VARCHAR": "TEXT", "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
    return {column: names.get(kind, kind) for column, kind, *_ in found}


def decoded(records: Iterable[Record]) -> list[pa.Table]:
    """The rows of batch records, in order, with META, `_deleted` and `_ord`: a table for each set of columns."""
    groups: dict[pa.Schema, list[tuple[Record, pa.Table]]] = {}
    for record in records:
        stored = decode_table(record.data)
        groups.setdefault(stored.schema, []).append((record, stored))
    return [_with_meta(group) for group in groups.values()]


def _with_meta(group: Sequence[tuple[Record, pa.Table]]) -> pa.Table:
    """Records of one set of columns, side by side; many small ones are worked out together, as a record alone takes so long."""
    records, tables = [record for record, _ in group], [table for _, table in group]
    counts = np.array([len(table) for table in tables])
    stored = pa.concat_tables(tables)
    if len(stored) < _SMALL * len(tables):
        stored = stored.combine_chunks()
    partitions = pa.array([record.partition for record in records], pa.string()).dictionary_encode()
    seqs, epochs, times = (np.array([getattr(record, name) for record in records]) for name in ("seq", "epoch", "time"))
    within = np.arange(len(stored)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows, ops, hi, lo = split(stored)
    extra = {
        "_partition": partitions.take(pa.array(np.repeat(np.arange(len(counts)), counts))),
        "_hi": hi,
        "_lo": lo,
        "_epoch": pa.array(np.repeat(epochs, counts)),
        "_time": pa.array(np.repeat(times, counts)),
        "_deleted": pc.equal(ops, DELETE),
        "_ord": pa.array(np.repeat(seqs << ORDER_BITS, counts) + within),
    }
    return pa.table([*rows.columns, *extra.values()], names=[*rows.column_names, *extra])


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def chunks(connection: duckdb.DuckDBPyConnection, sql: str, schema: pa.Schema) -> Iterable[pa.Table]:
    reader: pa.RecordBatchReader = connection.sql(sql).to_arrow_reader(CHUNK_ROWS)
    for batch in reader:
        if batch.num_rows:
            yield pa.Table.from_batches([batch]).cast(schema)
