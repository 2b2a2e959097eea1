"""A small change of a model, merged by one prepared statement whose parameters are the columns as arrays: nothing is staged."""

import psycopg
import pyarrow as pa
from psycopg import errors, sql
from psycopg.rows import TupleRow

from topline.pgtime import are_plain, write_times
from topline.results.connection import Connection, qualified
from topline.results.epoch import Changed, Model
from topline.results.merge import delete_sql, merge_sql
from topline.results.tables import identifiers
from topline.results.transfer import vanished
from topline.schema import Column, Type

MOST_ROWS = 1_000  # from there on a stage, whose size the planner knows, is cheaper

Cursor = psycopg.Cursor[TupleRow]


class ArrayMerge:
    """Queues a model's small changes on a connection in pipeline mode. Plans are kept, so they must not depend on the rows."""

    def __init__(self, schema: str, model: Model) -> None:
        self._columns = model.schema.columns
        self._keys = [column for column in self._columns if column.name in model.schema.key]
        self._schema = model.schema
        target = qualified(schema, model.name)
        self._merge = merge_sql(model.schema, target, _arrays(self._columns), gone=False).as_string(None)
        self._delete = delete_sql(model.schema, target, _arrays(self._keys)).as_string(None)

    def queue(self, connection: Connection, change: Changed) -> list[Cursor]:
        """The cursors tell, once the pipeline is synced, how many rows were written."""
        gone = vanished(self._schema, change.keys, change.rows)
        queued: list[Cursor] = [_ask(connection, self._delete, gone, self._keys)] if len(gone) else []
        if len(change.rows):
            queued.append(_ask(connection, self._merge, change.rows, self._columns))
        return queued


def _arrays(columns: "tuple[Column, ...] | list[Column]") -> sql.Composed:
    """A row source over one array a column, as parameters $1, $2, ..."""
    casts = sql.SQL(", ").join(sql.SQL(f"${place}::{_element(column)}[]") for place, column in enumerate(columns, 1))
    return sql.SQL("(SELECT * FROM unnest({}) AS u ({}))").format(casts, identifiers(column.name for column in columns))


def _element(column: Column) -> str:
    """The column itself checks the digits of a decimal."""
    return "numeric" if column.type is Type.DECIMAL else column.type.value


def _ask(
    connection: Connection, statement: str, rows: pa.Table, columns: "tuple[Column, ...] | list[Column]"
) -> "psycopg.RawCursor[TupleRow]":
    cursor = psycopg.RawCursor(connection)
    cursor.execute(statement.encode(), [array_text(rows.column(column.name)) for column in columns], prepare=True)
    return cursor


def array_text(values: pa.ChunkedArray) -> str:
    """A column as PostgreSQL reads an array (its manual, "Array Input and Output Syntax"). Python joins few texts sooner than
    Arrow has begun."""
    if not pa.types.is_string(values.type):
        return "{" + ",".join("NULL" if text is None else text for text in _plain(values).to_pylist()) + "}"
    texts = values.to_pylist()
    if not texts:
        return "{}"
    if not values.null_count:
        joined = _without_nul('","'.join(texts))
        if "\\" not in joined and joined.count('"') == 2 * len(texts) - 2:
            return '{"' + joined + '"}'
    return _without_nul("{" + ",".join("NULL" if text is None else _quoted(text) for text in texts) + "}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Their texts."""
    if pa.types.is_temporal(values.type) and not all(map(are_plain, values.chunks)):  # infinity, years before 1, after 9999
        return pa.chunked_array([write_times(chunk) for chunk in values.chunks], pa.string())
    return values.cast(pa.string())


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise errors.UntranslatableCharacter("text holds a zero byte, which PostgreSQL's text cannot")
    return text
