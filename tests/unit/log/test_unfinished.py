"""What a crash leaves of a transaction whose last part has not come is taken out of the log, and nothing else."""

from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.log.histories import ORDERS, PROJECT, SCHEMAS, changes, order, table_of
from topline.changes import DeadLetter, Position
from topline.log import Log, LogEntry
from topline.log.compaction import _stretch

KEYS = {"by_city": pa.table({"city": ["Rome"]})}


def part(number: int, complete: bool = False) -> LogEntry:
    letter = ("files", DeadLetter("files.sales", "p", Position(1, number), b"x", "why", "a.csv"))
    return LogEntry(changes=[changes(ORDERS, [order(number)])], dead_letters=[letter], dirty=KEYS, complete=complete)


def kept(number: int, complete: bool = False) -> LogEntry:
    return LogEntry(changes=[changes(ORDERS, [order(number)])], held=frozenset({ORDERS.name}), complete=complete)


def state(log: Log) -> tuple[object, ...]:
    held = [row["id"] for change in log.held(ORDERS.name) for row in change.rows.to_pylist()]  # type: ignore[union-attr]
    return log.epoch, len(table_of(log, ORDERS.name)), log.letters.count(), len(log.dirty_after("by_city", 1)), held


@pytest.mark.parametrize("how", ["opened again", "told to"])
def test_the_parts_go_and_what_was_complete_stays(tmp_path: Path, how: str) -> None:
    log = Log.open(tmp_path, PROJECT)
    log.declare(SCHEMAS)
    for entry in (part(1, complete=True), kept(2, complete=True)):
        log.append(entry)
    before = state(log)
    for entry in (part(3), kept(4), part(5), kept(6)):
        log.append(entry)
    if how == "told to":
        log.discard_unfinished()
    else:
        log.close()
        log = Log.open(tmp_path, PROJECT)
    assert state(log) == before
    assert log.append(part(7, complete=True)) == 3
    log.append(kept(8))
    log.append(kept(9, complete=True))
    log.close()
    with Log.open(tmp_path, PROJECT) as again:
        assert state(again) == (5, 2, 2, 1, [2, 8, 9])


def test_folding_may_stop_amid_a_transaction_that_is_complete_and_never_amid_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topline.log.compaction.STEP_ROWS", 2)
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        for number in range(7):
            log.append(part(number, complete=number == 5))
        log.compact(through=7)
        assert log.floor == 6
        assert len(table_of(log, ORDERS.name)) == 6
        log.discard_unfinished()
        assert (log.epoch, len(table_of(log, ORDERS.name))) == (6, 6)


def test_a_step_has_at_least_one_epoch_and_is_bounded_in_rows_and_bytes() -> None:
    commits = [(1, 0, 5_000_000, 1), (2, 1, 10, 1 << 30), (3, 1, 10, 1), (4, 0, 1, 1)]
    assert _stretch(commits) == (1, 1, 5_000_000)
    assert _stretch(commits[1:]) == (2, 1, 10)
    assert _stretch(commits[2:]) == (3, 1, 10)
    assert _stretch(commits[3:]) == (0, 0, 0)
