"""Random histories of an origin, interruptions, crashes, other settings: in the end the ledger is the origin, and no row that
stayed there is ever retracted in between."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.conformance.ledger import Ledger
from tests.conformance.origin import TABLE
from topline.errors import TransientError
from topline.sources.base import Context, Fault, Resume
from topline.sources.polled import (
    Cursor,
    CursorExpired,
    Deleted,
    Greatest,
    Page,
    PolledSettings,
    PolledSource,
    PolledTable,
    Record,
    begin,
)

SOON = 1e-9  # seconds: every poll is due at once
POLLS = PolledSettings(every=SOON)
BY_VERSION = Cursor(field="version", type="number", overlap=2)
BY_AGE = Cursor(field="age", type="number", overlap=0)
WAYS = {
    "listed": PolledTable(on_empty="retract"),
    "compared": PolledTable(cursor=BY_VERSION, compare_every=SOON, on_empty="retract"),
    "rarely compared": PolledTable(cursor=BY_VERSION, compare_every=1e6, on_empty="retract"),
    "marked and compared": PolledTable(
        cursor=BY_VERSION, compare_every=SOON, deleted=Deleted(field="gone"), on_empty="retract"
    ),
    "marked": PolledTable(cursor=BY_VERSION, deleted=Deleted(field="gone")),
    "read on": PolledTable(cursor=BY_VERSION),
    "read on by another field": PolledTable(cursor=BY_AGE),
}
COMPLETE = ["listed", "compared", "rarely compared", "marked and compared"]
KEYS = st.sampled_from("abcde")


class Origin:
    """Rows in memory; what is asked next may break off after some pages, or not know its cursor."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, object]] = {}
        self.bad: dict[str, dict[str, object]] = {}  # key -> the record as it comes instead
        self.clock = 0
        self.breaks_after: int | None = None
        self.expired = False

    def put(self, key: str, back: int = 0, value: int | None = None) -> int:
        self.clock += 1
        value = self.clock if value is None else value
        self.rows[key] = {"id": key, "value": value, "version": self.clock - back, "age": -self.clock, "gone": False}
        return value

    def records(self) -> list[dict[str, object]]:
        return [self.bad.get(key, row) for key, row in self.rows.items()]


class OriginFeed:
    """Asks the origin as it is when a list begins, `page` records at a time, in the order of the cursor."""

    def __init__(self, origin: Origin, table: PolledTable, page: int, lists_keys: bool) -> None:
        self._origin, self._table, self._page, self._lists_keys = origin, table, page, lists_keys
        self.incremental, self.steady = table.cursor is not None, lists_keys

    def check(self) -> list[Fault]:
        return []

    def pages(self, since: str | None) -> Iterator[Page]:
        if since is not None and self._origin.expired:
            self._origin.expired = False
            raise CursorExpired
        cursor, records = self._table.cursor, self._origin.records()
        if cursor is None:
            yield from self._in_pages(records, None)
            return
        records.sort(key=lambda record: int(str(record[cursor.field])))
        if since is not None:
            least = int(str(begin(since, cursor, POLLS.tz)))
            records = [record for record in records if int(str(record[cursor.field])) >= least]
        yield from self._in_pages(records, Greatest(cursor, POLLS.tz, since))

    def _in_pages(self, records: list[dict[str, object]], greatest: Greatest | None) -> Iterator[Page]:
        for start in range(0, len(records) + 1, self._page):
            self._break()
            page = records[start : start + self._page]
            for record in page:
                if greatest is not None and self._table.cursor is not None:
                    greatest.see(record[self._table.cursor.field])
            yield Page([_record(record) for record in page], greatest.text if greatest else None)

    def _break(self) -> None:
        if self._origin.breaks_after is not None:
            self._origin.breaks_after -= 1
            if self._origin.breaks_after < 0:
                self._origin.breaks_after = None
                raise TransientError("no connection")

    def keys(self) -> Iterator[Page] | None:
        return self._keys() if self._lists_keys else None

    def _keys(self) -> Iterator[Page]:
        records = self._origin.records()
        for start in range(0, len(records) + 1, self._page):
            self._break()
            yield Page([_record(record) for record in records[start : start + self._page]])

    def reread(self, raw: bytes) -> Record:
        raise ValueError("not asked here")

    def close(self) -> None:
        pass


def _record(values: Mapping[str, object]) -> Record:
    return Record(values, repr(values).encode(), "here", str(values.get("fault", "")))


class Histories(RuleBasedStateMachine):
    @initialize(way=st.sampled_from([*WAYS]))
    def begin(self, way: str) -> None:
        self.origin, self.ledger = Origin(), Ledger()
        self.born: dict[str, int] = {}  # key at the origin -> its value when it came
        self.stayed: set[str] = set()  # keys that the ledger has had since they came
        self.folder = Path(tempfile.gettempdir())
        self.page, self.lists_keys, self.way = 2, True, way
        self.source = self._new()
        self.source.open(Resume())

    def _new(self) -> PolledSource:
        way, page, lists_keys = WAYS[self.way], self.page, self.lists_keys
        context = Context("origin", {"things": TABLE}, self.folder, self.folder)
        return PolledSource(context, POLLS, {"things": way}, lambda _: OriginFeed(self.origin, way, page, lists_keys))

    @rule(key=KEYS, back=st.sampled_from([0, 0, 1, 50]))
    def put(self, key: str, back: int) -> None:
        """Insert, update, and with `back` a row that becomes visible late. A new version of a row that is known, far behind the
        cursor, is what no comparison of keys can tell (docs/sources/sql.md): only a new row comes from so far."""
        known = key in self.ledger.rows or key in self.origin.rows
        value = self.origin.put(key, min(back, 1) if known else back)
        self.born.setdefault(key, value)

    @rule(key=KEYS, back=st.sampled_from([0, 50]))
    def touch(self, key: str, back: int) -> None:
        """Another version of a row whose declared columns stay."""
        if key in self.origin.rows and not self.origin.rows[key]["gone"]:
            self.origin.put(key, back, int(str(self.origin.rows[key]["value"])))

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        if key in self.origin.rows:
            if WAYS[self.way].deleted is None:
                del self.origin.rows[key]
            else:
                self.origin.put(key)
                self.origin.rows[key]["gone"] = True
            self.origin.bad.pop(key, None)
            self.born.pop(key, None)
            self.stayed.discard(key)

    @rule(key=KEYS, fault=st.sampled_from(["id", "all"]))
    def spoil(self, key: str, fault: str) -> None:
        """What comes of a row lacks its key, or is nothing that can be read."""
        if key in self.origin.rows:
            row = self.origin.rows[key]
            self.origin.bad[key] = {**row, "id": None} if fault == "id" else {**row, "id": None, "fault": "garbled"}

    @rule()
    def mend(self) -> None:
        """Mended rows are new versions, as who mends them writes them."""
        for key in list(self.origin.bad):
            del self.origin.bad[key]
            value = self.origin.put(key)
            self.born.setdefault(key, value)

    @rule(pages=st.integers(0, 3))
    def interrupt(self, pages: int) -> None:
        self.origin.breaks_after = pages

    @rule()
    def expire(self) -> None:
        self.origin.expired = True

    @rule(batches=st.integers(1, 8), most=st.integers(1, 4))
    def read(self, batches: int, most: int) -> None:
        for _ in range(batches):
            try:
                batch = self.source.read(most, 0)
            except TransientError:
                self._open(anew=False)
                return
            if batch is not None:
                self.ledger.commit(batch)
                self._look()

    @rule(lost=st.integers(0, 4), most=st.integers(1, 4), anew=st.booleans(), page=st.integers(1, 3), lists_keys=st.booleans())
    def crash(self, lost: int, most: int, anew: bool, page: int, lists_keys: bool) -> None:
        """Batches that were read, and never committed."""
        try:
            for _ in range(lost):
                self.source.read(most, 0)
        except TransientError:
            pass
        self.page, self.lists_keys = page, lists_keys
        self._open(anew)

    @rule(way=st.sampled_from([*WAYS]))
    def set_otherwise(self, way: str) -> None:
        self._clear_marks(way)
        self.way = way
        self._open(anew=True)

    @rule(anew=st.booleans(), wrong=st.booleans())
    def resync(self, anew: bool, wrong: bool) -> None:
        self.source.close()
        if wrong and self.ledger.rows:
            self.ledger.corrupt_one(min(self.ledger.rows))
            self.stayed.clear()
        self.ledger.remember(self.source.resync("things", self.ledger.resume))
        self._open(anew)

    def teardown(self) -> None:
        if hasattr(self, "origin"):
            self._end()

    def _end(self) -> None:
        """Everything is mended; a new process reads to the end of what there is."""
        self.origin.breaks_after = None
        self.mend()
        if self.way not in COMPLETE:
            self._clear_marks("listed")
            self.way = "listed"
        self._open(anew=True)
        for _ in range(200):
            batch = self.source.read(2, 0)
            if batch is not None:
                self.ledger.commit(batch)
                self._look()
            elif self.source.reached_end():
                break
        truth = {key: str(row["value"]) for key, row in self.origin.rows.items() if not row["gone"]}
        assert self.ledger.rows == truth
        assert "things:known" in "".join(self.ledger.memory) or not truth

    def _clear_marks(self, way: str) -> None:
        """Who does not look at marks takes marked rows for rows."""
        if WAYS[way].deleted is None:
            for key in [key for key, row in self.origin.rows.items() if row["gone"]]:
                del self.origin.rows[key]

    def _open(self, anew: bool) -> None:
        self.source.close()
        if anew:
            self.source = self._new()
        self.source.open(self.ledger.resume)

    def _look(self) -> None:
        rows = self.ledger.rows
        assert self.stayed <= rows.keys(), f"{self.stayed - rows.keys()} stayed at the origin, and was retracted"
        right = {key: int(value) for key, value in rows.items() if value is not None and value != "wrong"}
        self.stayed |= {key for key, born in self.born.items() if right.get(key, 0) >= born}


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
