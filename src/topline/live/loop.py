"""The engine: reads every source, folds what is new, commits it to the log, and hands changed rows to PostgreSQL."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from topline.changes import Position, SchemaChange, SourceBatch, Sweep, TableChanges
from topline.errors import SourceHalted
from topline.faults import point
from topline.live.admission import Admission, Large, joined
from topline.live.checkpoint import Checkpoints
from topline.live.dataflow import Applied, Dataflow
from topline.live.holds import Holds, fits
from topline.live.marks import Marks
from topline.live.publication import Publication
from topline.log import LetterState, Log, LogEntry
from topline.models.plan import ProjectPlan
from topline.sources.reader import Readers

REJECTED = "rejected_sales"
_IDLE, _BUSY = 0.05, 0.002  # seconds that a turn waits for changes: with nothing else to do, and with publishing under way
_SPARING = 5  # in a backlog, publishing may take one part in so many of the time: rows dirty twice are published once
_SPARING_OF_OLD = 20  # ... while sources give what stood there when they were opened, if that is no longer wait than:
_OLD_WAITS = 30.0  # seconds
_PATIENCE = 15.0  # seconds that stopping waits for the results database
_SILENT = 2.0  # ... where it does not answer: the log keeps what it lacks
Positions = dict[str, dict[str, Position]]


@dataclass
class Counts:
    """What the engine did since it started. Times are seconds since the epoch (UTC)."""

    batches: int = 0
    rows_read: int = 0
    by_source: Counter[str] = field(default_factory=Counter)
    letters_by_source: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.time)

    @property
    def changes(self) -> int:
        return self.by_source.total()

    @property
    def dead_letters(self) -> int:
        return self.letters_by_source.total()


@dataclass
class Machinery:
    """The pieces that the loop turns; assembled by `topline.live.start`."""

    plan: ProjectPlan
    log: Log
    dataflow: Dataflow
    readers: Readers
    publication: Publication
    checkpoints: Checkpoints
    batch_rows: int
    publish_interval: float
    state_dir: Path
    rebuild: Callable[[], Dataflow]

    def start_anew(self) -> None:
        """The state as the log has it, without a transaction that is half in."""
        self.log.discard_unfinished()
        self.dataflow.close()
        self.dataflow = self.rebuild()
        self.publication.follow(self.dataflow)
        self.checkpoints.follow(self.dataflow)


@dataclass
class _SortedOut:
    """A batch's parts: those to fold, those of held tables, which are only kept, and the tables that are held no more."""

    folded: list[TableChanges | Sweep] = field(default_factory=list)
    kept: list[TableChanges | Sweep] = field(default_factory=list)
    released: set[str] = field(default_factory=set)


class _Refused(SourceHalted):
    """`reasons`: source -> why its rows cannot be taken. Nothing of the batches was applied."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("\n".join(reasons.values()))
        self.reasons = reasons


class Engine:
    def __init__(self, machinery: Machinery, holds: Holds) -> None:
        self.machinery = machinery
        self.holds = holds
        self.counts = Counts()
        self.source_times: dict[str, datetime] = dict(machinery.log.source_times())
        self.resyncs: set[str] = set()  # tables that must be read anew; carried out between two turns
        self._positions: Positions = machinery.log.positions()
        self._admission = Admission(self._positions, machinery.batch_rows, machinery.state_dir)
        self._large: Large | None = None
        self._stop: Callable[[], bool] = _never
        self._cut_off = False  # amid a large transaction: the state is of no epoch
        self._marks = Marks(machinery.log)
        holds.copying |= self._marks.copying
        self._marks.add_stale(machinery.dataflow.halted)
        self._last_publish = 0.0
        self._told = -1  # the epoch that was last handed to the publication

    def run(self, stop: Callable[[], bool], each_turn: Callable[[], None], *, until_idle: bool = False) -> None:
        """Turn until `stop()`; with `until_idle` until all that the sources held at the start is folded. Then drain."""
        self._stop = stop
        self.machinery.readers.start()
        each_turn()
        while not stop() and not (until_idle and self.machinery.readers.reached_end):
            self.turn(timeout=_IDLE if self.caught_up() else _BUSY)
            each_turn()
        self.machinery.readers.stop()
        if self._cut_off:
            return
        self._drain(*((stop, _PATIENCE) if until_idle else (_after(_PATIENCE), _SILENT)))
        self.machinery.checkpoints.save()

    def turn(self, timeout: float) -> bool:
        """One turn: a batch, where there is one, and the publishing that is due. True when something was folded."""
        batches = self._collect(timeout)
        if batches:
            point("engine:taken")
            self._fold_bearable(batches)
        large, self._large = self._large, None
        if large is not None:
            self._fold_large(large)
        if self._cut_off:
            return True
        self._publish(backlog=self.behind())
        self.machinery.checkpoints.after_turn()
        return bool(batches or large)

    def behind(self) -> bool:
        """More waits than passes at once. From any thread."""
        return self.machinery.readers.queued_rows >= self.machinery.batch_rows // 10

    def caught_up(self) -> bool:
        """Everything that may be published is."""
        publication = self.machinery.publication
        held = self.holds.held_models()
        return (
            self.machinery.readers.queued() == 0 and not publication.busy and not publication.dirty(held) and self._epoch_told()
        )

    def rejected(self) -> int:
        """Rows of the model `rejected_sales`, where the project has one."""
        model = self.machinery.plan.models.get(REJECTED)
        return self.machinery.dataflow.count(REJECTED) if model is not None and model.published else 0

    def _drain(self, give_up: Callable[[], bool], patience: float) -> None:
        """Publish what is folded; gives up on a results database that does not answer for long."""
        while not self.caught_up() and not give_up() and self.machinery.publication.failing_for < patience:
            self._publish(backlog=False)
            time.sleep(_BUSY)

    def _fold_bearable(self, batches: list[SourceBatch]) -> None:
        """Fold. A source whose rows no table can take (a NULL key, a value out of range) halts, and the others go on."""
        while batches:
            try:
                self.fold(batches)
                return
            except _Refused as refused:
                self._refuse(refused)
                batches = [batch for batch in batches if batch.source not in refused.reasons]

    def _fold_large(self, large: Large) -> None:
        """Part by part, so that memory stays bounded: each is an epoch that nobody sees, until the last completes them.

        What goes wrong amid them is undone: the state is made anew from the log, which forgets the parts. So it is where a
        model halted, for what it met may have stood amid the transaction only.
        """
        held = dict(self.holds.models)
        try:
            for batch in large.batches:
                if self._stop():
                    self._cut_off = True
                    return
                self.fold([batch])
        except _Refused as refused:
            self._refuse(refused)
            self._start_anew(held)
        else:
            if self.holds.models != held:
                self._start_anew(held)

    def _start_anew(self, held: dict[str, str]) -> None:
        """`held`: the models that stood still before. What a model that goes on again missed, it is published whole for."""
        self.machinery.start_anew()
        halted, self.holds.models = set(self.holds.models), held
        self.holds.halt(self.machinery.dataflow.halted)
        for model in halted - set(self.holds.models):
            if self.machinery.plan.models[model].published:
                self.machinery.publication.note_whole(model)

    def _refuse(self, refused: "_Refused") -> None:
        for source, reason in refused.reasons.items():
            self.machinery.readers[source].refuse(reason)
            self._admission.forget(source, self._positions.get(source, {}))
        if self._large is not None and self._large.source in refused.reasons:
            self._large = None

    def fold(self, batches: list[SourceBatch], letters: Mapping[int, LetterState] | None = None) -> None:
        """Make a batch durable. The order is what exactness rests on:

        1. what is at or below a committed position was dropped (`Admission`)
        2. the dataflow resolves the changes and folds them, in memory
        3. changes, positions, memory, dead letters and dirty keys are committed to the log in one transaction
        4. the sources are told that they may let go
        5. the changed rows wait for the publishing transaction

        A failure between 2 and 3 ends the process: memory is a cache, and the log never saw the batch.
        SourceHalted when a table cannot take a row: then nothing was applied.
        """
        applied, sorted_out = self._apply(batches)
        point("engine:folded")
        self._marks.add_stale(applied.halted)
        self._marks.begin_copies(batches)
        self.source_times |= {batch.source: batch.time for batch in batches if batch.time is not None}
        entry = self._entry(batches, applied, sorted_out)
        self.machinery.log.append(replace(entry, letters=letters or {}))
        point("engine:logged")
        self._marks.end_copies(batches)
        for batch in batches:
            self._positions.setdefault(batch.source, {}).update(batch.positions)
            if batch.complete:
                self.machinery.readers.acknowledge(batch.source, batch.positions)
        self._after(batches, applied)

    def _apply(self, batches: list[SourceBatch]) -> tuple[Applied, "_SortedOut"]:
        held, copying = dict(self.holds.tables), set(self.holds.copying)
        sorted_out = self._sort_out(batches)
        try:
            return self.machinery.dataflow.apply(sorted_out.folded), sorted_out
        except SourceHalted as error:
            self.holds.tables, self.holds.copying = held, copying
            culprits = _culprits(self.machinery.dataflow, sorted_out.folded)
            raise _Refused(culprits or dict.fromkeys({b.source for b in batches}, str(error))) from error

    def _collect(self, timeout: float) -> list[SourceBatch]:
        """What waits in the queues: one change at once when there is no more, up to `batch_rows` when there is."""
        admitted: list[SourceBatch] = []
        rows = 0
        wait = timeout
        while rows < self.machinery.batch_rows and self._large is None:
            batch = self.machinery.readers.get(wait)
            if batch is None:
                break
            wait = 0.0
            rows += len(batch)
            new = self._admission.admit(batch)
            self._large = self._admission.take_large()
            if new is not None:
                admitted.append(new)
            elif self._large is None:
                self.machinery.readers.acknowledge(batch.source, {})
        return admitted

    def _sort_out(self, batches: list[SourceBatch]) -> "_SortedOut":
        sorted_out = _SortedOut()
        for batch in batches:
            (self.holds.copying.add if batch.copying else self.holds.copying.discard)(batch.source)
            for part in batch.parts:
                if isinstance(part, SchemaChange):
                    self._change_schema(part, sorted_out, whole=batch.complete)
                elif part.table not in self.machinery.plan.tables:
                    continue
                elif self.holds.is_held(part.table):
                    sorted_out.kept.append(part)
                else:
                    sorted_out.folded.append(part)
        sorted_out.folded = joined(sorted_out.folded)
        return sorted_out

    def _change_schema(self, change: SchemaChange, sorted_out: "_SortedOut", *, whole: bool) -> None:
        """A table that models can no longer bear is held. One that they can bear again brings what was kept of it, or is
        read anew: where what was kept lacks a column (what stood there, nobody told), and amid a large transaction."""
        log, table = self.machinery.log, change.table
        if self.holds.change(change):
            kept = [*log.held(table), *(part for part in sorted_out.kept if part.table == table)]
            if not whole or not fits(self.machinery.plan.tables[table], kept):
                self.holds.tables[table] = f"table {table} is as the models want it again, and is read anew"
                self.resyncs.add(table)
                return
            sorted_out.kept = [part for part in sorted_out.kept if part.table != table]
            sorted_out.folded += kept
            sorted_out.released.add(table)
        elif table in self.holds.tables:
            log.hold(table, self.holds.tables[table])

    def _entry(self, batches: list[SourceBatch], applied: Applied, sorted_out: "_SortedOut") -> LogEntry:
        positions: Positions = {}
        memory: dict[str, dict[str, bytes | None]] = {}
        replaced: dict[str, dict[str, int]] = {}
        for batch in batches:
            replaced.setdefault(batch.source, {}).update(batch.replaced)
            positions.setdefault(batch.source, {}).update(batch.positions)
            memory.setdefault(batch.source, {}).update(batch.memory)
        return LogEntry(
            changes=[*applied.resolved, *sorted_out.kept],
            positions=positions,
            memory=memory,
            dead_letters=[(batch.source, letter) for batch in batches for letter in batch.dead_letters],
            replaced=replaced,
            dirty=applied.dirty,
            source_times={b.source: self.source_times[b.source] for b in batches if b.source in self.source_times},
            held=frozenset(part.table for part in sorted_out.kept),
            released=frozenset(sorted_out.released),
            complete=all(batch.complete for batch in batches),
        )

    def _after(self, batches: list[SourceBatch], applied: Applied) -> None:
        self.counts.batches += 1
        for batch in batches:
            self.counts.by_source[batch.source] += len(batch)
            self.counts.letters_by_source[batch.source] += len(batch.dead_letters)
        self.counts.rows_read += applied.rows_read
        self.holds.halt(applied.halted)
        self.machinery.publication.note(applied.dirty)

    def _publish(self, *, backlog: bool) -> None:
        publication = self.machinery.publication
        publication.settle(self._published, lambda model, reason: self.holds.halt({model: reason}))
        rest = _rest(publication.last_seconds, old=not self.machinery.readers.reached_end)
        due = time.monotonic() - self._last_publish >= max(self.machinery.publish_interval, rest)
        held = self.holds.held_models()
        if publication.busy or (backlog and not due) or (not publication.dirty(held) and self._epoch_told()):
            return
        self._told = self.machinery.log.epoch
        publication.offer(self._told, self.source_times, self._positions, held)
        self._last_publish = time.monotonic()

    def _epoch_told(self) -> bool:
        """PostgreSQL knows the log's epoch, or will with the transaction under way (a batch may change no result)."""
        return self._told == self.machinery.log.epoch

    def _published(self, epoch: int, models: list[str]) -> None:
        point("publish:before-note")
        self.machinery.log.mark_published(epoch, models)
        point("publish:noted")
        self._marks.drop_stale(models)


def _culprits(dataflow: Dataflow, parts: Sequence[TableChanges | Sweep]) -> dict[str, str]:
    """The sources, each with its reason, whose parts cannot be taken."""
    reasons: dict[str, str] = {}
    for source in {part.table.partition(".")[0] for part in parts}:
        try:
            dataflow.check([part for part in parts if part.table.partition(".")[0] == source])
        except SourceHalted as error:
            reasons[source] = str(error)
    return reasons


def _rest(cost: float, *, old: bool) -> float:
    """Seconds between two publishing transactions of a backlog, the last of which took `cost`; `old`: of sales from before."""
    return max(_SPARING * cost, min(_SPARING_OF_OLD * cost, _OLD_WAITS) if old else 0.0)


def _never() -> bool:
    return False


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
