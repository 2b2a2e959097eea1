"""The source: copies first, then the stream; what it must remember travels in its batches."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

from topline.changes import DeadLetter, Position, SourceBatch
from topline.errors import ConfigError, TransientError
from topline.faults import point
from topline.sources.base import Context, Fault, Progress, Resume
from topline.sources.postgres.copying import Copying
from topline.sources.postgres.database import Database, Found
from topline.sources.postgres.decoder import Decoder
from topline.sources.postgres.memory import Memory, resync_memory
from topline.sources.postgres.opening import Opening
from topline.sources.postgres.settings import Settings
from topline.sources.postgres.snapshot import Copier
from topline.sources.postgres.standing import Standing
from topline.sources.postgres.stream import Stream
from topline.sources.postgres.tables import targets
from topline.sources.postgres.tail import Tail
from topline.sources.postgres.watch import Watch


class PostgresSource:
    """Log-based capture from one PostgreSQL database. See docs/sources/postgres.md for what it guarantees."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.name = context.name
        self._settings = settings
        self._targets = targets(context.name, context.tables, settings)
        self._zone = _zone(settings.zone)
        self._database = Database(context.name, settings, self._targets, self._zone)
        self._partition = ""
        self._stream: Stream | None = None
        self._copying: Copying | None = None
        self._tail: Tail | None = None

    def check(self) -> list[Fault]:
        return self._database.check()

    def current(self, table: str) -> Iterator[pa.Table]:
        """`table` with or without the source's name. ConfigError when it is not declared."""
        return self._database.current(table)

    def open(self, resume: Resume) -> None:
        """Publication and slot are made or checked; a snapshot is taken for the tables that must be copied."""
        self.close()
        memory = Memory.load(resume.memory)
        self._start(self._database.prepare(memory.done), memory, resume)

    def _start(self, found: Found, memory: Memory, resume: Resume) -> None:
        self._stream = Stream(self._database.replication_conninfo, self._settings.silence)
        self._database.before = self._stream.session()
        opening = Opening(self.name, self._database.slot, self._targets, found.catalog, memory, resume)
        plan = opening.plan(self._stream.identify(), set(found.added))
        self._partition, self._base, self._bases = plan.partition, plan.position, found.catalog.bases
        self._standing = Standing(self._targets, plan.memory, plan.position.hi, found.end)
        if plan.pending:
            slot = opening.make_slot(self._stream, plan)
            point("copy:slot-made")
            copier = Copier(self._database.conninfo, slot.snapshot, self._bases, self._zone, self._settings.silence)
            if plan.temporary:
                self._stream.drop_slot(plan.temporary)
            self._base = opening.base(plan, slot)
            self._copying = Copying(copier, plan, slot.lsn, self._targets, self._settings.copy_rows, found.catalog)

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        stream = self._stream_now
        if self._copying is not None and (batch := self._copied(self._copying)) is not None:
            return batch
        return self._begin(stream) if self._tail is None else self._tail.read(max_rows, timeout)

    def _copied(self, copying: Copying) -> SourceBatch | None:
        if (step := next(copying.steps, None)) is None:
            copying.close()
            self._copying = None
            point("copy:all-read")
            return None
        self._standing.copied(step.table, step.copied)
        return SourceBatch(self.name, parts=step.parts, memory=self._standing.memory.dump(), copying=True)

    def _begin(self, stream: Stream) -> SourceBatch:
        """Start the stream, where everything not yet copied or committed begins; the memory is handed over with it."""
        database, standing = self._database, self._standing
        stream.start(database.slot, database.publication, max(self._base.hi, standing.first_copy), confirmed=self._base.hi)
        tables = {name: standing.memory.tables[name] for name in self._targets}
        decoder = Decoder(self._targets, self._bases, self._zone, self._partition, database.look_up)
        decoder.copied = {name: copied.lsn for name, copied in tables.items()}
        decoder.shapes = {name: copied.shape for name, copied in tables.items()}
        decoder.oids = {copied.oid: self._targets[name] for name, copied in tables.items() if copied.oid}
        names = (database.slot, database.publication)
        watch = Watch(database.connect, *names, standing.memory, self._settings.heartbeat, self._targets)
        self._tail = Tail(self.name, self._partition, stream, decoder, watch, standing)
        stream.ask()
        return SourceBatch(self.name, memory=standing.memory.dump(), copying=standing.is_copying)

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """Only a position behind a commit, or behind nothing at all, moves the slot."""
        position = positions.get(self._partition)
        if position is not None and position.lo == 0 and self._tail is not None:
            self._stream_now.confirm(position.hi)

    def reached_end(self) -> bool:
        return self._tail is not None and self._tail.reached_end

    def progress(self) -> Progress:
        if self._copying is not None:
            return Progress("copying", self._copying.done, self._copying.total, detail=self._copying.detail)
        if self._tail is None:
            return Progress()
        return Progress("streaming" if self._tail.lag or self._standing.is_copying else "idle", lag_bytes=self._tail.lag)

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:  # noqa: ARG002
        """The tables' memory without "done"; what the log knows beside it stays."""
        names = list(self._targets) if table is None else [self._database.declared(table)]
        return {key: value for name in names for key, value in resync_memory(name).items()}

    def reread(self, letter: DeadLetter) -> DeadLetter:
        """A row that came without its key stays unreadable: what it lacks is in the source only."""
        remedy = f"copy its table again: `topline resync {letter.table}`"
        return replace(letter, reason=f"{letter.reason.partition('; ')[0]}; {remedy}")

    def close(self) -> None:
        for part in (self._stream, self._copying, self._tail):
            if part is not None:
                part.close()
        self._stream = self._copying = self._tail = None

    @property
    def _stream_now(self) -> Stream:
        if self._stream is None:
            raise TransientError(f"the source {self.name} is not open")
        return self._stream


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(f"zone: {name!r} is not an IANA time zone; write one such as Europe/Rome") from None
