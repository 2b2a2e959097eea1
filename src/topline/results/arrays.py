"""A small change of a model, merged by one prepared statement whose parameters are the columns as arrays: nothing is staged."""

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
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
    """A column as PostgreSQL reads an array (its manual, "Array Input and Output Syntax")."""
    array = values.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of no chunk, or of more than fit one
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], values.type)
    if not len(array):
        return "{}"
    if not pa.types.is_string(array.type):
        return "{" + _joined(_plain(array).fill_null("NULL"), ",") + "}"
    if not array.null_count:
        joined = _joined(array, '","')
        if "\\" not in joined and joined.count('"') == 2 * len(array) - 2:
            return '{"' + joined + '"}'
    escaped = pc.replace_substring_regex(array, r'(["\\])', r"\\\1")
    return "{" + _joined(pc.binary_join_element_wise('"', escaped, '"', "").fill_null("NULL"), ",") + "}"


def _plain(array: pa.Array) -> pa.StringArray:
    if pa.types.is_temporal(array.type) and not are_plain(array):  # infinity, years before 1 and after 9999
        return write_times(array)
    return array.cast(pa.string())


def _joined(texts: pa.StringArray, between: str) -> str:
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    joined: str = pc.binary_join(whole, between)[0].as_py()
    if "\0" in joined:
        raise errors.UntranslatableCharacter("text holds a zero byte, which PostgreSQL's text cannot")
    return joined
