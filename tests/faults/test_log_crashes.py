"""The engine's process dies at each point of a commit and of a compaction: what was committed is there, and nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.polling import until
from tests.unit.log.histories import ORDERS, PROJECT, SCHEMAS, changes, order, table_of
from topline.changes import DeadLetter, Position
from topline.errors import StateError
from topline.faults import VARIABLE
from topline.log import Log, LogEntry, LogReader
from topline.log.compaction import FAN

ROOT = Path(__file__).parents[2]

WRITE = """
import sys
from pathlib import Path
from tests.faults.test_log_crashes import entry
from tests.unit.log.histories import PROJECT, SCHEMAS
from topline.log import Log
with Log.open(Path(sys.argv[1]), PROJECT) as log:
    log.declare(SCHEMAS)
    for number in range(1, 6):
        log.append(entry(number))
        print(number, flush=True)
    log.compact(through=3)
    log.compact(through=5)
"""

FULL_FOLD = """
import resource, sys
from pathlib import Path
from tests.unit.log.histories import ORDERS, PROJECT, SCHEMAS, changes, order, table_of
from topline.errors import WorkError
from topline.log import Log, LogEntry
folder = Path(sys.argv[1])
with Log.open(folder, PROJECT) as log:
    log.declare(SCHEMAS)
    log.append(LogEntry(changes=[changes(ORDERS, [order(n) for n in range(50_000)])]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        log.compact(through=1)
    except WorkError as error:
        print(error)
    assert (log.floor, list((folder / "segments").iterdir())) == (0, [])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log.compact(through=1)
    assert log.floor == 1
    assert len(table_of(log, ORDERS.name)) == 50_000
"""

READ = """
import sys
from pathlib import Path
from tests.unit.log.histories import ORDERS, PROJECT
from topline.log import LogReader
with LogReader.open(Path(sys.argv[1]), PROJECT) as reader, reader.pin() as pin:
    print(pin.epoch, flush=True)
    sys.stdin.readline()
    print(sum(len(chunk) for chunk in reader.snapshot(ORDERS.name, int(sys.argv[2]))))
"""

FULL = """
import resource, sys
from pathlib import Path
from tests.faults.test_log_crashes import entry
from tests.unit.log.histories import PROJECT, SCHEMAS
from topline.changes import DeadLetter, Position
from topline.errors import WorkError
from topline.log import Log, LogEntry
with Log.open(Path(sys.argv[1]), PROJECT) as log:
    log.declare(SCHEMAS)
    log.append(entry(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
    letter = DeadLetter("files.sales", "p", Position(1, 1), b"x" * 4_000_000, "too long", "a.csv:1")
    try:
        log.append(LogEntry(positions={"shop": {"wal": Position(99, 0)}}, dead_letters=[("files", letter)]))
    except WorkError as error:
        print(error)
    assert log.epoch == 1, log.epoch
    assert log.resume("shop")[0]["wal"] == (1, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log.append(entry(2))
"""


def entry(number: int) -> LogEntry:
    """Order `number` comes, and each order's city is written anew."""
    letter = DeadLetter("files.sales", "p", Position(number, 0), bytes([number]), "odd", "a.csv")
    rows = [order(n, f"city {number}") for n in range(1, number + 1)]
    positions = {"shop": {"wal": Position(number, 0)}}
    return LogEntry(changes=[changes(ORDERS, rows, at=number)], positions=positions, dead_letters=[("files", letter)])


def python(script: str, *arguments: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("place", "epoch"),
    [
        ("append:before-commit@3", 2),
        ("append:after-commit@3", 3),
        ("compact:before-commit", 5),
        ("compact:after-commit", 5),
        ("compact:before-commit@2", 5),
        ("compact:after-commit@2", 5),
    ],
)
def test_a_kill_leaves_whole_epochs_and_no_strange_files(tmp_path: Path, place: str, epoch: int) -> None:
    done = python(WRITE, tmp_path, env={VARIABLE: place})
    assert done.returncode == -signal.SIGKILL, done.stderr
    with Log.open(tmp_path, PROJECT) as log:
        assert log.epoch == epoch
        assert log.resume("shop") == ({"wal": Position(epoch, 0)}, {})
        assert [log.letters.raw(letter.id) for letter in log.letters.list()] == [bytes([n + 1]) for n in range(epoch)]
        assert {key[0]: row[1] for key, row in table_of(log, ORDERS.name).items()} == dict.fromkeys(
            range(1, epoch + 1), f"city {epoch}"
        )
        assert len(list((tmp_path / "segments").iterdir())) == (1 if log.floor else 0)
        rows = [order(n) for n in range(1, FAN**3)]  # enough of them to take in every segment
        log.append(LogEntry(changes=[changes(ORDERS, rows)]))
        log.compact(through=log.epoch)
        assert len(table_of(log, ORDERS.name)) == len(rows)
        assert len(list((tmp_path / "segments").iterdir())) == 1


def test_a_killed_readers_pin_does_not_last(tmp_path: Path) -> None:
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        log.append(entry(1))
        reader = subprocess.Popen(
            [sys.executable, "-c", READ, str(tmp_path), "1"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"0\n"
        log.compact(through=1)
        assert log.floor == 0
        reader.kill()
        reader.communicate()
        log.compact(through=1)
        assert log.floor == 1
        assert not list((tmp_path / "pins").iterdir())


def test_another_process_reads_its_epoch_while_the_engine_appends_and_folds(tmp_path: Path) -> None:
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        for number in range(1, 4):
            log.append(entry(number))
        reader = subprocess.Popen(
            [sys.executable, "-c", READ, str(tmp_path), "2"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert reader.stdout is not None
        reader.stdout.readline()
        for number in range(4, 9):
            log.append(entry(number))
            log.compact(through=log.epoch)
        assert reader.communicate(b"\n", timeout=60)[0] == b"2\n"
        log.compact(through=log.epoch)
        assert log.floor == 8


def test_a_compaction_in_the_background_does_not_stop_appends(tmp_path: Path) -> None:
    with Log.open(tmp_path, PROJECT) as log:
        log.declare(SCHEMAS)
        for number in range(1, 4):
            log.append(entry(number))
        assert log.compact_in_background(through=3)
        for number in range(4, 40):
            log.append(entry(number))
        until(lambda: log.floor == 3)
        assert len(table_of(log, ORDERS.name)) == 39
    with LogReader.open(tmp_path, PROJECT) as reader:
        assert (reader.floor, reader.epoch) == (3, 39)


def test_an_engine_in_another_process_is_named(tmp_path: Path) -> None:
    with Log.open(tmp_path, PROJECT):
        done = python(WRITE, tmp_path)
    assert f"another engine (process {os.getpid()})" in done.stderr
    assert StateError.__name__ in done.stderr


def test_a_full_disk_leaves_nothing_of_the_commit_and_heals(tmp_path: Path) -> None:
    done = python(FULL, tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "log.sqlite") in done.stdout
    assert "Make room" in done.stdout
    with Log.open(tmp_path, PROJECT) as log:
        assert log.epoch == 2
        assert log.resume("shop")[0] == {"wal": Position(2, 0)}
        assert len(table_of(log, ORDERS.name)) == 2


def test_a_full_disk_leaves_nothing_of_a_fold_and_heals(tmp_path: Path) -> None:
    done = python(FULL_FOLD, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cannot fold the log" in done.stdout
