"""What a pulled source does at the edges: empty and unreadable lists, late rows, cursors that expire, `unchanged`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from tests.conformance.drive import batches, read_to_end
from tests.conformance.ledger import Ledger, Rows
from tests.conformance.origin import TABLE
from tests.polling import until
from topline.changes import DeadLetter, Position, TableChanges
from topline.sources.base import Context, Fault, Resume, Source
from topline.sources.polled import (
    Cursor,
    CursorExpired,
    Deleted,
    Feed,
    Greatest,
    Page,
    PolledSettings,
    PolledSource,
    PolledTable,
    Record,
    begin,
)
from topline.sources.polled.memory import TableMemory, Ways
from topline.sources.polled.poll import Poll
from topline.sources.polled.records import TableShape

BY_VERSION = Cursor(field="version", type="number", overlap=0)


class Shelf:
    """An origin of records in memory: what each poll asked for, and what it is to answer."""

    incremental = False
    steady = True

    def __init__(self, settings: PolledTable, lists_keys: bool = True) -> None:
        self.settings, self.lists_keys = settings, lists_keys
        self.incremental = settings.cursor is not None
        self.records: list[dict[str, object]] = []
        self.asked: list[str | None] = []
        self.unchanged = self.expired = False

    def check(self) -> list[Fault]:
        return []

    def pages(self, since: str | None) -> Iterator[Page]:
        self.asked.append(since)
        if since is not None and self.expired:
            self.expired = False
            raise CursorExpired
        if self.unchanged:
            yield Page(unchanged=True)
            return
        yield from self._pages(since)

    def _pages(self, since: str | None) -> Iterator[Page]:
        cursor, records = self.settings.cursor, self.records
        if cursor is None:
            yield Page([_record(values) for values in records])
            return
        greatest = Greatest(cursor, PolledSettings().tz, since)
        least = None if since is None else begin(since, cursor, PolledSettings().tz)
        found = [values for values in records if least is None or int(str(values["version"])) >= int(str(least))]
        for values in found:
            greatest.see(values["version"])
        yield Page([_record(values) for values in found], greatest.text)

    def keys(self) -> Iterator[Page] | None:
        if not self.lists_keys:
            return None
        return iter([Page([Record({"id": values["id"]}, b"", "") for values in self.records])])

    def reread(self, raw: bytes) -> Record:
        return Record({"id": raw.decode(), "value": "mended"}, raw, "")

    def close(self) -> None:
        pass


def _written(values: Mapping[str, object]) -> bytes:
    return repr(sorted(values.items())).encode()


def _record(values: Mapping[str, object]) -> Record:
    fault = "it cannot be read" if values.get("bad") else ""
    return Record(values, _written, "here", fault)


class Shop:
    """A source over a shelf, and the ledger that it is read into."""

    def __init__(self, folder: Path, settings: PolledTable, lists_keys: bool = True) -> None:
        self.shelf = Shelf(settings, lists_keys)
        self.ledger = Ledger()
        self._folder = folder
        self.source = self._new()
        self.source.open(Resume())

    def _new(self) -> Source:
        def feed(table: str) -> Feed:
            return self.shelf

        context = Context("origin", {"things": TABLE}, self._folder, self._folder)
        return PolledSource(context, PolledSettings(every=0.01), {"things": self.shelf.settings}, feed)

    def rows(self, polls: int = 2) -> Rows:
        """What the ledger holds after so many more polls."""
        asked = len(self.shelf.asked)
        until(lambda: self.read() or len(self.shelf.asked) >= asked + polls + 1, timeout=10, what="polls")
        return self.ledger.rows

    def read(self) -> bool:
        if (batch := self.source.read(100, 0.02)) is not None:
            self.ledger.commit(batch)
        return False

    def reopen(self, memory: Mapping[str, bytes | None] | None = None) -> None:
        self.source.close()
        self.ledger.remember(memory or {})
        self.source = self._new()
        self.source.open(self.ledger.resume)


@pytest.fixture
def listed(tmp_path: Path) -> Shop:
    return Shop(tmp_path, PolledTable())


def test_a_list_gives_only_what_changed(listed: Shop) -> None:
    listed.shelf.records = [{"id": "a", "value": "1"}, {"id": "b", "value": "2"}]
    assert listed.rows() == {"a": "1", "b": "2"}
    commits = len(listed.ledger.seen)
    assert listed.rows(3) == {"a": "1", "b": "2"}
    assert len(listed.ledger.seen) == commits, "an unchanged list was committed again"
    listed.shelf.records[1]["value"] = "3"
    assert listed.rows() == {"a": "1", "b": "3"}
    assert len(listed.ledger.seen) == commits + 1


def test_an_empty_list_retracts_nothing_unless_allowed(tmp_path: Path) -> None:
    for on_empty, left in (("keep", {"a": None}), ("retract", {})):
        shop = Shop(tmp_path, PolledTable.model_validate({"on_empty": on_empty}))
        shop.shelf.records = [{"id": "a"}]
        shop.rows()
        shop.shelf.records = []
        assert shop.rows() == left


def test_a_list_with_an_unreadable_record_retracts_nothing_and_keeps_it_once(listed: Shop) -> None:
    listed.shelf.records = [{"id": "a"}, {"id": "b"}]
    listed.rows()
    listed.shelf.records = [{"id": "b"}, {"bad": True}, {"id": None, "value": "keyless"}]
    assert listed.rows(4) == {"a": None, "b": None}
    assert [letter.reason for letter in listed.ledger.letters] == ["it cannot be read", "no key: id is missing"]
    listed.reopen()
    listed.rows()
    assert len(listed.ledger.letters) == 2, "kept again by the next process"
    listed.shelf.records = [{"id": "b"}]
    assert listed.rows() == {"b": None}


def test_an_origin_that_says_unchanged_keeps_its_rows(listed: Shop) -> None:
    listed.shelf.records = [{"id": "a"}]
    listed.rows()
    listed.shelf.unchanged, listed.shelf.records = True, []
    assert listed.rows() == {"a": None}


def test_a_cursor_that_the_origin_forgot_lists_everything(tmp_path: Path) -> None:
    shop = Shop(tmp_path, PolledTable(cursor=BY_VERSION, compare_every=1000))
    shop.shelf.records = [{"id": "a", "version": 1}, {"id": "b", "version": 2}]
    shop.rows()
    shop.shelf.records, shop.shelf.expired = [{"id": "b", "version": 2}, {"id": "c", "version": 1}], True
    assert shop.rows() == {"b": None, "c": None}
    assert shop.shelf.asked[-1] == "2"


def test_a_row_behind_the_cursor_is_found_by_comparing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, PolledTable(cursor=BY_VERSION, compare_every=0.01))
    shop.shelf.records = [{"id": "a", "version": 1}, {"id": "b", "version": 9}]
    shop.rows()
    shop.shelf.records.append({"id": "late", "version": 2})
    until(lambda: "late" in shop.rows(1), timeout=10, what="the late row")
    assert shop.shelf.asked.count(None) == 2


def test_deletions_are_found_only_by_comparing_or_by_a_flag(tmp_path: Path) -> None:
    plain = Shop(tmp_path, PolledTable(cursor=BY_VERSION))
    flagged = Shop(tmp_path, PolledTable(cursor=BY_VERSION, deleted=Deleted(field="state", values=("X", "GONE"))))
    compared = Shop(tmp_path, PolledTable(cursor=BY_VERSION, compare_every=0.01), lists_keys=False)
    for shop in (plain, flagged, compared):
        shop.shelf.records = [{"id": "a", "version": 1}, {"id": "b", "version": 2}]
        shop.rows()
        shop.shelf.records[0] = {"id": "a", "version": 3, "state": "GONE"}
        if shop is not flagged:
            del shop.shelf.records[0]
    assert plain.rows() == {"a": None, "b": None}
    assert flagged.rows() == {"b": None}
    assert compared.rows(3) == {"b": None}


def test_the_overlap_is_read_again_and_counted_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path, PolledTable(cursor=Cursor(field="version", type="number", overlap=10)))
    shop.shelf.records = [{"id": "a", "version": 20}]
    shop.rows(3)
    commits = len(shop.ledger.seen)
    shop.shelf.records.append({"id": "visible late", "version": 12})
    assert shop.rows(3) == {"a": None, "visible late": None}
    assert len(shop.ledger.seen) == commits + 1


def test_a_resync_interrupted_in_the_middle_still_retracts(tmp_path: Path) -> None:
    shop = Shop(tmp_path, PolledTable(cursor=BY_VERSION))
    shop.shelf.records = [{"id": "a", "version": 1}, {"id": "b", "version": 2}]
    shop.rows()
    shop.ledger.corrupt_one("a")
    resync = shop.source.resync("things", shop.ledger.resume)
    shop.shelf.records = [{"id": "a", "version": 1}, {"id": "b", "version": 2}]
    shop.reopen(resync)
    first = next(batches(shop.source, 1, lambda: False))
    shop.ledger.commit(first)
    shop.reopen()
    assert shop.rows() == {"a": None, "b": None}


def test_a_letter_is_read_again(listed: Shop) -> None:
    letter = DeadLetter("origin.things", "things", Position(4, 2), b"mended-key", "bad", "here")
    found = listed.source.reread(letter)
    assert isinstance(found, TableChanges)
    assert found.rows.to_pylist() == [{"id": "mended-key", "value": "mended"}]


def test_a_first_load_is_held_back_until_it_is_whole(tmp_path: Path) -> None:
    shop = Shop(tmp_path, PolledTable())
    shop.shelf.records = [{"id": str(number)} for number in range(9)]
    found = list(batches(shop.source, 2, shop.source.reached_end))
    assert [batch.copying for batch in found] == [True] * (len(found) - 1) + [False]


def test_composite_keys_and_types_survive_a_deletion(tmp_path: Path) -> None:
    ledger = Ledger()
    shop = Shop(tmp_path, PolledTable())
    shop.shelf.records = [{"id": "with, comma"}, {"id": "ß"}]
    read_to_end(shop.source, ledger)
    shop.shelf.records = [{"id": "ß"}]
    until(lambda: _commit(shop.source, ledger) and ledger.rows == {"ß": None}, timeout=5, what="the deletion")


def _commit(source: Source, ledger: Ledger) -> Sequence[object]:
    if (batch := source.read(100, 0.02)) is not None:
        ledger.commit(batch)
    return [True]


def test_the_next_poll_begins_earlier_by_as_long_as_this_one_took(tmp_path: Path) -> None:
    """What became visible behind the reader while it read is within the overlap of when it began."""
    settings = PolledTable(cursor=Cursor(field="version", overlap=0))
    shelf = Shelf(settings)
    shelf.records = [{"id": "a", "version": "2026-11-21 10:00:00"}]
    shape = TableShape(TABLE, settings, UTC, tmp_path)
    for seconds, cursor in ((0, "2026-11-21 10:00:00+00:00"), (90, "2026-11-21 09:58:30+00:00")):
        memory = TableMemory.load("things", Resume(), Ways.of(shape, True), 0)
        poll = Poll(shape, shelf, memory, 1)
        poll.started -= timedelta(seconds=seconds)
        assert len(list(poll.lists())) == 2
        assert memory.state.cursor == cursor


def test_a_row_that_one_list_passed_over_stays(tmp_path: Path) -> None:
    """In pages that count rows, the head of a page is passed over when a row before it goes."""
    shop = Shop(tmp_path, PolledTable())
    shop.shelf.steady = False
    shop.shelf.records = [{"id": "a"}, {"id": "b"}, {"id": "c"}]
    until(lambda: shop.read() or shop.source.reached_end(), timeout=5, what="the first list")
    passed_over = shop.shelf.records.pop(1)
    asked = len(shop.shelf.asked)
    until(lambda: shop.read() or len(shop.shelf.asked) > asked, timeout=5, what="the list without it")
    shop.shelf.records.append(passed_over)
    shop.ledger.seen.clear()
    assert shop.rows(3) == {"a": None, "b": None, "c": None}
    assert all("b" in rows for rows in shop.ledger.seen)
    shop.shelf.records = [{"id": "a"}]
    assert shop.rows(3) == {"a": None}, "what two lists miss is gone"


def test_what_went_meanwhile_is_found_before_a_list_that_is_not_steady_counts_as_read(tmp_path: Path) -> None:
    shop = Shop(tmp_path, PolledTable())
    shop.shelf.steady = False
    shop.shelf.records = [{"id": "a"}, {"id": "b"}]
    shop.rows()
    shop.shelf.records = [{"id": "a"}]
    shop.reopen()
    read_to_end(shop.source, shop.ledger)
    assert shop.ledger.rows == {"a": None}
