"""One poll of one table: pages are asked for, and what changed since the last poll is handed on in drafts of batches."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from topline.changes import DELETE, DeadLetter, Ints, Part, Position, Sweep, TableChanges
from topline.faults import point
from topline.sources.polled.feed import CursorExpired, Feed, Page, Record
from topline.sources.polled.greatest import value_of
from topline.sources.polled.memory import TableMemory
from topline.sources.polled.records import Rows, TableShape, Unreadable
from topline.sources.values import text

_SLICE = 10_000  # keys that are retracted at once
_KEPT = b"1"


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
    letters: set[str] = field(default_factory=set)
    unchanged: bool = False


class Poll:
    """`lists` or `compares` runs it. The memory is as of the last draft, and is to be committed with it."""

    def __init__(self, shape: TableShape, feed: Feed, memory: TableMemory, number: int) -> None:
        self._shape, self._feed = shape, feed
        self._memory = memory
        self._state, self._known, self._letters = memory.state, memory.known, memory.letters
        self._number, self._row = number, 0
        self.tally = Tally()
        self.max_rows = _SLICE
        self.whole = False  # everything was listed: what was not seen is gone
        self.strangers: frozenset[str] | None = None  # keys that a comparison of keys found and that are not known
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
        """The keys of everything that is there: those known and not seen are gone. With rows to sweep, all is listed."""
        pages = self._feed.keys() if self._state.sweep_below is None else None
        if pages is None:
            yield from self._list(None)
            return
        clean = True
        for page in pages:
            keys, all_read = self._shape.keys(page.records)
            self.tally.records += len(page.records)
            self.tally.seen.update(keys)
            clean &= all_read
            yield Draft()  # whoever reads may stop in between
        self.whole = True
        self.strangers = frozenset(key for key in self.tally.seen if key not in self._known)
        if clean:
            yield from self._retracted(steady=True)

    def _list(self, since: str | None) -> Iterator[Draft]:
        self.whole = since is None
        ahead = self._state.cursor == since
        for page in self._feed.pages(since):
            point("poll:page")
            yield from self._page(page, ahead)
        if self.tally.unchanged:
            return
        if self.whole:
            for print_ in self._letters.others(self.tally.letters):
                self._letters.note(print_, None)
        if self.whole and not self.tally.letters:
            yield from self._retracted(self._feed.steady)
        point("poll:end")
        self._state.cursor = None if self._lists_again() else self._later or self._state.cursor
        yield Draft(self._swept())
        self._known.retain(self.tally.seen)

    def _lists_again(self) -> bool:
        """Whether a list that missed rows, of a table that is read on by a cursor otherwise, is to be confirmed: once."""
        again = self.whole and self._feed.incremental and bool(self._memory.missed) and not self._memory.confirms
        self._memory.confirms = again
        return again

    def _page(self, page: Page, ahead: bool) -> Iterator[Draft]:
        """The page in pieces of at most `max_rows` records; its cursor counts with the last of them. Of a list that begins
        before where the table stands (`ahead` is false), the cursor counts at the list's end."""
        self.tally.unchanged |= page.unchanged
        pieces = [page.records[start : start + self.max_rows] for start in range(0, len(page.records), self.max_rows)]
        for piece in pieces[:-1]:
            yield self._piece(piece)
        reached = None if page.cursor is None else self._reached(page.cursor)
        if reached is not None and ahead:
            self._state.cursor = reached
        self._later = reached or self._later
        yield from map(self._piece, pieces[-1:])
        if not pieces:
            yield Draft()  # a feed that waits gives empty pages meanwhile: whoever reads may stop in between

    def _reached(self, cursor: str) -> str:
        """Where the next poll may begin. What became visible behind a poll while it lasted lies within the overlap of when it
        began: so a time goes back by the whole seconds that it lasted."""
        settings = self._shape.settings.cursor
        seconds = int((datetime.now(UTC) - self.started).total_seconds())
        if settings is None or settings.type != "time" or seconds <= 0:
            return cursor
        try:
            value = value_of(cursor, settings, self._shape.zone)
        except ValueError:
            return cursor  # the feed's own way of writing
        return text(value - timedelta(seconds=seconds)) if isinstance(value, datetime) else cursor

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
        last = {key: nth for nth, key in enumerate(rows.keys)}  # of rows with one key, the last counts
        news = [nth for key, nth in last.items() if self._known.is_news(key, rows.prints[nth])]
        return np.array(sorted(news), dtype=np.int64)

    def _is_new(self, bad: Unreadable) -> bool:
        """Whether this record was not kept as a letter before. Either way the list is not clean."""
        print_ = hashlib.blake2b(bad.raw, digest_size=12).hexdigest()
        self.tally.letters.add(print_)
        return self._letters.is_news(print_, _KEPT)

    def _letter(self, bad: Unreadable, row: int) -> DeadLetter:
        place = Position(self._number, row)
        return DeadLetter(self._table, self._partition, place, bad.raw, bad.reason, bad.locator)

    def _retracted(self, steady: bool) -> Iterator[Draft]:
        """What is known and was not seen; of a list that is not steady, what the one before missed too. An empty list retracts
        only where that is allowed."""
        if not self.tally.seen and self._shape.settings.on_empty != "retract":
            return
        missing = self._known.others(self.tally.seen)
        gone = missing if steady else [key for key in missing if key in self._memory.missed]
        self._memory.missed = frozenset(missing).difference(gone)
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

    def _swept(self) -> tuple[Sweep, ...]:
        """After a resync: what a whole list, now at its end, did not give again. One that went on from a cursor, because it
        was interrupted, may have passed over a row that moved behind it meanwhile: then all is listed once more."""
        below = self._state.sweep_below
        if below is None:
            return ()
        if not self.whole:
            self._state.cursor = self._state.cursor if self._state.unclean else None
            return ()
        found = bool(self.tally.seen) or self._shape.settings.on_empty == "retract"
        self._state.unclean = bool(self.tally.letters) or not found
        if self._state.unclean:
            return ()
        self._state.sweep_below = None
        self._row += 1
        point("poll:sweep")
        return (Sweep(self._table, self._partition, below, Position(self._number, self._row)),)

    @property
    def _table(self) -> str:
        return self._shape.schema.name

    @property
    def _partition(self) -> str:
        return self._shape.schema.name.partition(".")[2]
