"""Looks at a database: its tables, their columns and keys, and what refers to what."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from topline.errors import ConfigError, WorkError
from topline.scaffold.found import Found, FoundColumn, FoundTable, Reference
from topline.scaffold.words import identifier, identifiers, scalar
from topline.schema import Type

if TYPE_CHECKING:
    from topline.sources.sql.database import Database

_MOST_TABLES = 500  # of a larger database, the schema is to be named
_NUMBERS = frozenset({700, 701, 790, 1700})  # pg_type.dat: float4, float8, money, numeric
_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):([^@\s]*)@")

_TABLES = """
SELECT c.oid::int8, n.nspname, c.relname, greatest(c.reltuples, 0)::int8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_%%' AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
ORDER BY n.nspname <> 'public', n.nspname, c.relname LIMIT %s
"""
_COLUMNS = """
SELECT attrelid::int8, attname, coalesce(nullif(t.typbasetype, 0), t.oid)::int8
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE attrelid = ANY(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum
"""
# The primary key; else the smallest unique index over columns that cannot be NULL.
_KEYS = """
SELECT DISTINCT ON (i.indrelid) i.indrelid::int8, ARRAY(
    SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(n, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.place)
FROM pg_index i
WHERE i.indrelid = ANY(%s) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) AND NOT a.attnotnull)
ORDER BY i.indrelid, NOT i.indisprimary, i.indnkeyatts, i.indexrelid
"""
_REFERENCES = """
SELECT c.conrelid::int8, c.confrelid::int8,
  ARRAY(SELECT attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, p)
    JOIN pg_attribute ON attrelid = c.conrelid AND attnum = n ORDER BY p),
  ARRAY(SELECT attname::text FROM unnest(c.confkey) WITH ORDINALITY k(n, p)
    JOIN pg_attribute ON attrelid = c.confrelid AND attnum = n ORDER BY p)
FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = ANY(%s) AND c.confrelid = ANY(%s) ORDER BY c.conrelid, c.conname
"""


def is_postgres(origin: str) -> bool:
    """A DSN of either form that libpq takes: a URI, or `name=value` pairs."""
    if "://" in origin:
        return urlsplit(origin).scheme in {"postgres", "postgresql"}
    try:
        return "=" in origin and bool(conninfo_to_dict(origin))
    except psycopg.ProgrammingError:
        return False


def look_at_postgres(dsn: str) -> Found:
    """The tables that this user may read. ConfigError where nothing is to be seen, WorkError where nobody answers."""
    from topline.sources.postgres.types import class_of

    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            tables = connection.execute(_TABLES, [_MOST_TABLES]).fetchall()
            oids = [table[0] for table in tables]
            columns = connection.execute(_COLUMNS, [oids]).fetchall()
            keys: dict[int, list[str]] = dict(connection.execute(_KEYS, [oids]).fetchall())
            references = connection.execute(_REFERENCES, [oids, oids]).fetchall()
            database = connection.info.dbname
            level = connection.execute("SHOW wal_level").fetchone()
    except psycopg.Error as error:
        raise WorkError(f"cannot look at the database: {str(error).strip()}") from None
    if not tables:
        raise ConfigError(
            f"the database {database} has no table that this user may read: grant SELECT, or name another database"
        )
    names = _names([(schema, table) for _, schema, table, _ in tables])
    by_oid = dict(zip(oids, names, strict=True))
    found = [
        FoundTable(
            by_oid[oid],
            tuple(
                FoundColumn(name, class_of(kind), kind in _NUMBERS) for of, name, kind in columns if of == oid and _usable(name)
            ),
            tuple(keys.get(oid, ())) if all(map(_usable, keys.get(oid, ()))) else (),
            tuple(
                Reference(tuple(one), by_oid[to], tuple(other))
                for of, to, one, other in references
                if of == oid and all(map(_usable, (*one, *other)))
            ),
            rows,
            (scalar(f"{schema}.{table}"),),
        )
        for oid, schema, table, rows in tables
    ]
    source, (shown, secrets) = identifier(database), _without_password(_uri(dsn), identifier(database))
    return Found("postgres", source, (f"dsn: {scalar(shown)}",), _with_keys(found), secrets, tuple(_wal_note(level)))


def _wal_note(level: Sequence[Any] | None) -> list[str]:
    if level and level[0] == "logical":
        return []
    return [
        f"wal_level of the database is {level[0] if level else 'unknown'}; log-based capture needs `logical` (`topline check` "
        "has the commands). Where that cannot be, `kind: sql` asks by SQL instead"
    ]


def look_at_sql(url: str, root: Path) -> Found:
    """The tables of any database that SQLAlchemy knows; a relative SQLite path is relative to `root`."""
    from topline.sources.sql import Settings

    try:
        from topline.sources.sql.database import Database
    except ModuleNotFoundError:
        raise ConfigError("this needs SQLAlchemy: pip install 'topline[sql]', and the database's driver") from None
    database = Database(Settings.model_validate({"kind": "sql", "url": url, "tables": {"any": {}}}), root)
    try:
        tables = database.tables()[:_MOST_TABLES]
        names = dict(zip(tables, identifiers(tables), strict=True))
        found = [_table(database, name, names) for name in names]
    finally:
        database.close()
    if not found:
        raise ConfigError("the database has no table that this user may read: grant SELECT, or name another database")
    source = identifier(Path(unquote(urlsplit(url).path)).stem or "shop")
    shown, secrets = _without_password(_absolute(url, root), source)
    return Found("sql", source, (f"url: {scalar(shown)}",), _with_keys(found), secrets)


def _absolute(url: str, root: Path) -> str:
    """An SQLite file is found from the project's folder too."""
    scheme, _, path = url.partition(":///")
    return f"{scheme}:///{(root / path).resolve()}" if scheme.startswith("sqlite") and path else url


def _table(database: "Database", name: str, names: Mapping[str, str]) -> FoundTable:
    """`names`: what each table is to be called."""
    types = database.columns(name, None)
    columns = dict(zip(types, identifiers(list(types)), strict=True))
    unique = [key for key, is_unique in database.indexed(name, None) if is_unique and key]
    references = tuple(
        Reference(tuple(columns[one] for one in ours), names[to], tuple(_of(database, to, theirs)))
        for ours, to, theirs in database.references(name)
        if to in names
    )
    settings = (f"table: {scalar(name)}",) if names[name] != name else ()
    theirs = {ours: column for column, ours in columns.items() if ours != column}
    found = tuple(_column(columns[column], kind) for column, kind in types.items())
    key = tuple(columns[one] for one in unique[0]) if unique else ()
    return FoundTable(names[name], found, key, references, 0, settings, theirs)


def _of(database: "Database", table: str, columns: Sequence[str]) -> list[str]:
    """What another table's columns are to be called."""
    theirs = list(database.columns(table, None))
    names = dict(zip(theirs, identifiers(theirs), strict=True))
    return [names.get(column, identifier(column)) for column in columns]


def _column(name: str, kind: Any) -> FoundColumn:
    """A column by its SQLAlchemy type. Numbers with decimals travel as text."""
    import sqlalchemy as sa

    by_type = (
        (sa.Boolean, Type.BOOLEAN),
        (sa.Integer, Type.BIGINT),
        (sa.DateTime, Type.TIMESTAMPTZ),
        (sa.Date, Type.DATE),
    )
    type_ = next((ours for theirs, ours in by_type if isinstance(kind, theirs)), Type.TEXT)
    return FoundColumn(name, type_, isinstance(kind, sa.Numeric | sa.Integer))


def _with_keys(tables: Sequence[FoundTable]) -> tuple[FoundTable, ...]:
    """Tables without a key cannot be replicated; where none has one, they are kept, so that the fault can be shown."""
    keyed = tuple(table for table in tables if table.key)
    return keyed or tuple(tables)


def _names(places: Sequence[tuple[str, str]]) -> list[str]:
    """Short names, each once: of tables that are called alike, those outside `public` get their schema's name."""
    short: set[str] = set()
    wanted: list[str] = []
    for schema, table in places:
        name = identifier(table)
        wanted.append(f"{schema}_{table}" if name in short else table)
        short.add(name)
    return identifiers(wanted)


def _without_password(url: str, source: str) -> tuple[str, dict[str, str]]:
    """The URL with its password by reference, and the variable that holds it."""
    match = _PASSWORD.search(url)
    if match is None or not match[2]:
        return url, {}
    variable = f"{source.upper()}_PASSWORD"
    return _PASSWORD.sub(lambda m: f"{m[1]}:${{env:{variable}}}@", url), {variable: unquote(match[2])}


def _uri(dsn: str) -> str:
    """A DSN as a URI (libpq, 34.1.1.2)."""
    if "://" in dsn:
        return dsn
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    user, password, database = (quote(parts.pop(name, ""), safe="") for name in ("user", "password", "dbname"))
    login = f"{user}{':' if password else ''}{password}@" if user or password else ""
    return f"postgresql://{login}/{database}?{urlencode(parts)}"


def _usable(column: str) -> bool:
    """Whether a column's name can stand in SQL within Jinja within YAML. Others are not read: nothing can be hidden in them."""
    return not re.search(r"['\"\\{}%#\x00-\x1f]", column)
