"""What opening decides: whether this is the server and the slot that we know, and which tables must be copied."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from topline.changes import Position
from topline.errors import SourceHalted, TransientError
from topline.sources.base import Resume
from topline.sources.postgres.catalog import Catalog, SlotFacts
from topline.sources.postgres.lsn import format_lsn
from topline.sources.postgres.memory import Memory, Server
from topline.sources.postgres.shapes import regrouped, rewritten
from topline.sources.postgres.stream import Slot, Stream
from topline.sources.postgres.tables import Target


@dataclass(frozen=True, slots=True)
class Plan:
    """`position`: where the stream stands. `cleared`: where the retraction of another server's rows stands, if there are any.

    `create`, `replace`: the slot must be made, in place of a lost one; `temporary`: a slot for the snapshot only.
    """

    memory: Memory
    partition: str
    position: Position
    pending: tuple[str, ...]
    create: bool
    replace: bool
    temporary: str
    cleared: Position | None


class Opening:
    """Compares what the log remembers with what the server has. SourceHalted rather than a guess."""

    def __init__(
        self, source: str, slot: str, targets: Mapping[str, Target], found: Catalog, memory: Memory, resume: Resume
    ) -> None:
        self._source, self._slot, self._targets, self._found = source, slot, targets, found
        self._memory, self._resume = memory, resume

    def plan(self, server: Server, added: set[str]) -> Plan:
        """`added`: tables that the publication did not hold until now; their changes were missed."""
        memory, cleared = self._known_server(self._outdated(added), server)
        partition = memory.server.partition if memory.server else ""
        position = self._resume.positions.get(partition, Position(0, 0))
        slot = self._found.slot
        self._check_slot(slot, memory, position)
        pending = tuple(name for name in self._targets if name not in memory.done)
        lost = slot is not None and slot.wal_status == "lost"
        create = slot is None or lost
        if slot is not None and not create and not position.hi:
            position = Position(slot.confirmed, 0)
        temporary = f"{self._slot[:50]}_copy" if pending and not create else ""
        return Plan(memory, partition, position, pending, create, lost, temporary, cleared)

    def make_slot(self, stream: Stream, plan: Plan) -> Slot:
        if plan.replace:
            stream.drop_slot(self._slot)
        return stream.create_slot(self._slot if plan.create else plan.temporary, temporary=not plan.create)

    def base(self, plan: Plan, slot: Slot) -> Position:
        return Position(slot.lsn, 0) if plan.create else plan.position

    def _outdated(self, added: set[str]) -> Memory:
        """Tables to copy again: newly published, or otherwise, dropped and made anew, rewritten, or undeclared for a while."""
        tables = self._memory.tables
        found = {name: facts.oid if facts else 0 for name, facts in self._found.tables.items()}
        remade = {name for name, oid in found.items() if name in tables and (tables[name].oid != oid or self._rewritten(name))}
        members = {name: facts.members for name, facts in self._found.tables.items() if facts}
        return self._memory.grown(members).without(added | remade | (set(tables) - set(self._targets)))

    def _rewritten(self, name: str) -> bool:
        facts, copied = self._found.tables[name], self._memory.tables[name]
        if facts is None:
            return False
        terms = self._found.publication.terms() if self._found.publication else {}
        if copied.terms and copied.terms != terms.get(copied.oid):
            return True
        return bool(rewritten(copied.shape, facts.shape(self._targets[name]))) or regrouped(copied.members, facts.members)

    def _known_server(self, memory: Memory, server: Server) -> tuple[Memory, Position | None]:
        known = memory.server
        if known is None or (known.system, known.timeline) == (server.system, server.timeline):
            return replace(memory, server=known or server), None
        if memory.done & set(self._targets):
            raise SourceHalted(
                f"the server behind the source {self._source} is another: it has system identifier {server.system}, timeline "
                f"{server.timeline}; known is {known.system}, timeline {known.timeline}. If it is meant, copy all again: "
                f"`topline resync {self._source}`; else correct `dsn`"
            )
        old = self._resume.positions.get(known.partition, Position(0, 0))
        partition = f"{server.system}/{server.timeline}"
        return replace(memory, server=replace(server, partition=partition), consistent=0), Position(old.hi, old.lo + 1)

    def _check_slot(self, slot: SlotFacts | None, memory: Memory, position: Position) -> None:
        done = memory.done & set(self._targets)
        if slot is None and done:
            raise SourceHalted(self._gone(f"the replication slot {self._slot} is gone", position))
        if slot is None:
            return
        if slot.plugin != "pgoutput" or slot.database != self._found.server.database or slot.temporary:
            raise SourceHalted(
                f"the replication slot {self._slot} is another's (plugin {slot.plugin}, database {slot.database}): "
                f"name another with `slot` of the source {self._source}"
            )
        if slot.active_pid is not None:
            raise TransientError(f"the replication slot {self._slot} is in use by the server process {slot.active_pid}")
        if slot.wal_status == "lost" and done:
            raise SourceHalted(self._gone(f"the replication slot {self._slot} is lost (max_slot_wal_keep_size?)", position))
        if position.hi and slot.confirmed > position.hi and done:
            what = f"the replication slot {self._slot} was moved to {format_lsn(slot.confirmed)} by somebody else"
            raise SourceHalted(self._gone(what, position) + f"; first: SELECT pg_drop_replication_slot('{self._slot}')")

    def _gone(self, what: str, position: Position) -> str:
        return (
            f"{what}: changes since {format_lsn(position.hi)} cannot be read. "
            f"Copy all tables again: `topline resync {self._source}`"
        )
