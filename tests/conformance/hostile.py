"""A source that keeps the standard, over a list in memory, and breaks it in one chosen way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto

import numpy as np
import pyarrow as pa

from tests.conformance.origin import TABLE, Origin
from topline.changes import DELETE, UPSERT, DeadLetter, Part, Position, SourceBatch, Sweep, TableChanges
from topline.errors import TransientError
from topline.sources.base import Fault, Progress, Resume, Source

PARTITION = "list"


class Sin(StrEnum):
    """What a hostile source does wrong."""

    NONE = auto()
    SKIPS_AFTER_RESUME = auto()
    DOUBLES_WITH_NEW_POSITIONS = auto()
    LOSES_THE_LAST_ROW = auto()
    SPLITS_A_TRANSACTION = auto()
    EMITS_AFTER_CLOSE = auto()
    POSITIONS_GO_BACK = auto()
    STANDS_BEFORE_ITS_CHANGES = auto()
    FORGETS_DELETES = auto()
    ENDS_TOO_EARLY = auto()
    LETS_GO_WHEN_READ = auto()
    SWALLOWS_FAILURES = auto()
    MANGLES_LETTERS = auto()
    DROPS_NEIGHBOURS = auto()
    GIVES_A_ROW_WITHOUT_KEY = auto()
    GIVES_OTHER_TYPES = auto()
    SHOWS_STALE_ROWS = auto()
    SECOND_CLOSE_RAISES = auto()
    RESYNC_RETRACTS_NOTHING = auto()
    SKIPS_SMALL_BATCHES = auto()
    CHECK_SEES_GHOSTS = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: a row, a deleted key (gone), or an unreadable record (raw)."""

    key: str
    value: str | None = None
    gone: bool = False
    raw: bytes | None = None


@dataclass
class ListOrigin(Origin):
    """Transactions in a list; the position is (number of the transaction, place in it), both from 1."""

    sin: Sin = Sin.NONE
    log: list[list[Entry]] = field(default_factory=list)
    reachable: bool = True
    let_go: int = 0

    def source(self) -> Source:
        return HostileSource(self, self.sin)

    def put(self, rows: Mapping[str, str | None]) -> None:
        self.log.append([Entry(key, value) for key, value in rows.items()])

    def delete(self, ids: Sequence[str]) -> None:
        self.log.append([Entry(key, gone=True) for key in ids])

    def interrupt(self) -> None:
        self.reachable = False

    def mend(self) -> None:
        self.reachable = True

    def corrupt(self, good: Mapping[str, str | None]) -> bytes:
        first, *others = [Entry(key, value) for key, value in good.items()]
        raw = b"\xff\x00 unreadable"
        self.log.append([first, Entry("", raw=raw), *others])
        return raw


class HostileSource:
    def __init__(self, origin: ListOrigin, sin: Sin) -> None:
        self.name = "origin"
        self._origin, self._sin = origin, sin
        self._at, self._end, self._closes = Position(0, 0), 0, 0
        self._open, self._place = False, (0, 0)  # `_place`: (transaction, how many of its rows were read)
        self._sweep_below = 0

    def check(self) -> list[Fault]:
        ghost = [Fault("origin", "a ghost")] if self._sin is Sin.CHECK_SEES_GHOSTS else []
        return ghost if self._origin.reachable else [Fault("origin", "not reachable")]

    def open(self, resume: Resume) -> None:
        self._reach()
        self._at = resume.positions.get(PARTITION, Position(0, 0))
        self._anew = "anew" in resume.memory
        if self._anew:
            self._at = Position(0, 0)
        if self._sin is Sin.SKIPS_AFTER_RESUME and self._at > (0, 0):
            self._at = self._next_place(self._at)
        self._generation = self._number(resume)
        self._late = self._sin is Sin.DOUBLES_WITH_NEW_POSITIONS and self._at > (0, 0)
        self._end, self._open, self._place = len(self._origin.log), True, (0, 0)

    def _number(self, resume: Resume) -> int:
        """Each resync moves all positions up, as a re-read file's generation does."""
        return int(resume.memory.get("anew", resume.memory.get("generation", b"0")))

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        if not self._open and self._sin is not Sin.EMITS_AFTER_CLOSE:
            return None
        if not self._origin.reachable and self._sin is Sin.SWALLOWS_FAILURES:
            return None
        self._reach()
        return self._batch(max_rows)

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        pass

    def reached_end(self) -> bool:
        return self._sin is Sin.ENDS_TOO_EARLY or self._at.hi >= self._end

    def progress(self) -> Progress:
        return Progress()

    def current(self, table: str) -> Iterator[pa.Table]:
        rows: dict[str, str | None] = {}
        for entry in [entry for transaction in self._origin.log for entry in transaction if entry.raw is None]:
            rows[entry.key] = entry.value
            if entry.gone and self._sin is not Sin.SHOWS_STALE_ROWS:
                del rows[entry.key]
        yield _table([Entry(key, value) for key, value in rows.items()])

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:
        return {"anew": str(self._number(resume) + 1000).encode()}

    def reread(self, letter: DeadLetter) -> TableChanges | DeadLetter:
        return letter

    def close(self) -> None:
        self._open = False
        self._closes += 1
        if self._sin is Sin.SECOND_CLOSE_RAISES and self._closes > 1:
            raise RuntimeError("closed twice")

    def _reach(self) -> None:
        if not self._origin.reachable:
            raise TransientError("the list is not reachable")

    def _next_place(self, at: Position) -> Position:
        """A transaction further on: a whole one is never read."""
        return Position(at.hi + 1, 0) if at.hi < len(self._origin.log) else at

    def _batch(self, max_rows: int) -> SourceBatch | None:
        """The rest of a transaction, or its next part."""
        number = self._at.hi + 1
        number = max(number, self._origin.let_go + 1)
        if number > len(self._origin.log) or self._at.hi < 0:
            return self._doubled()
        entries = self._origin.log[number - 1]
        done = self._done_of(number)
        part = entries[done : done + max_rows]
        complete = done + len(part) == len(entries)
        batch = self._made(number, done, part, complete)
        self._place = (number, done + len(part))
        if complete:
            self._at = Position(number, len(entries))
            if self._sin is Sin.LETS_GO_WHEN_READ:
                self._origin.let_go = number
        return batch

    def _done_of(self, number: int) -> int:
        return self._place[1] if self._place[0] == number else 0

    def _doubled(self) -> SourceBatch | None:
        """Old changes once more, as if they were new."""
        if not self._late:
            return None
        self._late = False
        return self._made(len(self._origin.log) + 1, 0, self._origin.log[0], complete=True)

    def _made(self, number: int, done: int, part: list[Entry], complete: bool) -> SourceBatch:
        hi = number + self._generation
        at = Position(hi, done + len(part))
        entries = [(done + place, entry) for place, entry in enumerate(part, start=1)]
        letters = [
            DeadLetter(TABLE.name, PARTITION, Position(hi, lo), e.raw, "unreadable", f"list {lo}") for lo, e in entries if e.raw
        ]
        changes = _changes([(lo, entry) for lo, entry in entries if not entry.raw], hi)
        parts: list[Part] = [changes]
        if self._anew and complete and number == len(self._origin.log) and self._sin is not Sin.RESYNC_RETRACTS_NOTHING:
            at = Position(hi, at.lo + 1)
            parts.append(Sweep(TABLE.name, PARTITION, self._generation, at))
        positions = {PARTITION: at} if complete else {}
        memory: dict[str, bytes | None] = {"generation": str(self._generation).encode(), "anew": None} if complete else {}
        batch = SourceBatch("origin", tuple(parts), positions, tuple(letters), memory, complete=complete)
        return self._spoiled(batch, changes, number)

    def _spoiled(self, batch: SourceBatch, changes: TableChanges, number: int) -> SourceBatch:
        at = batch.positions.get(PARTITION, Position(0, 0))
        match self._sin:
            case Sin.LOSES_THE_LAST_ROW if batch.complete:
                return replace(batch, parts=(_slice(changes, len(changes) - 1), *batch.parts[1:]))
            case Sin.SPLITS_A_TRANSACTION:
                return replace(batch, complete=True)
            case Sin.POSITIONS_GO_BACK if number % 2 == 0:
                return replace(
                    batch, parts=(replace(changes, hi=changes.hi - 2),), positions={PARTITION: Position(at.hi - 2, 0)}
                )
            case Sin.STANDS_BEFORE_ITS_CHANGES if batch.complete:
                return replace(batch, positions={PARTITION: Position(at.hi - 1, 0)})
            case Sin.FORGETS_DELETES:
                return replace(batch, parts=(_filtered(changes, changes.ops == UPSERT), *batch.parts[1:]))
            case Sin.MANGLES_LETTERS:
                letters = tuple(replace(letter, raw=letter.raw.replace(b"\x00", b"")) for letter in batch.dead_letters)
                return replace(batch, dead_letters=letters)
            case Sin.DROPS_NEIGHBOURS if batch.dead_letters:
                return replace(batch, parts=())
            case Sin.GIVES_A_ROW_WITHOUT_KEY:
                return replace(batch, parts=(replace(changes, rows=_table([Entry(None)] * len(changes))),))  # type: ignore[arg-type]
            case Sin.GIVES_OTHER_TYPES:
                return replace(batch, parts=(replace(changes, rows=changes.rows.cast(_LARGE)),))
            case Sin.SKIPS_SMALL_BATCHES if len(changes) == 1:
                return replace(batch, parts=())
        return batch


_LARGE = pa.schema([(name, pa.large_string()) for name in TABLE.names])


def _table(entries: Sequence[Entry]) -> pa.Table:
    columns = [pa.array([entry.key for entry in entries], pa.string()), pa.array([e.value for e in entries], pa.string())]
    return pa.table(columns, schema=TABLE.arrow)


def _changes(entries: list[tuple[int, Entry]], hi: int) -> TableChanges:
    ops = np.array([DELETE if entry.gone else UPSERT for _, entry in entries], dtype=np.int8)
    lo = np.array([place for place, _ in entries], dtype=np.int64)
    return TableChanges(TABLE.name, PARTITION, _table([e for _, e in entries]), ops, np.full(len(lo), hi, np.int64), lo)


def _slice(changes: TableChanges, count: int) -> TableChanges:
    return _filtered(changes, np.arange(len(changes)) < count)


def _filtered(changes: TableChanges, mask: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> TableChanges:
    rows = changes.rows.filter(pa.array(mask))
    return replace(changes, rows=rows, ops=changes.ops[mask], hi=changes.hi[mask], lo=changes.lo[mask])
