"""The pulled source: asks each table's feed in turn, once it is due, and hands on what changed, with what to remember."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from topline.changes import DeadLetter, Position, SourceBatch, TableChanges
from topline.errors import StateError
from topline.sources import spill
from topline.sources.base import Context, Fault, Progress, Resume
from topline.sources.polled.feed import Feed
from topline.sources.polled.memory import TableMemory, Ways, forgotten, stands
from topline.sources.polled.poll import Draft, Poll
from topline.sources.polled.records import TableShape
from topline.sources.polled.settings import PolledSettings, PolledTable
from topline.sources.polled.state import TableState

_REST = 0.02  # seconds between two looks at what is due


@dataclass(slots=True)
class _Table:
    """A table between `open` and `close`."""

    name: str
    shape: TableShape
    feed: Feed
    memory: TableMemory
    due: float = 0.0
    compare_due: float = 0.0
    compared: bool = True  # the last poll did: a list comes between two comparisons
    strangers: frozenset[str] = frozenset()  # keys that a comparison found and no poll had given yet
    never: frozenset[str] = frozenset()  # those of them that a whole list did not give either
    poll: Poll | None = None
    drafts: Iterator[Draft] | None = None

    @property
    def comparing(self) -> bool:
        return self.shape.settings.compare_every is not None

    def note_strangers(self, poll: Poll) -> None:
        """Rows that the cursor passed over: keys that a comparison found, and the poll after it did not give. Then all is
        listed, once: a key whose row cannot be read stays strange."""
        left = frozenset(key for key in self.strangers if key not in self.memory.known) - self.never
        if poll.strangers is not None:
            self.strangers, self.never = poll.strangers - self.never, self.never & poll.strangers
        elif poll.whole:
            self.strangers, self.never = frozenset(), self.never | left
        else:
            self.strangers = left
            self.memory.state.cursor = None if left else self.memory.state.cursor


class PolledSource:
    """One thread runs it; `check`, `current`, `resync` and `reread` stand alone."""

    def __init__(
        self, context: Context, settings: PolledSettings, tables: Mapping[str, PolledTable], feed: Callable[[str], Feed]
    ) -> None:
        """`feed` makes the feed of a table, by its short name."""
        self.name = context.name
        self._settings, self._feed = settings, feed
        self._shapes = {
            name: TableShape(schema, tables[name], settings.tz, context.state_dir) for name, schema in context.tables.items()
        }
        self._tables: list[_Table] = []
        self._issued: dict[str, int] = {}  # poll numbers that were handed out; they outlive an opening
        self._begun: dict[str, int] = {}  # how many polls were begun before a table's last one; they outlive an opening too
        self._waited: set[str] = set()  # tables that were not polled whole since `open`
        self._records = 0

    def check(self) -> list[Fault]:
        faults: list[Fault] = []
        for name in self._shapes:
            feed = self._feed(name)
            try:
                faults += feed.check()
            finally:
                feed.close()
        return faults

    def open(self, resume: Resume) -> None:
        self.close()
        self._tables = [self._table(name, shape, resume) for name, shape in self._shapes.items()]
        self._waited = set(self._shapes)

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        deadline = time.monotonic() + timeout
        while self._tables:
            table = self._at_work()
            if table is not None and (batch := self._step(table, max_rows)) is not None:
                return batch
            if (left := deadline - time.monotonic()) <= 0:
                break
            if table is None:
                time.sleep(min(left, _REST))
        return None

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """The origin keeps its rows: nothing to let go of."""

    def reached_end(self) -> bool:
        return not self._waited

    def progress(self) -> Progress:
        loading = [table.name for table in self._tables if not table.memory.state.loaded]
        polling = [table.name for table in self._tables if table.poll is not None]
        return Progress(
            phase="copying" if loading else "streaming" if polling else "idle",
            done=self._records,
            detail=f"asking for {', '.join(polling)}" if polling else self._resting(),
        )

    def current(self, table: str) -> Iterator[pa.Table]:
        shape, feed = self._shapes[table], self._feed(table)
        rows: dict[str, dict[str, object]] = {}
        try:
            for page in feed.pages(None):
                found, _ = shape.read(page.records)
                for key, row, print_ in zip(found.keys, found.rows.to_pylist(), found.prints, strict=True):
                    rows.pop(key, None) if print_ is None else rows.update({key: row})
        finally:
            feed.close()
        if rows:
            yield pa.Table.from_pylist(list(rows.values()), schema=shape.schema.arrow)

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:
        memory: dict[str, bytes | None] = {}
        for name in self._shapes if table is None else (table,):
            poll = TableState.load(resume.memory, name).poll
            number = self._issued[name] = max(poll, self._issued.get(name, 0), stands(resume, name)) + 1
            memory |= forgotten(name, resume, number)
        return memory

    def reread(self, letter: DeadLetter) -> TableChanges | DeadLetter:
        name = letter.table.partition(".")[2]
        shape, feed = self._shapes[name], self._feed(name)
        try:
            record = feed.reread(b"".join(spill.original(letter.raw, shape.state_dir)))
        except (StateError, ValueError) as error:
            return replace(letter, reason=str(error))
        finally:
            feed.close()
        rows, unreadable = shape.read([record])
        if unreadable:
            return replace(letter, reason=unreadable[0].reason)
        hi, lo = (np.array([number], np.int64) for number in letter.position)
        return TableChanges(letter.table, letter.partition, rows.rows, rows.ops, hi, lo)

    def close(self) -> None:
        tables, self._tables = self._tables, []
        for table in tables:
            with suppress(Exception):
                table.feed.close()

    def _table(self, name: str, shape: TableShape, resume: Resume) -> _Table:
        feed = self._feed(name)
        ways = Ways.of(shape, feed.incremental)
        return _Table(name, shape, feed, TableMemory.load(name, resume, ways, self._issued.get(name, 0)))

    def _at_work(self) -> _Table | None:
        """The table whose poll is under way, or the one that is due longest; of those, the one that was asked longest ago: a
        table that always fails lets the others go on."""
        for table in self._tables:
            if table.poll is not None:
                return table
        due = min(self._tables, key=lambda table: (table.due, self._begun.get(table.name, 0)))
        if due.due > time.monotonic():
            return None
        self._begin(due)
        return due

    def _begin(self, table: _Table) -> None:
        self._begun[table.name] = max(self._begun.values(), default=0) + 1
        number = max(table.memory.state.poll, self._issued.get(table.name, 0)) + 1
        table.poll = Poll(table.shape, table.feed, table.memory, number)
        table.compared = table.comparing and not table.compared and table.compare_due <= time.monotonic()
        table.drafts = table.poll.compares() if table.compared else table.poll.lists()

    def _step(self, table: _Table, max_rows: int) -> SourceBatch | None:
        assert table.poll is not None
        assert table.drafts is not None
        table.poll.max_rows = max_rows
        before = table.poll.tally.records
        draft = next(table.drafts, None)
        self._records += table.poll.tally.records - before
        poll = table.poll
        if draft is None:
            self._end(table)
        return self._batch(table, poll, draft or Draft())

    def _end(self, table: _Table) -> None:
        """The poll is over: everything that it saw was handed on."""
        poll, now = table.poll, time.monotonic()
        assert poll is not None
        table.poll = table.drafts = None
        table.memory.state.loaded = True
        table.note_strangers(poll)
        if poll.whole and table.comparing:
            table.compare_due = now + (table.shape.settings.compare_every or 0)
        # What went or was passed over while nobody looked is found before the table counts as read.
        unseen = table.comparing and (table.compare_due <= now or bool(table.strangers))
        unsure = table.memory.state.sweeps_next or bool(table.memory.missed)
        looks_on = table.name in self._waited and (unseen or unsure)
        table.due = now if looks_on else now + self._settings.every
        if not looks_on:
            self._waited.discard(table.name)

    def _batch(self, table: _Table, poll: Poll, draft: Draft) -> SourceBatch | None:
        """The draft with the position and the memory that it leads to; None where nothing changed at all."""
        positions: dict[str, Position] = {}
        if draft.parts or draft.letters:
            assert poll.position is not None
            table.memory.state.poll = self._issued[table.name] = poll.position.hi
            positions[table.name] = poll.position
        memory = table.memory.changes()
        if not (positions or memory):
            return None
        copying = not all(one.memory.state.loaded for one in self._tables)
        return SourceBatch(self.name, draft.parts, positions, draft.letters, memory, copying=copying, time=poll.started)

    def _resting(self) -> str:
        if not self._tables:
            return ""
        seconds = max(0.0, min(table.due for table in self._tables) - time.monotonic())
        listed = [table for table in self._tables if table.comparing or not table.feed.incremental]
        unclean = [table.name for table in listed if len(table.memory.letters)]
        kept = f"; {', '.join(unclean)} has records that cannot be read, so nothing is retracted" if unclean else ""
        return f"next look in {seconds:.0f} s{kept}"
