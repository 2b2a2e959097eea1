"""Merging: a result table takes the rows of a stage or a shadow, and writes none that stands as it should."""

from psycopg import sql

from topline.results.connection import Cursor
from topline.results.epoch import Within
from topline.results.tables import GONE, identifiers, stage
from topline.schema import TableSchema


def merge_stage(cursor: Cursor, model: TableSchema, target: sql.Identifier) -> int:
    """Delete, update and insert as the stage says; returns the number of rows written.

    MERGE locks and rewrites differing rows only, which INSERT ... ON CONFLICT does not.
    """
    cursor.execute(merge_sql(model, target, stage(model.name), gone=True))
    return cursor.rowcount


def merge_all(
    cursor: Cursor, model: TableSchema, target: sql.Identifier, source: sql.Identifier, within: Within | None = None
) -> int:
    """Make `target` (of it what lies `within`) hold what `source` holds, in place; returns the number of rows written."""
    absent = sql.SQL("DELETE FROM {} AS t WHERE NOT EXISTS (SELECT FROM {} AS s WHERE {}) AND {}")
    cursor.execute(absent.format(target, source, _same_key(model), _lies_within(within)))
    deleted = cursor.rowcount
    cursor.execute(merge_sql(model, target, source, gone=False))
    return deleted + cursor.rowcount


def delete_sql(model: TableSchema, target: sql.Identifier, source: sql.Composable) -> sql.Composed:
    """Rows whose keys `source` (a table, or a query in parentheses) has leave `target`."""
    return sql.SQL("DELETE FROM {} AS t USING {} AS s WHERE {}").format(target, source, _same_key(model))


def merge_sql(model: TableSchema, target: sql.Identifier, source: sql.Composable, *, gone: bool) -> sql.Composed:
    """`target` takes the rows of `source`. `gone`: rows so marked leave it."""
    flag = sql.Identifier("s", GONE)
    parts = [sql.SQL("MERGE INTO {} AS t USING {} AS s ON {}").format(target, source, _same_key(model))]
    if gone:
        parts.append(sql.SQL("WHEN MATCHED AND {} THEN DELETE").format(flag))
    values = [name for name in model.names if name not in model.key]
    if values:
        parts.append(_update(values))
    arrives = sql.SQL("WHEN NOT MATCHED AND NOT {}").format(flag) if gone else sql.SQL("WHEN NOT MATCHED")
    insert = sql.SQL("{} THEN INSERT ({}) VALUES ({})")
    parts.append(insert.format(arrives, identifiers(model.names), identifiers(model.names, "s")))
    return sql.SQL(" ").join(parts)


def _lies_within(within: Within | None) -> sql.Composable:
    if within is None:
        return sql.SQL("true")
    ends = sql.Literal(within.first), sql.Literal(within.last)
    return sql.SQL("{} BETWEEN {} AND {}").format(sql.Identifier("t", within.column), *ends)


def _update(values: list[str]) -> sql.Composed:
    pairs = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(v), sql.Identifier("s", v)) for v in values)
    statement = sql.SQL("WHEN MATCHED AND ROW({}) IS DISTINCT FROM ROW({}) THEN UPDATE SET {}")
    return statement.format(identifiers(values, "t"), identifiers(values, "s"), pairs)


def _same_key(model: TableSchema) -> sql.Composed:
    pair = sql.SQL("{} = {}")
    return sql.SQL(" AND ").join(pair.format(sql.Identifier("t", k), sql.Identifier("s", k)) for k in model.key)
