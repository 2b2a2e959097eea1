"""What must be known after a restart besides the changes: sources amid a copy, models of which changes were missed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from topline.changes import SourceBatch
from topline.live.marks import Marks
from topline.log import Log


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "state", "test") as one:
        yield one


def copying(source: str) -> SourceBatch:
    return SourceBatch(source, copying=True)


def test_a_source_amid_a_copy_is_known_after_a_restart_until_a_batch_of_it_ends_the_copy(log: Log) -> None:
    marks = Marks(log)
    marks.begin_copies([copying("shop"), SourceBatch("branches")])
    assert marks.copying == {"shop"}
    assert Marks(log).copying == {"shop"}
    marks.begin_copies([copying("branches"), SourceBatch("shop")])
    assert Marks(log).copying == {"shop", "branches"}, "a mark is dropped after the commit, not before"
    marks.end_copies([copying("branches")])
    assert Marks(log).copying == {"shop", "branches"}
    marks.end_copies([copying("shop"), SourceBatch("shop")])
    assert marks.copying == {"branches"}
    assert Marks(log).copying == {"branches"}


def test_of_two_batches_of_a_source_the_last_one_says_whether_it_is_copied(log: Log) -> None:
    marks = Marks(log)
    marks.begin_copies([copying("shop")])
    marks.end_copies([SourceBatch("shop"), copying("shop")])
    assert Marks(log).copying == {"shop"}


def test_models_of_which_changes_were_missed_are_known_after_a_restart(log: Log) -> None:
    marks = Marks(log)
    assert (marks.stale, marks.copying) == (set(), set())
    marks.add_stale(["money"])
    marks.add_stale(["pieces"])
    assert (marks.stale, Marks(log).stale) == ({"money", "pieces"}, {"money", "pieces"})
    marks.drop_stale(["money", "other"])
    assert (marks.stale, Marks(log).stale) == ({"pieces"}, {"pieces"})


def test_what_is_known_already_is_not_written_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = Marks(log)
    marks.begin_copies([copying("shop")])
    marks.add_stale(["money"])
    monkeypatch.setattr(log, "set", lambda *_: pytest.fail("each write is a commit, at every batch"))
    marks.begin_copies([copying("shop")])
    marks.end_copies([SourceBatch("branches")])
    marks.add_stale(["money"])
    marks.drop_stale(["pieces"])
