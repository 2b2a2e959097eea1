"""The push source: gives out what waits in the inbox, whole requests at a time, and lets go of what the log has."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from zoneinfo import ZoneInfo

import pyarrow as pa

from topline.changes import DeadLetter, Position, SourceBatch, TableChanges
from topline.errors import ConfigError, SourceHalted, TransientError, WorkError
from topline.faults import point
from topline.sources.base import Context, Fault, Progress, Resume
from topline.sources.declared import strange_tables
from topline.sources.push import database
from topline.sources.push.batches import PARTITION, Shape, batch_of, slices
from topline.sources.push.inbox import Inbox
from topline.sources.push.intake import DELETED, Intake
from topline.sources.push.outlet import NOWHERE, Marks, Outlet
from topline.sources.push.reread import reread
from topline.sources.push.settings import PushSettings

_LOOK = 0.01  # seconds between two looks at the inbox while nothing comes; a look costs some microseconds
_FORGET_EVERY = 600.0  # seconds between two looks for expired Idempotency-Keys
_ACCEPTED = "accepted loss"  # memory: up to where a person said that what is gone may be missing


class PushSource:
    """One thread reads it; `check` stands alone. The API writes through `intakes`, in this process or another."""

    reads_anew = False  # what is in the log is gone from the inbox

    def __init__(self, context: Context, settings: PushSettings) -> None:
        self.name = context.name
        tables = {schema.name: schema for schema in context.tables.values()}
        self._shape = Shape(self.name, tables, ZoneInfo(settings.time_zone), context.state_dir)
        self._path = context.state_dir / database.FILE
        inbox = Inbox(self._path)
        self.intakes = [Intake(self.name, schema, settings, inbox) for schema in tables.values()]
        self._outlet = Outlet(self._path, self.name, settings.idempotency_hours * 3600)
        self._opened = False
        self._at = self._end = self._given = NOWHERE  # read up to; the end at `open`; given out, and to be let go of
        self._marks = Marks()
        self._rest: deque[SourceBatch] = deque()
        self._next_forget = 0.0

    def check(self) -> list[Fault]:
        folder = self._path.parent
        if not folder.exists() or (folder.is_dir() and not self._path.exists()):
            return []  # the first run makes it
        outlet = Outlet(self._path, self.name, 0)
        try:
            outlet.open()
            outlet.marks()
        except (TransientError, SourceHalted) as error:
            return [Fault(f"sources.{self.name}", str(error), f"give this user rights to {folder}, or mend what is named")]
        finally:
            outlet.close()
        return []

    def open(self, resume: Resume) -> None:
        self.close()
        self._outlet.open()
        self._at = resume.positions.get(PARTITION, NOWHERE)
        self._outlet.begin_above(self._at)
        self._marks = self._outlet.marks()
        self._require_no_gap(resume)
        self._end, self._given = self._marks.end, NOWHERE
        self._outlet.let_go(self._at)  # acknowledged by a process that ended before it could let go
        self._opened, self._next_forget = True, 0.0

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        """While what was given out is not let go of, it waits for one look: the sender soon hears that it is in the log."""
        owed = self._marks.gone < self._given
        deadline = time.monotonic() + (min(timeout, _LOOK) if owed else timeout)
        while self._opened and (batch := self._next(max_rows)) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(left, _LOOK))
        return batch if self._opened else None

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        if self._opened and PARTITION in positions:
            point("inbox:before-letting-go")
            self._outlet.let_go(positions[PARTITION])
            point("inbox:let-go")

    def reached_end(self) -> bool:
        return not self._rest and self._at >= self._end

    def progress(self) -> Progress:
        waiting = self._marks.end > self._at
        detail = f"{self._marks.rows} records wait in the inbox" if self._marks.rows else ""
        return Progress("streaming" if waiting else "idle", lag_bytes=self._marks.bytes, detail=detail)

    def current(self, table: str) -> Iterator[pa.Table]:
        raise WorkError(f"{self.name}.{table} cannot be listed: what was sent is gone from the inbox once it is in the log")

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:  # noqa: ARG002
        """Nothing can be read anew. Where rows are missing that the log once had, the source goes on without them."""
        self._outlet.open()
        try:
            return {_ACCEPTED: _written(self._outlet.marks().gone)}
        finally:
            self._outlet.close()

    def reread(self, letter: DeadLetter) -> TableChanges | DeadLetter:
        [intake] = [intake for intake in self.intakes if intake.name == letter.table]
        return reread(letter, intake, self._shape.state_dir)

    def close(self) -> None:
        self._opened = False
        self._rest.clear()
        self._outlet.close()

    def _next(self, max_rows: int) -> SourceBatch | None:
        if self._rest:
            return self._rest.popleft()
        self._marks = self._outlet.marks()
        if self._marks.end <= self._at:
            self._forget()
            return None
        requests = self._outlet.after(self._at, max_rows)
        if not requests:
            self._at = self._marks.end
            return None
        self._at = self._given = requests[-1].at
        self._rest.extend(slices(batch_of(requests, self._shape), max_rows))
        return self._rest.popleft()

    def _forget(self) -> None:
        if time.monotonic() >= self._next_forget:
            self._outlet.forget_answers(list(self._shape.tables))
            self._next_forget = time.monotonic() + _FORGET_EVERY

    def _require_no_gap(self, resume: Resume) -> None:
        """SourceHalted where the inbox let go of rows that this log does not have: an older log, or another one."""
        gone = self._marks.gone
        if gone <= self._at or resume.memory.get(_ACCEPTED) == _written(gone):
            return
        raise SourceHalted(
            f"the log has what was sent to {self.name} up to {_shown(self._at)}, but the inbox has let go of all up to "
            f"{_shown(gone)}: the log is older than the inbox, or new. Restore the log that belongs to it, or run "
            f"`topline resync {self.name}` to go on without those rows (have them sent again)"
        )


def _written(position: Position) -> bytes:
    return f"{position.hi}/{position.lo}".encode()


def _shown(position: Position) -> str:
    return f"number {position.lo}" if position.lo else "nothing"


def create(context: Context, settings: PushSettings) -> PushSource:
    """The source, from its declared tables. ConfigError lists every fault of their declarations."""
    faults = list(strange_tables(context.tables, settings.tables))
    for name, schema in context.tables.items():
        if not schema.key:
            faults.append(f"tables.{name}: no key is declared; name its columns")
        if DELETED in schema.names:
            faults.append(f"tables.{name}: the column {DELETED} is declared, but a sent row says by that field that it is gone")
    if faults:
        raise ConfigError("\n".join(faults))
    return PushSource(context, settings)


def intakes(sources: Iterable[object]) -> list[Intake]:
    """The tables of those sources that are of this kind."""
    return [intake for source in sources if isinstance(source, PushSource) for intake in source.intakes]
