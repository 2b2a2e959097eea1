"""What a pulled source does when its settings change, tables fail, records stay unreadable, and keys are of every type."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conformance.ledger import Ledger
from tests.conformance.origin import TABLE
from topline.changes import DELETE, Position, SourceBatch, TableChanges
from topline.errors import TransientError
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Fault, Resume
from topline.sources.polled import Cursor, Deleted, Greatest, Page, PolledSettings, PolledSource, PolledTable, Record, begin

SOON, NEVER = 1e-9, 1e6
BY_VERSION = Cursor(field="version", type="number", overlap=0)
READ_ON = PolledTable(cursor=BY_VERSION)
COMPARED = PolledTable(cursor=BY_VERSION, compare_every=SOON)
MARKED = PolledTable(cursor=BY_VERSION, compare_every=SOON, deleted=Deleted(field="gone"))


@dataclass
class Shelf:
    """Records in memory; `asked` tells how. Keys are listed where `keyed`."""

    settings: PolledTable
    records: list[dict[str, object]] = field(default_factory=list)
    keyed: bool = True
    fails: bool = False
    asked: list[str] = field(default_factory=list)
    incremental: bool = False
    steady: bool = True

    def check(self) -> list[Fault]:
        return []

    def pages(self, since: str | None) -> Iterator[Page]:
        self.asked.append("all" if since is None else "on")
        if self.fails:
            raise TransientError("no connection")
        records, cursor, greatest = list(self.records), self.settings.cursor, None
        if cursor is not None:
            greatest = Greatest(cursor, PolledSettings().tz, since)
            least = 0 if since is None else int(str(begin(since, cursor, PolledSettings().tz)))
            records = [values for values in records if int(str(values[cursor.field])) >= least]
            for values in records:
                greatest.see(values[cursor.field])
        yield Page([_record(values) for values in records], greatest.text if greatest else None)

    def keys(self) -> Iterator[Page] | None:
        return self._keys() if self.keyed else None

    def _keys(self) -> Iterator[Page]:
        self.asked.append("keys")
        yield Page([_record(values) for values in self.records])

    def reread(self, raw: bytes) -> Record:
        raise ValueError("not asked here")

    def close(self) -> None:
        raise OSError("broken pipe")


def _record(values: Mapping[str, object]) -> Record:
    return Record(values, repr(values).encode(), "here", str(values.get("fault", "")))


def source_of(folder: Path, *shelves: Shelf, schema: TableSchema = TABLE) -> PolledSource:
    names = dict(zip(("things", "others"), shelves, strict=False))
    tables = {name: TableSchema(f"origin.{name}", schema.columns, schema.key) for name in names}
    settings = {name: shelf.settings for name, shelf in names.items()}
    for shelf in shelves:
        shelf.incremental = shelf.settings.cursor is not None
    return PolledSource(Context("origin", tables, folder, folder), PolledSettings(every=SOON), settings, names.__getitem__)


def to_end(source: PolledSource, ledger: Ledger) -> list[SourceBatch]:
    """What a new process reads until it has all."""
    source.open(ledger.resume)
    found = []
    while True:
        batch = source.read(100, 0)
        if batch is not None:
            found.append(batch)
            ledger.commit(batch)
        elif source.reached_end():
            source.close()
            return found


def row(key: str, version: int, **more: object) -> dict[str, object]:
    return {"id": key, "value": str(version), "version": version, **more}


@pytest.mark.parametrize("later", [PolledTable(), COMPARED])
def test_rows_that_went_while_nothing_was_known_of_them_are_found_once_it_is(tmp_path: Path, later: PolledTable) -> None:
    shelf, ledger = Shelf(READ_ON, [row("a", 1), row("b", 2)]), Ledger()
    to_end(source_of(tmp_path, shelf), ledger)
    shelf.records = [row("b", 2)]
    shelf.settings = later
    to_end(source_of(tmp_path, shelf), ledger)
    assert ledger.rows == {"b": "2"}


def test_what_was_known_before_others_ways_of_reading_is_not_believed_after_them(tmp_path: Path) -> None:
    shelf, ledger = Shelf(COMPARED, [row("a", 1, value="one")]), Ledger()
    to_end(source_of(tmp_path, shelf), ledger)
    shelf.settings, shelf.records = READ_ON, [row("a", 2, value="two")]
    to_end(source_of(tmp_path, shelf), ledger)
    assert not [name for name in ledger.memory if ":known:" in name], "memory that nothing reads"
    shelf.settings, shelf.records = COMPARED, [row("a", 3, value="one")]
    to_end(source_of(tmp_path, shelf), ledger)
    assert ledger.rows == {"a": "one"}


def test_a_cursor_over_another_field_begins_anew(tmp_path: Path) -> None:
    shelf, ledger = Shelf(READ_ON, [row("a", 1000, rank=1)]), Ledger()
    to_end(source_of(tmp_path, shelf), ledger)
    shelf.settings = PolledTable(cursor=Cursor(field="rank", type="number"))
    shelf.records.append(row("b", 1001, rank=2))
    to_end(source_of(tmp_path, shelf), ledger)
    assert ledger.rows == {"a": "1000", "b": "1001"}


def test_another_key_is_read_anew(tmp_path: Path) -> None:
    def shaped(*key: str) -> TableSchema:
        return TableSchema("", TABLE.columns, key)

    shelf, ledger = Shelf(PolledTable(), [row("a", 1), row("b", 2)]), Ledger()
    to_end(source_of(tmp_path, shelf, schema=shaped("id")), ledger)
    shelf.records = [row("b", 2)]
    to_end(source_of(tmp_path, shelf, schema=shaped("id", "value")), ledger)
    assert ledger.rows == {"b": "2"}


def test_a_row_beside_a_letter_that_stays_has_a_position_of_its_own(tmp_path: Path) -> None:
    first: dict[str, object] = {"id": None, "n": 1}
    second: dict[str, object] = {"id": None, "n": 2}
    shelf, ledger = Shelf(PolledTable(), [first, second]), Ledger()
    source = source_of(tmp_path, shelf)
    to_end(source, ledger)
    source.open(ledger.resume)
    for records in ([second], [row("a", 1), second]):
        shelf.records, polls = records, len(shelf.asked)
        while len(shelf.asked) < polls + 3:
            if (batch := source.read(100, 0)) is not None:
                ledger.commit(batch)
    assert ledger.rows == {"a": "1"}
    assert len(ledger.letters) == 2


def test_a_table_that_always_fails_lets_the_others_go_on(tmp_path: Path) -> None:
    bad, good, ledger = Shelf(PolledTable(), fails=True), Shelf(PolledTable(), [row("a", 1)]), Ledger()
    source = source_of(tmp_path, bad, good)
    for _ in range(4):
        source.open(Resume())
        try:
            while not (batch := source.read(100, 0)):
                pass
        except TransientError:
            continue
        assert [part.table for part in batch.parts if isinstance(part, TableChanges)] == ["origin.others"]
        break
    assert "all" in good.asked
    assert ledger.rows == {}


@pytest.mark.parametrize("keyed", [True, False])
def test_marked_rows_are_no_reason_to_list_everything_again_and_again(tmp_path: Path, keyed: bool) -> None:
    shelf, ledger = Shelf(MARKED, [row("a", 1), row("gone", 2, gone=True)], keyed), Ledger()
    source = source_of(tmp_path, shelf)
    source.open(Resume())
    while len(shelf.asked) < 12:
        if (batch := source.read(100, 0)) is not None:
            ledger.commit(batch)
    assert ledger.rows == {"a": "1"}
    assert shelf.asked.count("on") >= 4, shelf.asked


def test_a_row_behind_the_cursor_is_found_before_the_end_and_beside_letters(tmp_path: Path) -> None:
    unreadable = {"id": "bad", "version": 5, "fault": "garbled"}
    shelf, ledger = Shelf(COMPARED, [row("a", 9), unreadable]), Ledger()
    to_end(source_of(tmp_path, shelf), ledger)
    shelf.records.append(row("late", 2))
    to_end(source_of(tmp_path, shelf), ledger)
    assert ledger.rows == {"a": "9", "late": "2"}


def test_keys_of_which_one_cannot_be_read_retract_nothing(tmp_path: Path) -> None:
    shelf, ledger = Shelf(COMPARED, [row("a", 1), row("b", 2)]), Ledger()
    to_end(source_of(tmp_path, shelf), ledger)
    shelf.records[0]["id"] = None
    to_end(source_of(tmp_path, shelf), ledger)
    assert ledger.rows == {"a": "1", "b": "2"}


def test_a_resync_with_an_unreadable_record_sweeps_once_it_is_mended(tmp_path: Path) -> None:
    shelf, ledger = Shelf(COMPARED, [row("a", 1), row("b", 2)]), Ledger()
    to_end(source_of(tmp_path, shelf), ledger)
    ledger.corrupt_one("a")
    ledger.remember(source_of(tmp_path, shelf).resync("things", ledger.resume))
    shelf.records[1]["fault"] = "garbled"
    to_end(source_of(tmp_path, shelf), ledger)
    assert "never there" in ledger.rows
    shelf.records[1]["fault"] = ""
    to_end(source_of(tmp_path, shelf), ledger)
    assert ledger.rows == {"a": "1", "b": "2"}


def test_of_rows_with_one_key_the_last_counts_and_comes_once(tmp_path: Path) -> None:
    shelf, ledger = Shelf(PolledTable(), [row("a", 1), row("a", 2)]), Ledger()
    to_end(source_of(tmp_path, shelf), ledger)
    assert ledger.rows == {"a": "2"}
    assert to_end(source_of(tmp_path, shelf), ledger) == []


def test_very_many_unreadable_records_take_no_more_than_as_many_rows(tmp_path: Path) -> None:
    shelf, ledger = Shelf(PolledTable(), [{"id": None, "n": number} for number in range(20_000)]), Ledger()
    source, began = source_of(tmp_path, shelf), time.process_time()
    batches = to_end(source, ledger)
    assert time.process_time() - began < 6
    assert len(ledger.letters) == 20_000
    written = sum(len(raw) for batch in batches for raw in batch.memory.values() if raw)
    assert written < 150 * 20_000
    assert not to_end(source_of(tmp_path, shelf), ledger)


VALUES: dict[Type, list[object]] = {
    Type.TEXT: ["plain", "", " spaced ", "line\nbreak", "\x01", "🛒"],
    Type.BIGINT: [0, 1 - 2**63, 2**63 - 1],
    Type.DECIMAL: [Decimal("0.0001"), Decimal("-99999999999999.9999"), Decimal("1e3")],
    Type.DATE: [date(1, 1, 1), date(2026, 11, 21), date(9999, 12, 31)],
    Type.TIMESTAMP: [datetime(1, 1, 1), datetime(2026, 11, 21, 14, 5, 0, 1)],
    Type.TIMESTAMPTZ: [datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 11, 21, 14, 5, 0, 999999, tzinfo=UTC)],
    Type.BOOLEAN: [True, False],
}


@pytest.mark.parametrize("type_", Type)
@pytest.mark.parametrize("composite", [False, True])
def test_keys_of_every_type_come_back_in_a_deletion(tmp_path: Path, type_: Type, composite: bool) -> None:
    columns = (Column("id", type_), Column("value", Type.TEXT))
    schema = TableSchema("", columns, ("value", "id") if composite else ("id",))
    kept: dict[str, object] = {"id": VALUES[type_][-1], "value": "kept"}
    shelf = Shelf(PolledTable(), [kept, *({"id": value, "value": "x"} for value in VALUES[type_][:-1])])
    positions, memory, ops = dict[str, Position](), dict[str, bytes](), list[tuple[object, int]]()
    for _ in range(2):
        source = source_of(tmp_path, shelf, schema=schema)
        source.open(Resume(dict(positions), dict(memory)))
        while not source.reached_end():
            if (batch := source.read(100, 0)) is not None:
                positions |= batch.positions
                memory |= {name: raw for name, raw in batch.memory.items() if raw is not None}
                ops += _ops(batch)
        shelf.records = [kept]
    assert {key for key, op in ops if op == DELETE} == set(VALUES[type_][:-1])


def _ops(batch: SourceBatch) -> Iterator[tuple[object, int]]:
    for part in batch.parts:
        if isinstance(part, TableChanges):
            yield from zip(part.rows["id"].to_pylist(), part.ops.tolist(), strict=True)
