"""Copies of tables: COPY under a snapshot, in the text that the stream has too, so that both decode to the same values."""

from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

import psycopg
import pyarrow as pa
import pyarrow.csv as csv
from psycopg.pq import ExecStatus

from topline.errors import SourceHalted, TransientError
from topline.sources.postgres.catalog import Connection, connect
from topline.sources.postgres.connection import message, result_error, translated
from topline.sources.postgres.tables import Target, quote
from topline.sources.postgres.types import cast
from topline.sources.postgres.waiting import has_come, run, silent

_MOST_BYTES = 32 << 20
_SLOWLY = 5


class Copier:
    """One connection in one read-only transaction: every table is read as it was at the snapshot (or at the first query)."""

    def __init__(
        self, conninfo: str, snapshot: str | None, bases: Mapping[int, int], zone: ZoneInfo, silence: float = 60.0
    ) -> None:
        """`silence`: seconds for which the server may say nothing; five times as long amid a copy."""
        self._bases, self._zone, self._silence = bases, zone, silence
        with translated("connecting to copy"):
            self._connection: Connection = connect(conninfo, silence)
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if snapshot:
                self._take(snapshot)

    def _take(self, snapshot: str) -> None:
        """TransientError where it is gone: the replication connection that keeps it was lost meanwhile."""
        try:
            self._connection.execute(b"SET TRANSACTION SNAPSHOT '" + snapshot.encode() + b"'")
        except psycopg.errors.UndefinedObject as error:
            raise TransientError(f"the snapshot to copy from is gone: {message(error)}") from None

    def chunks(self, target: Target, most: int) -> Iterator[pa.Table]:
        """The table's rows in its declared columns, at most `most` in a part; at least one part, which may be empty."""
        types = self._types(target)
        names = ", ".join(quote(column.name) for column in target.schema.columns)
        query = f"COPY (SELECT {names} FROM {target.quoted}) TO STDOUT (FORMAT csv)"
        with translated(f"copying {target.quoted}"):
            for lines in self._lines(query, most):
                yield self._table(target, types, lines)

    def close(self) -> None:
        self._connection.close()

    def _types(self, target: Target) -> list[int]:
        """The columns' base types, as they are under this snapshot's definition."""
        names = ", ".join(quote(column.name) for column in target.schema.columns)
        with translated(f"looking at {target.quoted}"):
            cursor = self._connection.execute(f"SELECT {names} FROM {target.quoted} LIMIT 0".encode())
        found = [column.type_code for column in cursor.description or ()]
        return [self._bases.get(oid, oid) for oid in found]

    def _lines(self, query: str, most: int) -> Iterator[list[memoryview]]:
        lines: list[memoryview] = []
        size, empty = 0, True
        for line in self._copied(query):
            lines.append(line)
            size += len(line)
            if len(lines) >= most or size >= _MOST_BYTES:
                yield lines
                lines, size, empty = [], 0, False
        if lines or empty:
            yield lines

    def _copied(self, query: str) -> Iterator[memoryview]:
        """One line (a row) a message. The low-level interface: psycopg's own copy costs three times as much a row."""
        connection = self._connection.pgconn
        result = run(connection, query, _SLOWLY * self._silence)
        if result.status != ExecStatus.COPY_OUT:
            raise result_error(result)
        while True:
            size, data = connection.get_copy_data(1)
            if size > 0:
                yield data
            elif size == 0:
                self._wait()
            else:
                break
        while (result := connection.get_result()) is not None:  # type: ignore[assignment]
            if result.status == ExecStatus.FATAL_ERROR:
                raise result_error(result)

    def _wait(self) -> None:
        if not has_come(self._connection.pgconn, _SLOWLY * self._silence):
            raise silent(_SLOWLY * self._silence)
        self._connection.pgconn.consume_input()

    def _table(self, target: Target, types: list[int], lines: list[memoryview]) -> pa.Table:
        columns = target.schema.columns
        texts = _parse(b"".join(lines), len(columns))
        arrays = [cast(t, c.type, oid, self._zone) for t, c, oid in zip(texts, columns, types, strict=True)]
        return pa.Table.from_arrays(arrays, schema=target.schema.arrow)


def _parse(text: bytes, width: int) -> list[pa.Array]:
    """CSV as COPY writes it: an empty field is NULL, a quoted one is text."""
    if not text:
        return [pa.array([], pa.string())] * width
    names = [str(number) for number in range(width)]
    try:
        table = csv.read_csv(
            pa.BufferReader(text),
            read_options=csv.ReadOptions(column_names=names, block_size=len(text) + 1, use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid as error:
        raise SourceHalted(f"a copy is not readable CSV in UTF-8: {error}") from None
    return [table.column(name).combine_chunks() for name in names]
