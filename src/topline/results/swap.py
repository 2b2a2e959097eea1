"""A whole table anew: filled beside the old one without anybody waiting, and put in its place within one transaction.

A table on which a view, a rule, a foreign key, a trigger, a policy, a publication or an index of the user's own depends
keeps its identity: it is altered and merged in place instead. Grants are kept on both ways.
"""

from collections.abc import Iterable

import pyarrow as pa
from psycopg import errors, sql

from topline.errors import ModelHalted
from topline.results.connection import Cursor, qualified
from topline.results.epoch import Model
from topline.results.merge import merge_all
from topline.results.tables import (
    OWN,
    align_indexes,
    column_sql,
    columns_of,
    create_indexes,
    create_key,
    create_table,
    describe,
    has_shape,
    shadow,
    stands,
)
from topline.results.transfer import copy_in

SWAP_WAIT = "500ms"  # readers queue behind a waiting swap, so it does not wait long


def fill_shadow(cursor: Cursor, schema: str, model: Model, chunks: Iterable[pa.Table]) -> int:
    """Fill, key, index and analyse the table that will take the model's place; returns its rows."""
    name = shadow(model.name)
    drop_shadow(cursor, schema, model.name)
    create_table(cursor, schema, name, model.schema)
    rows = 0
    for chunk in chunks:
        copy_in(cursor, qualified(schema, name), chunk.select(model.schema.names))
        rows += len(chunk)
    create_key(cursor, schema, name, model.schema.key)
    create_indexes(cursor, schema, name, model.indexes)
    describe(cursor, schema, name, model)
    cursor.execute(sql.SQL("ANALYZE {}").format(qualified(schema, name)))
    return rows


def drop_shadow(cursor: Cursor, schema: str, model: str) -> None:
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(qualified(schema, shadow(model))))


def install_shadow(cursor: Cursor, schema: str, model: Model, *, in_place: bool) -> None:
    """Put the filled shadow in the model's place, in the caller's transaction.

    `in_place`: merge even where a swap is possible, because readers have held the table for too long to swap it.
    LockNotAvailable when readers hold it longer than `SWAP_WAIT`; ModelHalted when something of the user's forbids it.
    """
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", (SWAP_WAIT,))
    if not stands(cursor, schema, model.name):
        _rename(cursor, schema, model.name)
    elif in_place or dependents(cursor, schema, model.name):
        _merge_in_place(cursor, schema, model)
    else:
        _swap(cursor, schema, model)


def dependents(cursor: Cursor, schema: str, table: str) -> list[str]:
    """What of the user's own hangs on the table, in PostgreSQL's words."""
    cursor.execute(_DEPENDENTS, {"schema": schema, "table": table, "own": f"{OWN}%".replace("_", r"\_")})
    return [row[0] for row in cursor.fetchall()]


def _swap(cursor: Cursor, schema: str, model: Model) -> None:
    old, new = qualified(schema, model.name), qualified(schema, shadow(model.name))
    cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(old))
    cursor.execute(_GRANTS, {"table": old.as_string(cursor), "columns": list(model.schema.names)})
    for privilege, column, grantee, grantable in cursor.fetchall():
        _grant(cursor, new, (privilege, column), grantee, grantable)
    cursor.execute(sql.SQL("DROP TABLE {}").format(old))
    _rename(cursor, schema, model.name)


def _grant(cursor: Cursor, table: sql.Identifier, what: tuple[str, str | None], grantee: str | None, grantable: bool) -> None:
    privilege, column = what
    statement = sql.SQL("GRANT {}{} ON {} TO {}{}").format(
        sql.SQL(privilege),
        sql.SQL("") if column is None else sql.SQL(" ({})").format(sql.Identifier(column)),
        table,
        sql.SQL("PUBLIC") if grantee is None else sql.Identifier(grantee),
        sql.SQL(" WITH GRANT OPTION") if grantable else sql.SQL(""),
    )
    cursor.execute(statement)


def _rename(cursor: Cursor, schema: str, table: str) -> None:
    statement = sql.SQL("ALTER TABLE {} RENAME TO {}")
    cursor.execute(statement.format(qualified(schema, shadow(table)), sql.Identifier(table)))


def _merge_in_place(cursor: Cursor, schema: str, model: Model) -> None:
    target, source = qualified(schema, model.name), qualified(schema, shadow(model.name))
    if not has_shape(cursor, schema, model.name, model.schema):
        _reshape(cursor, schema, model)
    align_indexes(cursor, schema, model)
    merge_all(cursor, model.schema, target, source)
    drop_shadow(cursor, schema, model.name)


def _reshape(cursor: Cursor, schema: str, model: Model) -> None:
    """Give the emptied table the model's columns and key; columns that stay keep what hangs on them."""
    target = qualified(schema, model.name)
    found = columns_of(cursor, schema, model.name)
    wanted = {column.name: column for column in model.schema.columns}
    changed = [name for name, column in found.items() if column != wanted.get(name)]
    cursor.execute(sql.SQL("DELETE FROM {}").format(target))
    cursor.execute(_PRIMARY_KEY, (schema, model.name))
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(target, sql.Identifier(name)))
    for name in changed:
        _drop_column(cursor, target, model.name, name)
    for name in wanted:
        if name in changed or name not in found:
            cursor.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(target, column_sql(wanted[name])))
    for name in set(found) - set(changed) - set(model.schema.key):
        cursor.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL").format(target, sql.Identifier(name)))
    create_key(cursor, schema, model.name, model.schema.key)


def _drop_column(cursor: Cursor, target: sql.Identifier, model: str, column: str) -> None:
    try:
        cursor.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(target, sql.Identifier(column)))
    except errors.DependentObjectsStillExist as error:
        detail = " ".join((error.diag.message_detail or str(error)).split())
        raise ModelHalted(
            f"model {model} no longer has the column {column!r} as it was, but something in PostgreSQL uses it: {detail}. "
            "Drop that, run again, and make it anew over the new columns"
        ) from error


# Views and rules, foreign keys, triggers, policies and publications; and indexes that are not ours.
_DEPENDENTS = """
WITH t AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = %(schema)s AND c.relname = %(table)s)
SELECT pg_describe_object(d.classid, d.objid, 0)
FROM pg_depend d JOIN t ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
WHERE d.classid IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_publication_rel'::regclass)
   OR d.classid = 'pg_constraint'::regclass AND EXISTS (SELECT FROM pg_constraint f WHERE f.oid = d.objid AND f.contype = 'f')
UNION
SELECT pg_describe_object('pg_class'::regclass, i.indexrelid, 0)
FROM pg_index i JOIN t ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relname NOT LIKE %(own)s
"""

_GRANTS = """
SELECT a.privilege_type, a.column_name, r.rolname, a.is_grantable
FROM (SELECT c.relowner, x.*, NULL::text AS column_name
      FROM pg_class c CROSS JOIN aclexplode(c.relacl) x WHERE c.oid = %(table)s::regclass
      UNION ALL
      SELECT c.relowner, x.*, att.attname::text
      FROM pg_class c JOIN pg_attribute att ON att.attrelid = c.oid AND att.attname = ANY (%(columns)s)
      CROSS JOIN aclexplode(att.attacl) x WHERE c.oid = %(table)s::regclass) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE a.grantee <> a.relowner AND (a.grantee = 0 OR r.oid IS NOT NULL)
"""

_PRIMARY_KEY = """
SELECT k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND k.contype = 'p'
"""
