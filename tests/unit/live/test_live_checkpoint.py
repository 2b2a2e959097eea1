"""When the state is saved, what a disk that refuses comes to, and what a restart finds."""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.live.engines import Clock
from tests.unit.live.histories import order, upserts
from tests.unit.live.plans import ORDERS, sums
from topline.live.checkpoint import Checkpoints, load_checkpoint
from topline.live.dataflow import Dataflow
from topline.log import Log, LogEntry


class Saving:
    """Checkpoints over a log and a dataflow in `folder`. `refused`: what the disk answers; `seconds`: how long it takes."""

    def __init__(self, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.clock = folder, clock
        self.log = Log.open(folder, "test")
        self.log.declare({"shop.orders": ORDERS})
        self.dataflow = Dataflow(sums())
        self.refused: OSError | None = None
        self.seconds = 0.0
        self._dump = self.dataflow.begin_dump
        monkeypatch.setattr(self.dataflow, "begin_dump", self._begin)
        self.checkpoints = self.made()

    def made(self, share: float = 0.05) -> Checkpoints:
        return Checkpoints(self.folder, self.log, self.dataflow, share)

    def _begin(self, path: Path) -> None:
        self.clock.now += self.seconds
        self._dump(path)
        if self.refused:
            raise self.refused

    def append(self, number: int, amount: str = "10") -> None:
        changes = upserts("shop.orders", order(number, amount))
        self.dataflow.apply([changes])
        self.log.append(LogEntry(changes=[changes]))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("checkpoint*"))

    def after(self, seconds: float) -> list[str]:
        """What is saved when a turn ends so much later, and the one after it."""
        self.clock.now += seconds
        self.checkpoints.after_turn()
        self.checkpoints.after_turn()
        return self.files()


@pytest.fixture
def saving(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Saving]:
    one = Saving(tmp_path / "state", clock, monkeypatch)
    yield one
    one.log.close()


def loaded(saving: Saving) -> tuple[int, int] | None:
    """(epoch, orders) of what a restart finds."""
    found = load_checkpoint(saving.folder, saving.log, sums())
    return found and (found[1], found[0].table_count("shop.orders"))


def test_what_is_saved_at_the_end_is_what_a_restart_begins_with(saving: Saving) -> None:
    assert loaded(saving) is None
    saving.append(1)
    saving.append(2)
    saving.checkpoints.save()
    assert (saving.files(), loaded(saving), saving.checkpoints.trouble) == (["checkpoint.2"], (2, 2), "")


def test_a_state_that_is_saved_already_is_not_saved_again(saving: Saving) -> None:
    saving.append(1)
    saving.checkpoints.save()
    before = (saving.folder / "checkpoint.1").stat().st_mtime_ns
    saving.checkpoints.save()
    saving.made().save()
    assert (saving.folder / "checkpoint.1").stat().st_mtime_ns == before


def test_an_empty_state_is_saved_once_too(saving: Saving) -> None:
    saving.checkpoints.save()
    assert (saving.files(), loaded(saving)) == (["checkpoint.0"], (0, 0))


def test_while_running_it_is_saved_after_five_seconds_where_that_is_cheap(saving: Saving) -> None:
    saving.append(1)
    assert saving.after(4.9) == []
    assert saving.after(0.2) == ["checkpoint.1"]
    saving.append(2)
    assert saving.after(4.9) == ["checkpoint.1"]
    assert saving.after(0.2) == ["checkpoint.2"]


def test_saving_takes_its_share_of_the_time_and_no_more(saving: Saving) -> None:
    saving.seconds = 2.0
    saving.append(1)
    assert saving.after(5.1) == ["checkpoint.1"]
    saving.append(2)
    assert saving.after(39.9) == ["checkpoint.1"]
    assert saving.after(0.2) == ["checkpoint.2"]


@pytest.mark.parametrize(("share", "seconds"), [(0.01, 10.0), (0.005, 20.0), (0.5, 5.0)])
def test_before_the_first_one_it_is_taken_to_cost_a_tenth_of_a_second(saving: Saving, share: float, seconds: float) -> None:
    saving.checkpoints = saving.made(share)
    saving.append(1)
    assert saving.after(seconds - 0.1) == []
    assert saving.after(0.2) == ["checkpoint.1"]
    saving.append(2)  # it took no time, which is not believed
    assert saving.after(seconds - 0.1) == ["checkpoint.1"]
    assert saving.after(0.2) == ["checkpoint.2"]


def test_after_a_restart_it_is_taken_to_cost_what_the_last_one_weighs(saving: Saving) -> None:
    saving.append(1)
    saving.checkpoints.save()
    os.truncate(saving.folder / "checkpoint.1", 2 * 10**9)
    saving.checkpoints = saving.made(0.05)
    saving.append(2)
    assert saving.after(39.9) == ["checkpoint.1"]
    assert saving.after(0.2) == ["checkpoint.2"]


def test_without_a_share_it_is_saved_at_the_end_only(saving: Saving) -> None:
    saving.checkpoints = saving.made(0.0)
    saving.append(1)
    assert saving.after(10_000) == []


def test_turns_go_on_while_the_disk_takes_it(saving: Saving) -> None:
    worker = saving.clock.workers["checkpoint"]
    worker.waits = True
    saving.append(1)
    saving.after(6)
    assert loaded(saving) is None
    saving.append(2)
    saving.after(60)
    assert worker.waiting == 1, "no other one is begun meanwhile"
    worker.work()
    saving.checkpoints.after_turn()
    assert loaded(saving) == (1, 1)


def test_a_halted_model_keeps_the_state_from_being_saved(saving: Saving) -> None:
    """From the log alone, it may start again."""
    saving.append(1, "99999999999999")
    saving.append(2, "99999999999999")
    assert saving.dataflow.halted
    saving.checkpoints.save()
    assert saving.files() == []


def test_a_full_disk_is_told_once_and_tried_again(saving: Saving, caplog: pytest.LogCaptureFixture) -> None:
    saving.append(1)
    saving.checkpoints.save()
    saving.append(2)
    saving.refused = OSError(errno.ENOSPC, "No space left on device")
    for _ in range(2):
        saving.after(5.1)
    trouble = saving.checkpoints.trouble
    assert trouble.startswith(f"cannot write the checkpoint {saving.folder / 'checkpoint.2'}: No space left on device.")
    assert [record.getMessage() for record in caplog.records] == [trouble]
    assert (saving.files(), loaded(saving)) == (["checkpoint.1"], (1, 1)), "what was begun is gone, what stood stands"
    saving.refused = None
    assert saving.after(5.1) == ["checkpoint.2"]
    assert saving.checkpoints.trouble == ""
    saving.append(3)
    saving.refused = OSError("gone")
    saving.after(5.1)
    assert "checkpoint.3: gone. " in saving.checkpoints.trouble
    assert len(caplog.records) == 2


def test_a_disk_that_refuses_at_the_last_moment_leaves_the_one_before(saving: Saving, monkeypatch: pytest.MonkeyPatch) -> None:
    saving.append(1)
    saving.checkpoints.save()
    saving.append(2)

    def refuse(_path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("topline.live.checkpoint.statefile.settle", refuse)
        saving.checkpoints.save()
    assert "checkpoint.2: Input/output error." in saving.checkpoints.trouble
    assert (saving.files(), loaded(saving)) == (["checkpoint.1"], (1, 1))
    saving.checkpoints.save()
    assert loaded(saving) == (2, 2)


def test_what_is_saved_is_the_state_that_it_follows(saving: Saving) -> None:
    saving.append(1)
    anew = Dataflow(sums())
    anew.apply([upserts("shop.orders", order(1, "10"), order(2, "10"), order(3, "10"))])
    saving.checkpoints.follow(anew)
    saving.checkpoints.save()
    assert loaded(saving) == (1, 3)


def test_what_is_damaged_missing_or_of_other_models_is_not_believed(saving: Saving) -> None:
    saving.append(1)
    saving.checkpoints.save()
    other = replace(sums(), fingerprint="other")
    assert load_checkpoint(saving.folder, saving.log, other) is None
    path = saving.folder / "checkpoint.1"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert loaded(saving) is None
    path.unlink()
    assert loaded(saving) is None


@pytest.mark.parametrize("error", [LookupError("node 9"), ValueError("shapes differ"), OSError("no disk")])
def test_one_that_another_version_of_the_code_wrote_is_not_believed(
    saving: Saving, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving.append(1)
    saving.checkpoints.save()

    def fail(*_: object) -> Dataflow:
        raise error

    monkeypatch.setattr(Dataflow, "load", fail)
    assert loaded(saving) is None
