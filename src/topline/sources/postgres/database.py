"""The source database beside the stream: what `check` finds, what `open` needs, and the rows of now."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import psycopg
import pyarrow as pa

from topline.errors import ConfigError, SourceNotReady, ToplineError
from topline.pgsilence import Session, end_session
from topline.sources.base import Fault
from topline.sources.postgres import catalog, faults, publication
from topline.sources.postgres.binding import Binding
from topline.sources.postgres.catalog import Catalog
from topline.sources.postgres.connection import message, session_conninfo, translated
from topline.sources.postgres.settings import Settings
from topline.sources.postgres.snapshot import Copier
from topline.sources.postgres.tables import Target, quote

_GRACE = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Found:
    """What `open` found and made: the catalog, the tables that were not published before, and the log's end."""

    catalog: Catalog
    added: frozenset[str]
    end: int


class Database:
    """`publication` and `slot` are names. Each method opens a connection of its own."""

    def __init__(self, source: str, settings: Settings, targets: Mapping[str, Target], zone: ZoneInfo) -> None:
        self._source, self._settings, self._targets, self._zone = source, settings, targets, zone
        self.publication = settings.publication or f"topline_{source}"
        self.slot = settings.slot or f"topline_{source}"
        self.before: Session | None = None  # that of the last replication connection; it may hold the slot still

    @property
    def conninfo(self) -> str:
        return session_conninfo(self._settings.dsn, self._settings.connect_timeout)

    @property
    def replication_conninfo(self) -> str:
        return session_conninfo(self._settings.dsn, self._settings.connect_timeout, replication="database")

    def connect(self) -> catalog.Connection:
        return catalog.connect(self.conninfo, self._settings.silence)

    def prepare(self, done: set[str]) -> Found:
        """Publication made or brought up to date. `done`: tables already copied. SourceNotReady with every fault."""
        with translated(f"connecting to {self._source}"), self.connect() as connection:
            if self.before is not None:
                end_session(connection, self.before)
            found = self._settled(connection)
            present = {name for name, facts in found.tables.items() if facts}
            if problems := self._faults(found, set(self._targets) - (done & present)):
                raise SourceNotReady("\n".join(f"{fault.where}: {fault.problem}: {fault.remedy}" for fault in problems))
            added = publication.ensure(connection, self.publication, found, list(self._targets.values()), self._prunes)
            found = replace(found, publication=catalog.read_publication(connection, self.publication))
            return Found(found, frozenset(target.name for target in added), _write_position(connection))

    def check(self) -> list[Fault]:
        where = f"sources.{self._source}"
        try:
            with self.connect() as connection:
                return self._faults(self._read(connection), set(self._targets))
        except psycopg.Error as error:
            return [Fault(where, f"cannot connect: {message(error)}", "correct `dsn`, or start the server")]
        except ToplineError as error:
            return [Fault(where, str(error))]

    def current(self, table: str) -> Iterator[pa.Table]:
        """`table` is the name without the source's. ConfigError when it is not declared."""
        name = self.declared(table)
        with translated(f"connecting to {self._source}"), self.connect() as connection:
            bases = self._read(connection).bases
        copier = Copier(self.conninfo, None, bases, self._zone, self._settings.silence)
        try:
            yield from copier.chunks(self._targets[name], self._settings.copy_rows)
        finally:
            copier.close()

    def look_up(self, binding: Binding, key: list[str], columns: list[str]) -> list[str | None] | None:
        names = ", ".join(f"{quote(name)}::text AS {quote(name)}" for name in columns)
        where = " AND ".join(f"{quote(name)}::text = %s" for name in binding.schema.key)
        query = f"SELECT {names} FROM {binding.target.quoted} WHERE {where}"
        with translated("looking up an unchanged value"), self.connect() as connection:
            row = connection.execute(query.encode(), key).fetchone()
        return list(row.values()) if row else None

    def declared(self, table: str) -> str:
        name = table.removeprefix(f"{self._source}.")
        if name not in self._targets:
            raise ConfigError(f"{table} is not a table of the source {self._source}; it has: {', '.join(self._targets)}")
        return name

    def _read(self, connection: catalog.Connection) -> Catalog:
        return catalog.read(connection, self._targets.values(), self.publication, self.slot)

    def _settled(self, connection: catalog.Connection) -> Catalog:
        """The catalog, once the slot is free: the server needs a moment to notice that its last reader has gone."""
        deadline = time.monotonic() + _GRACE
        while (found := self._read(connection)).slot and found.slot.active_pid and time.monotonic() < deadline:
            connection.execute("SELECT pg_sleep(0.05)")
        return found

    def _faults(self, found: Catalog, to_copy: set[str]) -> list[Fault]:
        """Tables that are copied already are not judged: what changed in them, the stream tells."""
        where = f"sources.{self._source}"
        if not self._targets:
            return [
                Fault(where, "no table is declared", f"declare tables of the source {self._source} in the models' sources YAML")
            ]
        problems = [*faults.server_faults(where, found.server), *faults.slot_faults(where, found)]
        for name in sorted(to_copy):
            problems += faults.table_faults(self._targets[name], found.tables[name], found.server.role, found.server.version)
        if all(found.tables.values()):
            wanted = list(self._targets.values())
            problems += publication.faults(where, self.publication, found, wanted, self._prunes)
        return problems

    @property
    def _prunes(self) -> bool:
        return self._settings.publication is None


def _write_position(connection: catalog.Connection) -> int:
    """The end of the log as it stands: behind a message that is flushed, so that the stream is sure to pass it."""
    try:
        connection.execute("SELECT pg_logical_emit_message(true, 'topline', 'end')")
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
        row = connection.execute("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn AS lsn").fetchone()
    else:
        row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS lsn").fetchone()
    return int(row["lsn"]) if row else 0
