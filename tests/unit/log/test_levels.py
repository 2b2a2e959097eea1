"""Segments are few, their rows are rewritten few times, and whatever they are merged from, the last change of a key stays."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.polling import until
from tests.unit.log.histories import ORDERS, PROJECT, SALES, SCHEMAS, Row, Truth, apply, changes, order, table_of
from topline.changes import DELETE, UPSERT, TableChanges
from topline.errors import TransientError
from topline.log import Log, LogEntry
from topline.log.compaction import FAN, MOST, _level, _merged
from topline.log.contents import Segment
from topline.schema import Column, TableSchema, Type

MANY = 5_000  # rows enough for dictionaries, and for several levels


@dataclass
class Levels:
    """Segments of rows that never meet again. `rewritten`: how many times, at most, a row of each was."""

    segments: list[Segment] = field(default_factory=list)
    rewritten: list[int] = field(default_factory=list)

    def add(self, pending: int) -> None:
        taken = _merged(self.segments, pending)
        keep = len(self.segments) - len(taken)
        self.rewritten[keep:] = [1 + max(self.rewritten[keep:], default=-1)]
        self.segments[keep:] = [Segment(0, Path(), pending + sum(one.rows for one in taken), 0, ORDERS)]


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.one_of(st.integers(1, 3), st.integers(1, 2_000_000)), max_size=60))
@example(steps=[1] * 300)
@example(steps=[400, 400, 200] * 50)
def test_segments_are_few_of_each_level_and_a_row_rises_whenever_it_is_rewritten(steps: Iterable[int]) -> None:
    levels = Levels()
    for pending in steps:
        levels.add(pending)
        found = [_level(one.rows) for one in levels.segments]
        assert found == sorted(found, reverse=True)
        assert all(found.count(level) < FAN for level in found)
        assert all(times <= level for times, level in zip(levels.rewritten, found, strict=True))


def test_a_level_begins_at_a_power_of_the_fan() -> None:
    assert [_level(rows) for rows in (0, 1, FAN - 1, FAN, FAN**2 - 1, FAN**2, FAN**9)] == [0, 0, 0, 1, 1, 2, 9]


def sales(keys: Iterable[int], city: str, op: int = UPSERT) -> TableChanges:
    rows: list[Row] = [("ab"[key % 2], key // 2, city) for key in keys]
    return changes(SALES, rows, ops=[op] * len(rows), partition=city)


@pytest.mark.parametrize("first", [MANY, 100], ids=["with dictionaries", "few rows"])
def test_merged_segments_hold_the_last_change_of_each_key_and_no_more(tmp_path: Path, first: int) -> None:
    parts = [
        sales(range(first), "Bonn"),
        sales(range(0, first, 3), "Oslo"),
        sales(range(0, first, 5), "", DELETE),
        sales(range(first // 2, first * 2), "Rome"),
        sales(range(0, first, 7), "", DELETE),
        sales(range(0, first * 8, 7), "Ürümqi"),
        sales(range(0, first * 8, 11), "", DELETE),
        sales(range(first * 16, first * 40), "Lima"),
    ]
    truth: Truth = {}
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        for epoch, part in enumerate(parts, start=1):
            entry = [part, sales(range(epoch, first, 13), "", DELETE)]
            for one in entry:
                apply(truth, one)
            log.append(LogEntry(changes=entry))
            log.compact(through=epoch)
            assert table_of(log, SALES.name) == truth[SALES.name], epoch
        assert [pq.read_metadata(path).num_rows for path in (tmp_path / "segments").iterdir()] == [len(truth[SALES.name])]


def test_segments_of_an_older_declaration_are_merged_as_it_is_now(tmp_path: Path) -> None:
    wider = TableSchema(ORDERS.name, (*ORDERS.columns, Column("note", Type.TEXT)), ORDERS.key)
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        log.append(LogEntry(changes=[changes(ORDERS, [order(1), order(2)])]))
        log.compact(through=1)
        rows = [(*order(n), "new") for n in range(2, 2 + FAN**2)]
        log.append(LogEntry(changes=[changes(wider, rows)], schemas={wider.name: wider}))
        log.compact(through=2)
        assert len(list((tmp_path / "segments").iterdir())) == 1
        found = pa.concat_tables(log.snapshot(ORDERS.name)).sort_by("id")
        assert found.column("note").to_pylist() == [None, *["new"] * len(rows)]


def test_a_folder_that_is_called_like_a_column_with_a_value_is_none(tmp_path: Path) -> None:
    """As hive lays partitions, which DuckDB looks for by itself."""
    truth: Truth = {}
    with Log.open(tmp_path / "city=Rome" / "_deleted=1", PROJECT) as log:
        log.declare(SCHEMAS)
        for epoch, part in enumerate([sales(range(9), "Bonn"), sales(range(5), "Oslo"), sales(range(3), "Graz")], start=1):
            apply(truth, part)
            log.append(LogEntry(changes=[part]))
            log.compact(through=epoch)
            assert table_of(log, SALES.name) == truth[SALES.name]


def test_a_fold_that_fails_leaves_nothing_of_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "topline.log.compaction.sync", Mock(side_effect=[None, OSError(28, "No space left on device"), None, None])
    )
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        log.append(LogEntry(changes=[changes(ORDERS, [order(1)]), sales([1], "Bonn")]))
        with pytest.raises(TransientError, match="No space left on device"):
            log.compact(through=1)
        assert (log.floor, list((tmp_path / "segments").iterdir())) == (0, [])


def test_a_fold_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        log.append(LogEntry(changes=[changes(ORDERS, [order(1)])]))
        step = log._compactor._next_step(1)
        assert step is not None
        log._compactor.stop()
        assert not log._compactor._fold(step)
        assert (log.floor, list((tmp_path / "segments").iterdir())) == (0, [])


def test_an_interrupt_that_comes_before_the_query_is_followed_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        log.append(LogEntry(changes=[changes(ORDERS, [order(1)])]))
        compactor, connection, begun = log._compactor, Mock(), threading.Event()

        def fold(_step: object, _leave: int) -> bool:
            begun.set()
            until(lambda: connection.interrupt.call_count >= 3)
            return False

        monkeypatch.setattr(compactor, "_fold", fold)
        monkeypatch.setattr(compactor, "_connection", connection)
        log.compact_in_background(through=1)
        begun.wait(10)
        compactor.stop()
        assert connection.interrupt.call_count >= 3


def test_in_a_backlog_segments_are_merged_once_there_are_many(tmp_path: Path) -> None:
    truth: Truth = {}
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        found: list[int] = []
        for epoch in range(1, MOST + 2):
            part = sales([epoch, epoch + 1], f"City {epoch}")
            apply(truth, part)
            log.append(LogEntry(changes=[part]))
            log.compact(through=epoch, hurried=True)
            found.append(len(list((tmp_path / "segments").iterdir())))
            assert table_of(log, SALES.name) == truth[SALES.name]
        assert found == [*range(1, MOST + 1), 1]
