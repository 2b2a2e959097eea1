"""Connections to the database, and what its errors mean: another try, or a person."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from topline.errors import ConfigError, SourceHalted, TransientError
from topline.pgsilence import KEEPALIVES, PatientConnection
from topline.sources.sql.settings import SqlSettings

# What each driver calls the two timeouts. Of others, `connect_args` says it.
_TIMEOUTS = {
    "pymysql": ("connect_timeout", "read_timeout"),
    "psycopg": ("connect_timeout", ""),
    "mysqlclient": ("connect_timeout", ""),
}
_DRIVERS = {"pymysql": "pymysql", "psycopg": "psycopg", "oracledb": "oracledb", "pyodbc": "pyodbc", "pymssql": "pymssql"}
# MySQL: no such database, no right, wrong password, no such column or table, not allowed from this host, TLS demanded.
_MYSQL_FINAL = frozenset({1044, 1045, 1049, 1054, 1064, 1130, 1142, 1143, 1146, 1698, 3159})
_SQLITE_FINAL = ("no such table", "no such column", "file is not a database", "malformed")
# SQLSTATE classes (ISO 9075-2): invalid authorization, syntax error or missing object or right, no such catalog or schema.
_STATES_FINAL = ("28", "42", "3D", "3F")


class Database:
    """A database to read. ConfigError where its URL or driver does not serve."""

    def __init__(self, settings: SqlSettings, root: Path) -> None:
        self._settings = settings
        self._engine = _engine(settings, root)
        self.dialect = self._engine.dialect.name

    def rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        """All rows of `query`. Each query sees what is committed when it runs."""
        with self._connected() as connection:
            return connection.execute(query).all()

    def columns(self, table: str, schema: str | None) -> dict[str, Any]:
        """Name -> SQLAlchemy type of a table's or view's columns; {} where there is no such table."""
        with self._connected() as connection:
            inspector = sa.inspect(connection)
            if not (inspector.has_table(table, schema=schema) or table in inspector.get_view_names(schema)):
                return {}
            return {column["name"]: column["type"] for column in inspector.get_columns(table, schema)}

    def indexed(self, table: str, schema: str | None) -> list[tuple[list[str], bool]]:
        """The columns of each index, and whether it is unique; the primary key among them."""
        with self._connected() as connection:
            inspector = sa.inspect(connection)
            if table not in inspector.get_table_names(schema):
                return []
            primary = inspector.get_pk_constraint(table, schema).get("constrained_columns", [])
            found = [
                ([str(name) for name in i["column_names"]], bool(i["unique"])) for i in inspector.get_indexes(table, schema)
            ]
            unique = [
                ([str(name) for name in u["column_names"]], True) for u in inspector.get_unique_constraints(table, schema)
            ]
            return [(list(primary), True), *found, *unique]

    def references(self, table: str) -> list[tuple[list[str], str, list[str]]]:
        """Foreign keys within the default schema: our columns, the table that they refer to, its columns."""
        with self._connected() as connection:
            inspector = sa.inspect(connection)
            if table not in inspector.get_table_names():
                return []
            keys = [key for key in inspector.get_foreign_keys(table) if not key["referred_schema"]]
            return [(key["constrained_columns"], key["referred_table"], key["referred_columns"]) for key in keys]

    def tables(self) -> list[str]:
        """The names of tables and views in the default schema."""
        with self._connected() as connection:
            inspector = sa.inspect(connection)
            return sorted([*inspector.get_table_names(), *inspector.get_view_names()])

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise _meaning(error, self.dialect) from error.orig
        except SQLAlchemyError as error:
            raise SourceHalted(f"the database cannot be read: {error}; `topline check` says more") from error


def _engine(settings: SqlSettings, root: Path) -> Engine:
    try:
        url = make_url(settings.url)
        if url.get_backend_name() == "sqlite":
            return _sqlite(url, root)
        names = _TIMEOUTS.get(url.get_driver_name(), ("", ""))
        limits = zip(names, (settings.connect_timeout, settings.read_timeout), strict=True)
        arguments = {name: seconds for name, seconds in limits if name} | settings.connect_args
        engine = sa.create_engine(
            url, connect_args=arguments, isolation_level="AUTOCOMMIT", hide_parameters=True, pool_size=1, pool_pre_ping=True
        )
        if url.get_driver_name() == "psycopg":
            _never_wait_for_ever(engine, settings.read_timeout)
        return engine
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        shown = "it cannot be read" if "://" in str(error) else str(error)
        raise ConfigError(f"url: {shown}; write dialect+driver://user@host/database") from None
    except ModuleNotFoundError as error:
        module = str(error.name)
        remedy = f"pip install {_DRIVERS.get(module, module)}, or name another driver: dialect+driver://"
        raise ConfigError(f"url: its driver {module} is not installed; {remedy}") from None


def _never_wait_for_ever(engine: Engine, silence: float) -> None:
    """psycopg itself knows no limit for an answer."""

    @sa.event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, more: Any) -> Any:
        connection = PatientConnection.connect(*arguments, **{**KEEPALIVES, **more})
        connection.silence = silence
        return connection


def _sqlite(url: URL, root: Path) -> Engine:
    """Read only: a file that is missing stays missing, and is an error, never an empty database."""
    if not url.database or url.database == ":memory:":
        raise ConfigError("url: an SQLite database in memory is nobody else's; name a file, sqlite:///shop.db")
    path = root / url.database

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)
        connection.text_factory = _decoded
        return connection

    # Opened for each query: a file that went away, or was put in its place, is noticed.
    return sa.create_engine(
        "sqlite://", creator=connect, isolation_level="AUTOCOMMIT", hide_parameters=True, poolclass=sa.pool.NullPool
    )


def _decoded(raw: bytes) -> str:
    """SQLite keeps text that is none: such a value is refused with its row, not with the table."""
    return raw.decode("utf-8", "surrogateescape")


def _meaning(error: DBAPIError, dialect: str) -> TransientError | SourceHalted:
    """A driver's error as ours. SQL and parameters stay out of it: they may hold what nobody should read in a log."""
    cause = error.orig
    text = f"{type(cause).__name__}: {' '.join(str(part) for part in getattr(cause, 'args', ()) or (cause,))}"
    if _is_final(cause, dialect):
        return SourceHalted(f"the database refuses: {text}. `topline check` says what is missing")
    return TransientError(f"the database cannot be asked: {text}")


def _is_final(cause: BaseException | None, dialect: str) -> bool:
    arguments: tuple[Any, ...] = getattr(cause, "args", ())
    if dialect in ("mysql", "mariadb"):
        return bool(arguments) and arguments[0] in _MYSQL_FINAL
    if dialect == "sqlite":
        return any(words in str(cause) for words in _SQLITE_FINAL)
    return str(getattr(cause, "sqlstate", None) or "").startswith(_STATES_FINAL)
