"""The source: copies first, then the stream; what it must remember travels in its batches."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

from topline.changes import DeadLetter, Position, SourceBatch
from topline.errors import ConfigError, TransientError
from topline.faults import point
from topline.sources.base import Context, Fault, Progress, Resume
from topline.sources.postgres.catalog import Catalog
from topline.sources.postgres.copying import Copying
from topline.sources.postgres.database import Database
from topline.sources.postgres.decoder import Decoder
from topline.sources.postgres.memory import Memory, resync_memory
from topline.sources.postgres.opening import Opening
from topline.sources.postgres.settings import Settings
from topline.sources.postgres.snapshot import Copier
from topline.sources.postgres.stream import Stream
from topline.sources.postgres.tables import targets
from topline.sources.postgres.watch import Watch


class PostgresSource:
    """Log-based capture from one PostgreSQL database. See docs/sources/postgres.md for what it guarantees."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self.name = context.name
        self._settings = settings
        self._targets = targets(context.name, context.tables, settings)
        self._zone = _zone(settings.zone)
        self._database = Database(context.name, settings, self._targets, self._zone)
        self._stream: Stream | None = None
        self._copying: Copying | None = None
        self._watch: Watch | None = None

    def check(self) -> list[Fault]:
        return self._database.check()

    def current(self, table: str) -> Iterator[pa.Table]:
        """`table` with or without the source's name. ConfigError when it is not declared."""
        return self._database.current(table)

    def open(self, resume: Resume) -> None:
        """Publication and slot are made or checked; a snapshot is taken for the tables that must be copied."""
        self.close()
        memory = Memory.load(resume.memory)
        found = self._database.prepare(memory.done)
        self._end = found.end
        self._start(found.catalog, memory, resume, set(found.added))

    def _start(self, found: Catalog, memory: Memory, resume: Resume, added: set[str]) -> None:
        self._stream = Stream(self._database.replication_conninfo, self._settings.silence)
        self._database.before = self._stream.session()
        opening = Opening(self.name, self._database.slot, self._targets, found, memory, resume)
        plan = opening.plan(self._stream.identify(), added)
        self._memory, self._partition = plan.memory, plan.partition
        self._decoder = Decoder(self._targets, found.bases, self._zone, self._partition, self._database.look_up)
        self._base, self._passed, self._server_end = plan.position, plan.position.hi, self._end
        self._bases, self._streaming, self._announced = found.bases, False, False
        if plan.pending:
            slot = opening.make_slot(self._stream, plan)
            point("copy:slot-made")
            copier = Copier(self._database.conninfo, slot.snapshot, found.bases, self._zone, self._settings.silence)
            if plan.temporary:
                self._stream.drop_slot(plan.temporary)
            self._base = opening.base(plan, slot)
            self._copying = Copying(copier, plan, slot.lsn, self._targets, self._settings.copy_rows, found)

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        stream = self._stream_now
        if self._copying is not None and (batch := self._copied()) is not None:
            return batch
        if not self._streaming:
            return self._begin(stream)
        return self._streamed(stream, max_rows, timeout)

    def _copied(self) -> SourceBatch | None:
        assert self._copying is not None
        if (step := next(self._copying.steps, None)) is None:
            self._copying.close()
            self._copying = None
            point("copy:all-read")
            return None
        self._memory = self._memory.with_table(step.table, step.copied)
        return SourceBatch(self.name, parts=step.parts, memory=self._memory.dump(), copying=True)

    def _begin(self, stream: Stream) -> SourceBatch:
        """Start the stream, where everything not yet copied or committed begins; the memory is handed over with it."""
        start = max([self._base.hi, min((self._memory.tables[name].lsn for name in self._targets), default=0)])
        stream.start(self._database.slot, self._database.publication, start, confirmed=self._base.hi)
        self._decoder.copied = {name: self._memory.tables[name].lsn for name in self._targets}
        self._decoder.shapes = {name: self._memory.tables[name].shape for name in self._targets}
        names = (self._database.slot, self._database.publication)
        self._watch = Watch(self._database.connect, *names, self._memory, self._settings.heartbeat, self._targets)
        self._streaming = True
        stream.ask()
        return SourceBatch(self.name, memory=self._memory.dump(), copying=self._is_copying)

    def _streamed(self, stream: Stream, max_rows: int, timeout: float) -> SourceBatch | None:
        self._keep_watch()
        collected = stream.collect(max(max_rows, 1), timeout)
        if collected is None:
            if self._waited_for:
                stream.ask()
            return None
        if collected.messages:
            point("stream:collected")
            decoded = self._decoder.decode(collected.messages)
            point("stream:decoded")
            batch = SourceBatch(
                self.name,
                parts=decoded.parts,
                positions={self._partition: decoded.position},
                dead_letters=decoded.letters,
                complete=collected.complete,
                time=decoded.time,
            )
            return self._passing(batch, decoded.position.hi if collected.complete else self._passed)
        return self._idle(collected.end or 0)

    def _idle(self, end: int) -> SourceBatch | None:
        """The server has nothing more up to `end`. Said onwards when somebody waits for it, else once a heartbeat."""
        if self._decoder.in_transaction or end <= self._passed:
            return None
        if not self._waited_for and self._watch is not None and not self._watch.may_advance():
            return None
        return self._passing(SourceBatch(self.name, positions={self._partition: Position(end, 0)}), end)

    @property
    def _waited_for(self) -> bool:
        """True while somebody waits for the stream to pass a point: the end at `open`, or the last copy."""
        return self._is_copying or self._passed < self._end

    def _passing(self, batch: SourceBatch, passed: int) -> SourceBatch:
        """`batch`, with its place against the copies: the first that passes the last of them makes all consistent."""
        was_copying = self._is_copying
        self._passed = max(self._passed, passed)
        if was_copying and self._passed >= self._last_copy:
            self._memory = replace(self._memory, consistent=self._last_copy)
            point("copy:passed")
            return replace(batch, memory=self._memory.dump())
        if self._watch is not None and self._watch.news:
            self._memory, self._watch.news = self._memory.grown(self._watch.news), {}
            batch = replace(batch, memory=self._memory.dump())
        return replace(batch, copying=was_copying)

    @property
    def _last_copy(self) -> int:
        return max((copied.lsn for name, copied in self._memory.tables.items() if name in self._targets), default=0)

    @property
    def _is_copying(self) -> bool:
        return self._memory.consistent < self._last_copy or self._copying is not None

    def _keep_watch(self) -> None:
        if self._watch is not None and self._watch.due():
            self._server_end = self._watch.look(self._passed)
            self._stream_now.ask()

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """Only a position behind a commit, or behind nothing at all, moves the slot."""
        position = positions.get(self._partition)
        if position is not None and position.lo == 0 and self._streaming:
            self._stream_now.confirm(position.hi)

    def reached_end(self) -> bool:
        return self._streaming and not self._is_copying and self._passed >= self._end and not self._decoder.in_transaction

    def progress(self) -> Progress:
        if self._stream is None:
            return Progress()
        if self._copying is not None:
            return Progress("copying", self._copying.done, self._copying.total, detail=self._copying.detail)
        lag = max(self._server_end - self._passed, 0)
        return Progress("streaming" if lag or self._is_copying else "idle", lag_bytes=lag)

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:  # noqa: ARG002
        """The tables' memory without "done"; what the log knows beside it stays."""
        names = list(self._targets) if table is None else [self._database.declared(table)]
        return {key: value for name in names for key, value in resync_memory(name).items()}

    def reread(self, letter: DeadLetter) -> DeadLetter:
        """A row that came without its key stays unreadable: what it lacks is in the source only."""
        remedy = f"copy its table again: `topline resync {letter.table}`"
        return replace(letter, reason=f"{letter.reason.partition('; ')[0]}; {remedy}")

    def close(self) -> None:
        for part in (self._stream, self._copying, self._watch):
            if part is not None:
                part.close()
        self._stream = self._copying = self._watch = None

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
