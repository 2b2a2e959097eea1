"""The result tables: their columns, keys and indexes in SQL, and what PostgreSQL has of them."""

import secrets
from collections.abc import Iterable

from psycopg import sql

from topline.errors import ConfigError
from topline.results.connection import Cursor, qualified
from topline.results.epoch import Model
from topline.schema import Column, TableSchema, Type

OWN = "_topline_"  # every table and index that is ours and no result begins so
LONGEST_NAME = 63 - len(f"{OWN}stage_")
_CATALOG_NAMES = {
    "text": Type.TEXT,
    "bigint": Type.BIGINT,
    "numeric(18,4)": Type.DECIMAL,
    "date": Type.DATE,
    "timestamp without time zone": Type.TIMESTAMP,
    "timestamp with time zone": Type.TIMESTAMPTZ,
    "boolean": Type.BOOLEAN,
}


def require_names(model: Model) -> None:
    """ConfigError where the model's name would not be a table's name here."""
    if len(model.name.encode()) > LONGEST_NAME or model.name.startswith(OWN):
        raise ConfigError(
            f"model {model.name!r} cannot be published under that name: at most {LONGEST_NAME} bytes, "
            f"not beginning with {OWN}; rename its file"
        )


def column_sql(column: Column) -> sql.Composable:
    collate = ' COLLATE "C"' if column.type is Type.TEXT else ""
    return sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(f"{column.type.value}{collate}"))


def identifiers(names: Iterable[str], prefix: str = "") -> sql.Composed:
    """`a, b`, or `t.a, t.b` with a prefix."""
    return sql.SQL(", ").join(sql.Identifier(prefix, name) if prefix else sql.Identifier(name) for name in names)


def create_table(cursor: Cursor, schema: str, table: str, model: TableSchema) -> None:
    columns = sql.SQL(", ").join(column_sql(column) for column in model.columns)
    cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(qualified(schema, table), columns))


def create_stage(cursor: Cursor, model: TableSchema) -> None:
    """The session's own table through which changed rows travel; empty again after each transaction.

    Analysed while empty, it is from then on planned by the pages that it has, not by the ten that an unknown table is given.
    """
    columns = sql.SQL(", ").join(column_sql(column) for column in model.columns)
    statement = "CREATE TEMP TABLE IF NOT EXISTS {} ({}, {} BOOLEAN NOT NULL DEFAULT false) ON COMMIT DELETE ROWS"
    cursor.execute(sql.SQL(statement).format(stage(model.name), columns, sql.Identifier(GONE)))
    cursor.execute(sql.SQL("ANALYZE {}").format(stage(model.name)))


GONE = f"{OWN}gone"


def stage(model: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"{OWN}stage_{model}")


def shadow(model: str) -> str:
    return f"{OWN}new_{model}"


def create_key(cursor: Cursor, schema: str, table: str, key: tuple[str, ...]) -> None:
    statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})")
    cursor.execute(statement.format(qualified(schema, table), _own_name("key"), identifiers(key)))


def create_indexes(cursor: Cursor, schema: str, table: str, indexes: Iterable[tuple[str, ...]]) -> None:
    """Indexes as declared: each a list of `column` or `column desc`."""
    for index in indexes:
        parts = sql.SQL(", ").join(_index_part(part) for part in index)
        statement = sql.SQL("CREATE INDEX {} ON {} ({})")
        cursor.execute(statement.format(_own_name("index"), qualified(schema, table), parts))


def align_indexes(cursor: Cursor, schema: str, model: Model) -> None:
    """Drop indexes of ours that the model no longer declares, and create those that it now does."""
    cursor.execute(_INDEXES, (schema, model.name, f"{OWN}index_%".replace("_", r"\_")))
    found: dict[tuple[str, ...], str] = {tuple(parts): name for name, parts in cursor.fetchall()}
    wanted = {tuple(_normal(part) for part in index) for index in model.indexes}
    for parts, name in found.items():
        if parts not in wanted:
            cursor.execute(sql.SQL("DROP INDEX {}").format(qualified(schema, name)))
    create_indexes(cursor, schema, model.name, sorted(wanted - set(found)))


def describe(cursor: Cursor, schema: str, table: str, model: Model) -> None:
    target = qualified(schema, table)
    cursor.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(target, sql.Literal(model.description or None)))
    for column, text in model.column_descriptions.items():
        if text and column in model.schema.names:
            statement = sql.SQL("COMMENT ON COLUMN {} IS {}")
            cursor.execute(statement.format(sql.Identifier(schema, table, column), sql.Literal(text)))


def _index_part(part: str) -> sql.Composable:
    column, _, direction = _normal(part).partition(" ")
    return sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL("DESC" if direction else "ASC"))


def _normal(part: str) -> str:
    column, _, direction = part.strip().partition(" ")
    if direction.strip().lower() not in ("", "asc", "desc"):
        raise ConfigError(f"index on {part!r} is not understood: write `column` or `column desc`")
    return f"{column} desc" if direction.strip().lower() == "desc" else column


def _own_name(kind: str) -> sql.Identifier:
    return sql.Identifier(f"{OWN}{kind}_{secrets.token_hex(6)}")


def stands(cursor: Cursor, schema: str, table: str) -> bool:
    cursor.execute("SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = %s", (schema, table))
    return cursor.fetchone() is not None


def has_shape(cursor: Cursor, schema: str, table: str, model: TableSchema) -> bool:
    """Whether the table that stands in PostgreSQL has exactly the model's columns, types, collation and key."""
    wanted = {column.name: column for column in model.columns}
    return columns_of(cursor, schema, table) == wanted and _key_of(cursor, schema, table) == list(model.key)


def columns_of(cursor: Cursor, schema: str, table: str) -> dict[str, Column | None]:
    """The columns that stand in PostgreSQL; None for one that we would not create so."""
    cursor.execute(_COLUMNS, (schema, table))
    return {name: _column(name, kind, collation) for name, kind, collation in cursor.fetchall()}


def _column(name: str, kind: str, collation: str | None) -> Column | None:
    found = _CATALOG_NAMES.get(kind)
    if found is None or (found is Type.TEXT and collation != "C"):
        return None
    return Column(name, found)


def _key_of(cursor: Cursor, schema: str, table: str) -> list[str]:
    cursor.execute(_KEY, (schema, table))
    return [row[0] for row in cursor.fetchall()]


_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), co.collname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation co ON co.oid = a.attcollation
WHERE n.nspname = %s AND c.relname = %s
ORDER BY a.attnum
"""

_KEY = """
SELECT a.attname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (number, place)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
WHERE n.nspname = %s AND c.relname = %s
ORDER BY k.place
"""

_INDEXES = """
SELECT x.relname, array_agg(a.attname || CASE WHEN i.indoption[k.place - 1] & 1 = 1 THEN ' desc' ELSE '' END ORDER BY k.place)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index i ON i.indrelid = c.oid AND NOT i.indisprimary
JOIN pg_class x ON x.oid = i.indexrelid
CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (number, place)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
WHERE n.nspname = %s AND c.relname = %s AND x.relname LIKE %s
GROUP BY x.relname
"""
