"""The log gives back what it took: books, rows, held changes, dead letters."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.log.histories import ORDERS, PROJECT, SALES, SCHEMAS, changes, order, table_of
from topline.changes import DELETE, UPSERT, DeadLetter, Position, Sweep, TableChanges
from topline.errors import StateError, UsageError
from topline.log import CHECKPOINT, HeldChange, LetterState, Log, LogEntry, LogReader
from topline.log.compaction import FAN
from topline.schema import Column, TableSchema, Type


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path, PROJECT) as opened:
        opened.declare(SCHEMAS)
        yield opened


def letter(raw: bytes, lo: int = 0, partition: str = "p") -> DeadLetter:
    return DeadLetter("files.sales", partition, Position(1, lo), raw, "three fields, expected four", f"a.csv:{lo}")


def test_epochs_count_the_commits(log: Log) -> None:
    assert log.epoch == 0
    assert [log.append(LogEntry()), log.append(LogEntry())] == [1, 2]
    assert log.epoch == 2


def test_positions_and_memory_come_back_after_reopening(tmp_path: Path) -> None:
    with Log.open(tmp_path, PROJECT) as log:
        log.append(
            LogEntry(positions={"shop": {"wal": Position(5, 1), "b": Position(1, 1)}}, memory={"shop": {"a": b"\0x", "b": b""}})
        )
        log.append(LogEntry(positions={"shop": {"wal": Position(2**62, 7)}}, memory={"shop": {"a": None}}))
        state = log.state_id
    with Log.open(tmp_path, PROJECT) as log:
        assert log.resume("shop") == ({"wal": Position(2**62, 7), "b": Position(1, 1)}, {"b": b""})
        assert log.positions() == {"shop": {"wal": Position(2**62, 7), "b": Position(1, 1)}}
        assert log.resume("other") == ({}, {})
        assert (log.epoch, log.state_id) == (2, state)


def test_schemas_and_source_times_come_back(tmp_path: Path) -> None:
    time = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    with Log.open(tmp_path, PROJECT) as log:
        log.append(LogEntry(schemas={ORDERS.name: ORDERS}, source_times={"shop": time}))
        log.declare(SCHEMAS)
    with LogReader.open(tmp_path, PROJECT) as reader:
        assert reader.schemas() == SCHEMAS
        assert reader.source_times() == {"shop": time}


def test_kept_texts_are_set_read_and_forgotten(log: Log) -> None:
    log.set("fingerprint", "abc")
    assert log.get("fingerprint") == "abc"
    log.set("fingerprint", None)
    assert log.get("fingerprint") is None


def test_the_last_change_of_a_key_wins_within_and_across_epochs(log: Log) -> None:
    log.append(LogEntry(changes=[changes(ORDERS, [order(1), order(2), order(1, "Oslo")])]))
    log.append(
        LogEntry(changes=[changes(ORDERS, [order(2)], ops=[DELETE], at=2), changes(ORDERS, [order(3)], partition="q", at=1)])
    )
    assert {key[0]: row[1] for key, row in table_of(log, ORDERS.name).items()} == {1: "Oslo", 3: "Rome"}
    assert {key[0]: row[1] for key, row in table_of(log, ORDERS.name, 1).items()} == {1: "Oslo", 2: "Rome"}


def test_rows_have_their_types_and_nulls_back(log: Log) -> None:
    columns = tuple(Column(f"c{i}", kind) for i, kind in enumerate(Type))
    schema = TableSchema("shop.all", (Column("id", Type.BIGINT), *columns), ("id",))
    now = datetime(2026, 1, 1, 23, 59, 59, 999999)
    values = ["ü\0'", 2**63 - 1, order(1, amount="-99999999999999.9999")[2], now.date(), now, now.replace(tzinfo=UTC), True]
    rows = pa.Table.from_pylist(
        [{"id": 1, **dict(zip([c.name for c in columns], values, strict=True))}, {"id": 2}], schema=schema.arrow
    )
    part = TableChanges(schema.name, "p", rows, np.zeros(2, np.int8), np.zeros(2, np.int64), np.arange(2, dtype=np.int64))
    log.append(LogEntry(changes=[part], schemas={schema.name: schema}))
    for _ in range(2):
        found = pa.concat_tables(log.snapshot(schema.name)).select(list(schema.names)).sort_by("id")
        assert found.schema == schema.arrow
        assert found.equals(rows)
        log.compact(through=1)
        assert log.floor == 1


def test_read_gives_the_changes_of_each_epoch_in_order(log: Log) -> None:
    first = [changes(ORDERS, [order(1)]), changes(SALES, [("a", 1, "Rome")]), changes(ORDERS, [order(1)], ops=[DELETE], at=2)]
    log.append(LogEntry(changes=first))
    log.append(LogEntry(complete=False))
    log.append(LogEntry(changes=[changes(ORDERS, [order(9)])]))
    batches = list(log.read(0))
    assert [(b.epoch, b.complete) for b in batches] == [(1, True), (2, False), (3, True)]
    assert [(c.table, c.ops.tolist(), c.hi.tolist()) for c in batches[0].changes] == [
        (ORDERS.name, [UPSERT], [1]),
        (SALES.name, [UPSERT], [1]),
        (ORDERS.name, [DELETE], [2]),
    ]
    assert [b.epoch for b in log.read(2)] == [3]


def test_readers_do_not_see_half_a_transaction(log: Log) -> None:
    log.append(LogEntry(changes=[changes(ORDERS, [order(1)])]))
    log.append(LogEntry(changes=[changes(ORDERS, [order(2)])], complete=False))
    assert log.complete_epoch == 1
    assert len(table_of(log, ORDERS.name)) == 1
    log.compact(through=2)
    assert log.floor == 1
    log.append(LogEntry(changes=[changes(ORDERS, [order(3)])]))
    assert len(table_of(log, ORDERS.name)) == 3


def test_after_a_checkpoint_the_folded_changes_and_deletes_are_read(log: Log) -> None:
    log.append(LogEntry(changes=[changes(ORDERS, [order(1), order(2), order(3)])]))
    log.set(CHECKPOINT, "1")
    log.append(LogEntry(changes=[changes(ORDERS, [order(1), order(2, "Oslo")], ops=[DELETE, UPSERT], at=2)]))
    log.compact(through=2)
    log.append(LogEntry(changes=[changes(ORDERS, [order(4)], at=3)]))
    folded, last = log.read(1)
    assert {row["id"]: int(op) for c in folded.changes for row, op in zip(c.rows.to_pylist(), c.ops, strict=True)} == {
        1: DELETE,
        2: UPSERT,
    }
    assert last.epoch == 3
    assert sorted(row["id"] for b in log.read(0) for c in b.changes for row in c.rows.to_pylist()) == [2, 3, 4]


def test_deletes_that_are_gone_are_not_read_around(log: Log) -> None:
    for number in range(3):
        log.append(LogEntry(changes=[changes(ORDERS, [order(number)])]))
    log.compact(through=3)
    with pytest.raises(StateError, match="build the state anew"):
        list(log.read(1))


def test_publishing_prunes_the_dirty_keys_of_that_model_only(log: Log) -> None:
    keys = pa.table({"city": ["Rome", "Oslo", "Rome"]})
    for _ in range(2):
        log.append(LogEntry(dirty={"a": keys, "b": keys}))
    log.append(LogEntry(dirty={"a": pa.table({"city": ["Bonn"]})}))
    assert sorted(log.dirty_after("a").column("city").to_pylist()) == ["Bonn", "Oslo", "Rome"]
    log.mark_published(2, ["a"])
    assert log.dirty_after("a").to_pylist() == [{"city": "Bonn"}]
    assert log.dirty_after("b").num_rows == 2
    assert log.dirty_after("c").num_rows == 0
    assert log.published_epochs() == {"a": 2}


def test_held_changes_are_kept_in_order_and_released_with_the_entry_that_applies_them(tmp_path: Path) -> None:
    other = TableSchema(ORDERS.name, (Column("id", Type.BIGINT), Column("odd", Type.TEXT)), ("id",))
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        log.append(LogEntry(changes=[changes(ORDERS, [order(1)])]))
        log.hold(ORDERS.name, "lost the column city")
        kept: list[HeldChange] = [changes(other, [(2, "x")]), Sweep(ORDERS.name, "p", 5, Position(6, 0))]
        log.append(LogEntry(changes=[*kept, changes(SALES, [("a", 1, "Rome")])], held=frozenset([ORDERS.name])))
    with Log.open(tmp_path, PROJECT) as log:
        assert log.holds() == {ORDERS.name: "lost the column city"}
        first, second = log.held(ORDERS.name)
        assert isinstance(first, TableChanges)
        assert first.rows.to_pylist() == [{"id": 2, "odd": "x"}]
        assert second == kept[1]
        assert list(table_of(log, ORDERS.name)) == [(1,)]
        assert len(table_of(log, SALES.name)) == 1
        log.append(LogEntry(changes=[changes(ORDERS, [order(2)])], released=frozenset([ORDERS.name])))
        assert (log.holds(), list(log.held(ORDERS.name))) == ({}, [])
        assert sorted(table_of(log, ORDERS.name)) == [(1,), (2,)]


def test_a_column_that_is_declared_later_is_null_in_older_rows(log: Log) -> None:
    wider = TableSchema(ORDERS.name, (*ORDERS.columns, Column("note", Type.TEXT)), ORDERS.key)
    log.append(LogEntry(changes=[changes(ORDERS, [order(1), order(2)])]))
    log.compact(through=1)
    log.append(LogEntry(changes=[changes(ORDERS, [order(3)])]))
    log.append(LogEntry(changes=[changes(wider, [(*order(2), "new")])], schemas={wider.name: wider}))
    for _ in range(2):
        rows = pa.concat_tables(log.snapshot(ORDERS.name)).sort_by("id")
        assert rows.column("note").to_pylist() == [None, "new", None]
        log.compact(through=3)


def test_the_audits_connection_has_the_tables_as_of_the_epoch(log: Log) -> None:
    log.append(LogEntry(changes=[changes(ORDERS, [order(1), order(2, amount="2.5000")]), changes(SALES, [("a", 1, "Rome")])]))
    log.append(LogEntry(changes=[changes(ORDERS, [order(1)], ops=[DELETE], at=2)]))
    never = TableSchema("shop.never", ORDERS.columns, ("id",))
    connection = log.connect_duckdb({**SCHEMAS, never.name: never}, 1)
    log.compact(through=2)
    sql = (
        'SELECT (SELECT sum(amount)::TEXT FROM "shop.orders"), (SELECT count(*) FROM "files.sales"), count(*) FROM "shop.never"'
    )
    assert connection.execute(sql).fetchall() == [("3.5000", 1, 0)]
    assert log.floor == 1
    del connection
    log.compact(through=2)
    assert log.floor == 2


def test_a_journey_names_who_wrote_each_row_and_when(log: Log) -> None:
    time = datetime(2026, 3, 1, tzinfo=UTC)
    log.append(LogEntry(changes=[changes(ORDERS, [order(1), order(2)], partition="wal", at=77)], time=time))
    log.append(LogEntry(changes=[changes(ORDERS, [order(3), order(2)], ops=[UPSERT, DELETE])]))
    for _ in range(2):
        found = log.journey(ORDERS.name, pa.table({"id": [1, 2, 99]})).to_pylist()
        assert [(r["id"], r["_partition"], r["_hi"], r["_lo"], r["_epoch"], r["_time"]) for r in found] == [
            (1, "wal", 77, 0, 1, time)
        ]
        log.compact(through=2)


def test_dead_letters_are_kept_byte_for_byte(tmp_path: Path) -> None:
    raws = [bytes(range(256)), b"", b"\xff\xfe" * 1_000_000]
    with Log.open(tmp_path, PROJECT) as log:
        log.append(LogEntry(dead_letters=[("files", letter(raw, lo)) for lo, raw in enumerate(raws)]))
    with LogReader.open(tmp_path, PROJECT) as reader:
        found = reader.letters.list()
        assert [reader.letters.raw(x.id) for x in found] == raws
        assert [(x.source, x.locator, x.position, x.size) for x in found][1] == ("files", "a.csv:1", Position(1, 1), 0)
        with pytest.raises(UsageError, match="dead-letters list"):
            reader.letters.raw(99)


def test_dead_letters_are_filtered_counted_and_marked(log: Log) -> None:
    log.append(LogEntry(dead_letters=[("files", letter(b"a")), ("shop", letter(b"b")), ("files", letter(b"c"))]))
    log.append(LogEntry(letters={1: LetterState.REPLAYED, 2: LetterState.SUPERSEDED}))
    assert [x.id for x in log.letters.list()] == [3]
    assert [x.id for x in log.letters.list(source="files", state=None, limit=1)] == [1]
    assert log.letters.count(state=LetterState.SUPERSEDED) == 1
    assert log.letters.count(table="shop.orders", state=None) == 0
    log.mark_letter(3, LetterState.REPLAYED)
    assert log.letters.count() == 0


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (None, False),
        (changes(SALES, [("a", 7, "Rome")], at=2), True),
        (changes(SALES, [("a", 7, "Rome")], at=2, ops=[DELETE]), True),
        (changes(SALES, [("a", 8, "Rome")], at=2), False),
    ],
    ids=["nothing", "a correction", "a delete", "another key"],
)
def test_a_replayed_letter_yields_to_a_later_change_of_its_key(log: Log, later: TableChanges | None, expected: bool) -> None:
    log.append(LogEntry(changes=[changes(SALES, [("a", 7, "Oslo")], at=1)]))
    log.append(LogEntry(dead_letters=[("files", letter(b"a;7;?"))]))
    log.append(LogEntry(changes=[later] if later else []))
    for _ in range(2):
        assert log.later_change(log.letters.get(1), pa.table({"branch": ["a"], "line": [7]})) is expected
        log.compact(through=3)
        log.compact(through=3)


@pytest.mark.parametrize(("partition", "lo", "expected"), [("p", 3, False), ("p", 5, True), ("q", 3, True)])
def test_within_an_epoch_the_position_decides(log: Log, partition: str, lo: int, expected: bool) -> None:
    part = changes(SALES, [("a", n, "Oslo") for n in range(6)], partition=partition)
    log.append(LogEntry(changes=[part], dead_letters=[("files", letter(b"x", lo=4))]))
    assert log.later_change(log.letters.get(1), pa.table({"branch": ["a"], "line": [lo]})) is expected


def test_mistakes_of_the_caller_are_refused_and_leave_nothing(log: Log) -> None:
    unknown = TableSchema("shop.unknown", ORDERS.columns, ("id",))
    for entry, match in [
        (LogEntry(changes=[changes(unknown, [order(1)])]), "declare it first"),
        (LogEntry(changes=[Sweep(ORDERS.name, None, None, Position(1, 1))]), "resolved"),
        (
            LogEntry(
                changes=[changes(SALES, [("a", 1, "x")])],
                schemas={SALES.name: TableSchema(SALES.name, ORDERS.columns, ("id",))},
            ),
            "columns",
        ),
    ]:
        with pytest.raises(ValueError, match=match):
            log.append(entry)
    assert log.epoch == 0


def test_a_second_engine_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    with Log.open(tmp_path, PROJECT), pytest.raises(StateError, match=r"another engine \(process \d+\)"):
        Log.open(tmp_path, PROJECT)
    Log.open(tmp_path, PROJECT).close()


def test_another_project_is_refused(tmp_path: Path) -> None:
    Log.open(tmp_path, PROJECT).close()
    for opener in (Log, LogReader):
        with pytest.raises(StateError, match="belongs to the project 'sales', not to 'other'"):
            opener.open(tmp_path, "other")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    Log.open(tmp_path, PROJECT).close()
    connection = sqlite3.connect(tmp_path / "log.sqlite")
    connection.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(StateError, match="Upgrade Topline"):
        Log.open(tmp_path, PROJECT)


def test_a_reader_without_a_log_is_told_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="topline run"):
        LogReader.open(tmp_path, PROJECT)


@pytest.mark.parametrize("damage", ["cut", "text", "middle"])
def test_a_damaged_log_is_a_clear_error(tmp_path: Path, damage: str) -> None:
    with Log.open(tmp_path, PROJECT) as log:
        log.append(LogEntry(dead_letters=[("files", letter(b"x" * 500_000))]))
    path = tmp_path / "log.sqlite"
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[:8192],
            "text": b"this is not a database, but long enough" * 99,
            "middle": whole[:100] + bytes(8000) + whole[8100:],
        }[damage]
    )
    with pytest.raises(StateError, match="damaged"):
        Log.open(tmp_path, PROJECT)


def test_a_pin_that_is_taken_while_a_fold_is_written_stops_it(log: Log, tmp_path: Path) -> None:
    log.append(LogEntry(changes=[changes(ORDERS, [order(1)])]))
    step = log._compactor._next_step(1)
    assert step is not None
    with log.pin() as pin:
        assert pin.epoch == 0
        assert not log._compactor._fold(step)
        assert (log.floor, list((tmp_path / "segments").iterdir())) == (0, [])
    assert log._compactor._fold(step)
    assert log.floor == 1


def test_a_segment_that_a_pin_still_reads_outlives_its_merge(log: Log, tmp_path: Path) -> None:
    log.append(LogEntry(changes=[changes(ORDERS, [order(0)])]))
    log.append(LogEntry(changes=[changes(ORDERS, [order(n) for n in range(FAN)])]))
    log.compact(through=1)
    with log.pin(2):
        log.compact(through=2)
        assert (log.floor, len(list((tmp_path / "segments").iterdir()))) == (2, 2)
    log.compact(through=2)
    assert len(list((tmp_path / "segments").iterdir())) == 1


def test_folding_stops_at_what_is_published(log: Log) -> None:
    for number in range(4):
        log.append(LogEntry(changes=[changes(ORDERS, [order(number)])]))
    log.compact()
    assert (log.floor, log.pending) == (0, 404)
    log.mark_published(3, ["a"])
    log.mark_published(1, ["halted"])
    log.compact(through=4)
    assert (log.floor, log.pending) == (3, 101)
    with pytest.raises(StateError, match="the oldest that can be read is 3"):
        list(log.snapshot(ORDERS.name, 2))


def test_the_newest_of_several_segments_wins(log: Log, tmp_path: Path) -> None:
    for epoch, rows in enumerate((100, 20, 4), start=1):
        log.append(LogEntry(changes=[changes(ORDERS, [order(n, f"city {epoch}") for n in range(rows)], at=epoch)]))
        log.compact(through=epoch)
    assert len(list((tmp_path / "segments").iterdir())) == 3
    found = {key[0]: row[1] for key, row in table_of(log, ORDERS.name).items()}
    assert found == {n: "city 3" if n < 4 else "city 2" if n < 20 else "city 1" for n in range(100)}


def test_a_missing_segment_is_a_clear_error(log: Log, tmp_path: Path) -> None:
    log.append(LogEntry(changes=[changes(ORDERS, [order(1)])]))
    log.compact(through=1)
    next((tmp_path / "segments").iterdir()).unlink()
    for read in (lambda: list(log.snapshot(ORDERS.name)), lambda: log.journey(ORDERS.name, pa.table({"id": [1]}))):
        with pytest.raises(StateError, match="cannot read the log's tables"):
            read()


def test_a_log_that_vanished_from_beside_its_segments_is_not_made_anew(tmp_path: Path) -> None:
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        log.append(LogEntry(changes=[changes(ORDERS, [order(1)])]))
        log.compact(through=1)
    (tmp_path / "log.sqlite").unlink()
    with pytest.raises(StateError, match="damaged"):
        Log.open(tmp_path, PROJECT)
    assert list((tmp_path / "segments").iterdir())
