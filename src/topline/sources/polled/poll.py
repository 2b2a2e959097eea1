"""One poll of one table: pages are asked for, and what changed since the last poll is handed on in drafts of batches."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from topline.changes import DELETE, DeadLetter, Ints, Part, Position, Sweep, TableChanges
from topline.sources.polled.feed import CursorExpired, Feed, Page, Record
from topline.sources.polled.known import Known
from topline.sources.polled.records import Rows, TableShape, Unreadable
from topline.sources.polled.state import TableState

_SLICE = 10_000  # keys that are retracted at once


@dataclass(frozen=True, slots=True)
class Draft:
    """What goes into one batch: changes, letters, and where the table stands after them."""

    parts: tuple[Part, ...] = ()
    letters: tuple[DeadLetter, ...] = ()


@dataclass(slots=True)
class Tally:
    """What a poll saw: keys, records (readable or not), and the fingerprints of those that were kept as letters."""

    seen: set[str] = field(default_factory=set)
    records: int = 0
    letters: dict[str, None] = field(default_factory=dict)
    unchanged: bool = False


class Poll:
    """`lists` or `compares` runs it. `state` and `known` are as of the last draft, and are to be committed with it."""

    def __init__(self, shape: TableShape, feed: Feed, state: TableState, known: Known, number: int) -> None:
        self._shape, self._feed, self._state, self._known = shape, feed, state, known
        self._number, self._row = number, 0
        self.tally = Tally()
        self.max_rows = _SLICE
        self.whole = False  # everything was listed: what was not seen is gone
        self._later: str | None = None  # the cursor of a list that begins before where the table stands
        self.started = datetime.now(UTC)

    @property
    def position(self) -> Position | None:
        """Where the table stands; None while nothing was given."""
        return Position(self._number, self._row) if self._row else None

    def lists(self) -> Iterator[Draft]:
        """What is there from the cursor on, or everything. Errors of the feed come through."""
        try:
            yield from self._list(self._state.cursor if self._feed.incremental else None)
        except CursorExpired:
            self._state.cursor, self.tally = None, Tally()
            yield from self._list(None)

    def compares(self) -> Iterator[Draft]:
        """The keys of everything that is there: those known and not seen are gone."""
        pages = self._feed.keys()
        if pages is None:
            yield from self._list(None)
            return
        for page in pages:
            self.tally.records += len(page.records)
            self.tally.seen.update(self._shape.keys(page.records))
        self.whole = True
        yield from self._retracted()

    def _list(self, since: str | None) -> Iterator[Draft]:
        self.whole = since is None
        ahead = self._state.cursor == since
        for page in self._feed.pages(since):
            yield from self._page(page, ahead)
        if self.tally.unchanged:
            return
        if self.whole:
            self._state.letters = list(self.tally.letters)
        if self.whole and not self.tally.letters:
            yield from self._retracted()
        self._state.cursor = self._later or self._state.cursor
        yield Draft(self._swept(since))
        self._known.retain(self.tally.seen)

    def _page(self, page: Page, ahead: bool) -> Iterator[Draft]:
        """The page in pieces of at most `max_rows` records; its cursor counts with the last of them. Of a list that begins
        before where the table stands (`ahead` is false), the cursor counts at the list's end."""
        self.tally.unchanged |= page.unchanged
        pieces = [page.records[start : start + self.max_rows] for start in range(0, len(page.records), self.max_rows)]
        for piece in pieces[:-1]:
            yield self._piece(piece)
        if page.cursor is not None and ahead:
            self._state.cursor = page.cursor
        self._later = page.cursor or self._later
        yield from map(self._piece, pieces[-1:])
        if not pieces:
            yield Draft()  # a feed that waits gives empty pages meanwhile: whoever reads may stop in between

    def _piece(self, records: Sequence[Record]) -> Draft:
        rows, unreadable = self._shape.read(records)
        changed = self._changed(rows)
        places = np.concatenate((rows.places[changed], np.array([bad.place for bad in unreadable], np.int64)))
        order = {int(place): self._row + 1 + nth for nth, place in enumerate(sorted(places.tolist()))}
        letters = [self._letter(bad, order[bad.place]) for bad in unreadable if self._is_new(bad)]
        self._row += len(order)
        self.tally.records += len(records)
        if not len(changed):
            return Draft((), tuple(letters))
        lo = np.array([order[place] for place in rows.places[changed].tolist()], np.int64)
        hi = np.full(len(lo), self._number, np.int64)
        part = TableChanges(self._table, self._partition, rows.rows.take(changed), rows.ops[changed], hi, lo)
        return Draft((part,), tuple(letters))

    def _changed(self, rows: Rows) -> Ints:
        """Which rows are other than known. A first list that nothing is compared with later is not noted."""
        self.tally.seen.update(rows.keys)
        if self.whole and not self._known.stored:
            return np.arange(len(rows.keys), dtype=np.int64)
        pairs = zip(rows.keys, rows.prints, strict=True)
        return np.flatnonzero(np.array([self._known.is_news(key, print_) for key, print_ in pairs], bool)).astype(np.int64)

    def _is_new(self, bad: Unreadable) -> bool:
        """Whether this record was not kept as a letter before. Either way the list is not clean."""
        self._state.unclean |= self._state.sweep_below is not None
        print_ = hashlib.blake2b(bad.raw, digest_size=12).hexdigest()
        self.tally.letters[print_] = None
        if print_ in self._state.letters:
            return False
        self._state.letters.append(print_)
        return True

    def _letter(self, bad: Unreadable, row: int) -> DeadLetter:
        place = Position(self._number, row)
        return DeadLetter(self._table, self._partition, place, bad.raw, bad.reason, bad.locator)

    def _retracted(self) -> Iterator[Draft]:
        """What is known and was not seen. An empty list retracts only where that is allowed."""
        if not self.tally.seen and self._shape.settings.on_empty != "retract":
            return
        gone = self._known.others(self.tally.seen)
        for start in range(0, len(gone), _SLICE):
            yield self._deletes(gone[start : start + _SLICE])

    def _deletes(self, keys: list[str]) -> Draft:
        for key in keys:
            self._known.note(key, None)
        first, count = self._row + 1, len(keys)
        self._row += count
        lo = np.arange(first, first + count, dtype=np.int64)
        hi = np.full(count, self._number, np.int64)
        rows = self._shape.deletes(keys)
        return Draft((TableChanges(self._table, self._partition, rows, np.full(count, DELETE, np.int8), hi, lo),))

    def _swept(self, since: str | None) -> tuple[Sweep, ...]:
        """After a resync: what the list, now at its end, did not give again. An unclean one is kept for a later list."""
        below = self._state.sweep_below
        found = bool(self.tally.seen) or since is not None or self._shape.settings.on_empty == "retract"
        unclean = bool(self.tally.letters) or (self._state.unclean and not self.whole)
        if below is None or unclean or not found:
            return ()
        self._state.sweep_below, self._state.unclean = None, False
        self._row += 1
        return (Sweep(self._table, self._partition, below, Position(self._number, self._row)),)

    @property
    def _table(self) -> str:
        return self._shape.schema.name

    @property
    def _partition(self) -> str:
        return self._shape.schema.name.partition(".")[2]
