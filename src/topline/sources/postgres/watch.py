"""The heartbeat: looks at slot and publication beside the stream, and lets an idle slot go on."""

import time
from collections.abc import Callable, Mapping

import psycopg

from topline.errors import SourceHalted, TransientError
from topline.sources.postgres import catalog
from topline.sources.postgres.connection import translated
from topline.sources.postgres.memory import Copied, Memory
from topline.sources.postgres.shapes import Members, require_not_regrouped, require_not_rewritten
from topline.sources.postgres.tables import Target

_IDLE_BYTES = 1 << 20  # so much log of others may pass before a message of ours moves the slot


class Watch:
    """`due` every `heartbeat` seconds. A lost slot halts; a table that left the publication or was rewritten opens all anew."""

    def __init__(
        self,
        connect: Callable[[], catalog.Connection],
        slot: str,
        publication: str,
        memory: Memory,
        heartbeat: float,
        targets: Mapping[str, Target],
    ) -> None:
        self._connect, self._slot, self._publication, self._heartbeat = connect, slot, publication, heartbeat
        self._targets, self._tables = targets, memory.tables
        self._oids = {copied.oid: name for name, copied in memory.tables.items() if copied.done}
        self._looked = self._advanced = time.monotonic()
        self._connection: catalog.Connection | None = None
        self._members = {name: copied.members for name, copied in memory.tables.items()}
        self.news: dict[str, Members] = {}  # tables with partitions that were made since, for the memory

    def due(self) -> bool:
        return time.monotonic() - self._looked >= self._heartbeat

    def may_advance(self) -> bool:
        """True at most once a heartbeat: an idle stream's position is worth a commit then."""
        now = time.monotonic()
        if now - self._advanced < self._heartbeat:
            return False
        self._advanced = now
        return True

    def look(self, passed: int) -> int:
        """The end of the server's log now. `passed`: how far the stream is."""
        self._looked = time.monotonic()
        with translated("looking at the replication slot"):
            if self._connection is None:
                self._connection = self._connect()
            self._check(catalog.read_slot(self._connection, self._slot))
            self._check_tables(catalog.read_publication(self._connection, self._publication))
            for name, target in self._targets.items():
                self._check_table(self._connection, target, self._tables[name])
            row = self._connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS lsn").fetchone()
            end = int(row["lsn"]) if row else passed
            if end - passed > _IDLE_BYTES:
                self._emit(self._connection)
        return end

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _check(self, slot: catalog.SlotFacts | None) -> None:
        if slot is None or slot.wal_status == "lost":
            state = "gone" if slot is None else "lost"
            raise SourceHalted(f"the replication slot {self._slot} is {state}: copy all again with `topline resync`")

    def _check_tables(self, publication: catalog.PublicationFacts | None) -> None:
        published = {table.oid for table in publication.tables} if publication else set()
        missing = sorted(name for oid, name in self._oids.items() if oid not in published)
        if missing:
            raise TransientError(f"no longer in the publication {self._publication}: {', '.join(missing)}; looking anew")
        names = {table.oid: (table.namespace, table.relation) for table in publication.tables} if publication else {}
        places = {name: (target.namespace, target.relation) for name, target in self._targets.items()}
        if renamed := sorted(name for oid, name in self._oids.items() if name in places and names[oid] != places[name]):
            raise TransientError(f"renamed at the source: {', '.join(renamed)}; looking anew")
        terms = publication.terms() if publication else {}
        if changed := sorted(name for oid, name in self._oids.items() if self._tables[name].terms not in ("", terms[oid])):
            raise TransientError(f"the publication {self._publication} was changed for {', '.join(changed)}: looking anew")

    def _check_table(self, connection: catalog.Connection, target: Target, copied: Copied) -> None:
        shape = catalog.shape_of_columns(target, catalog.read_columns(connection, copied.oid))
        require_not_rewritten(target, copied.shape, shape)
        members = catalog.read_members(connection, copied.oid)
        require_not_regrouped(target, self._members[target.name], members)
        if len(members) > len(self._members[target.name]):
            self._members[target.name] = sorted(members)
            self.news[target.name] = members

    def _emit(self, connection: catalog.Connection) -> None:
        try:
            connection.execute("SELECT pg_logical_emit_message(true, 'topline', 'heartbeat')")
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
            return  # the keep-alives alone must do
