"""Where the tables of a source lie whose log Debezium reads, and how their topics are called for it.

Source: Debezium 3.6, "Topic names" of the connectors for MySQL, MariaDB and SQL Server.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from topline.errors import ConfigError
from topline.sources.sql.settings import SqlSettings

CAPTURED = ("mysql", "mariadb", "mssql")
"""SQLAlchemy's names of the databases whose log is read."""


@dataclass(frozen=True, slots=True)
class Address:
    """Of a database; what the URL does not say is '', the port 0. `dialect`: one of CAPTURED."""

    dialect: str
    host: str
    port: int
    user: str
    password: str
    database: str


def address_of(settings: SqlSettings) -> Address:
    """ConfigError for a database whose log is not read, and where the URL names no database."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(settings.url)
    except ArgumentError:
        raise ConfigError("url: a URL as SQLAlchemy takes it is expected, such as mysql+pymysql://user@host/database") from None
    dialect = url.get_backend_name()
    if dialect not in CAPTURED:
        raise ConfigError(f"via: Debezium reads the log of {', '.join(CAPTURED)}; found {dialect}. Write `via: ingest`")
    if not url.database:
        raise ConfigError("url: the database is missing, mysql+pymysql://user@host/DATABASE")
    return Address(dialect, url.host or "localhost", url.port or 0, url.username or "", url.password or "", url.database)


def places_of(settings: SqlSettings, tables: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Table (short name) -> what stands in its topic's name behind the source's: database and table, and between them the
    schema where the database has such. ConfigError as `address_of`, and for columns that are to have other names."""
    address = address_of(settings)
    found: dict[str, tuple[str, ...]] = {}
    for name in tables:
        told = settings.tables[name]
        if told.columns:
            raise ConfigError(f"tables.{name}.columns: Debezium writes columns by their own names; declare these in the models")
        space, _, table = (told.table or name).rpartition(".")
        if address.dialect == "mssql":
            found[name] = (address.database, space or "dbo", table)
        else:
            found[name] = (space or address.database, table)
    return found
