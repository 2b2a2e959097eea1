"""Given a watched folder, when files come, change, go and break, then their rows come and are retracted as the page says."""

import gzip
import os
import time
from pathlib import Path

import pytest

from tests.integration.files.inbox import Inbox
from tests.polling import until
from topline.changes import Position
from topline.errors import TransientError
from topline.sources.base import Resume

HEAD = "id,amount\n"


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def test_files_waiting_together_are_read_by_mtime_and_path(inbox: Inbox) -> None:
    inbox.drop("b.csv", HEAD + "3,b\n", mtime=2000)
    inbox.drop("a.csv", HEAD + "2,a\n", mtime=2000)
    inbox.drop("z.csv", HEAD + "1,z\n", mtime=1000)
    inbox.read()
    assert [row[0] for row in inbox.rows] == ["1", "2", "3"]
    assert len(inbox.batches) == 1


def test_only_files_that_are_meant_are_read(inbox: Inbox) -> None:
    for name in (".hidden.csv", "a.csv.tmp", "a.csv.part", "b.json"):
        inbox.drop(name, HEAD + "1,a\n")
    (inbox.folder / "folder.csv").mkdir()
    inbox.read()
    assert inbox.parts == []


def test_globs(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, path=["inbox/**/*.csv", "other/[ab]?.txt"])
    for name in ("inbox/1.csv", "inbox/x/y/2.csv", "other/a3.txt", "other/c4.txt", "other/a55.txt", "inbox/no.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"id,amount\n{name},1\n")
        os.utime(path, (1, 1))
    inbox.read()
    assert [row[0] for row in inbox.rows] == ["inbox/1.csv", "inbox/x/y/2.csv", "other/a3.txt"]


def test_a_file_that_grows_is_not_taken(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.settle = 0.3
    inbox.restart()
    path = inbox.folder / "a.csv"
    path.write_text(HEAD)
    for number in range(5):
        with path.open("a") as file:
            file.write(f"{number},x\n")
        assert inbox.commit_one() is None
    until(lambda: inbox.commit_one() is None and len(inbox.rows) == 5, timeout=5)


def test_a_renamed_file_is_taken_at_once(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.settle = 3600
    inbox.restart()
    hidden = inbox.folder / ".a"
    hidden.write_text(HEAD + "1,a\n")
    assert inbox.commit_one() is None
    hidden.rename(inbox.folder / "a.csv")
    until(lambda: inbox.commit_one() and inbox.rows == [("1", "a")], timeout=5)


def test_a_touched_file_is_not_read_again(inbox: Inbox) -> None:
    path = inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    inbox.forget()
    os.utime(path, (5000, 5000))
    inbox.read()
    assert inbox.parts == []
    assert len(inbox.batches) == 1
    inbox.forget()
    inbox.restart()
    assert inbox.source.reached_end()


def test_a_changed_file_is_a_new_generation_and_retracts_at_its_end(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n2,b\n")
    inbox.read()
    assert inbox.sweeps == []
    inbox.forget()
    inbox.drop("a.csv", HEAD + "2,c\n")
    inbox.read()
    assert inbox.rows == [("2", "c")]
    assert [(s.partition, s.below, s.at) for s in inbox.sweeps] == [("sales:inbox/a.csv", 2, Position(2, 3))]
    assert inbox.positions == {"sales:inbox/a.csv": Position(2, 3)}


@pytest.mark.parametrize(
    "data", [b"", HEAD.encode(), HEAD.encode() + b"2,c\nbad\n", b"other\n2\n"], ids=["empty", "header", "letter", "columns"]
)
def test_a_reread_that_is_empty_or_not_clean_retracts_nothing(inbox: Inbox, data: bytes) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    inbox.drop("a.csv", data)
    inbox.read()
    assert inbox.sweeps == []
    inbox.drop("a.csv", HEAD + "3,d\n")
    inbox.read()
    assert [sweep.below for sweep in inbox.sweeps] == [3]


def test_a_broken_gz_retracts_nothing(inbox: Inbox) -> None:
    inbox.drop("a.csv.gz", gzip.compress(b"id,amount\n1,a\n"))
    inbox.read()
    inbox.drop("a.csv.gz", gzip.compress(b"id,amount\n2,a\n")[:-3])
    inbox.read()
    assert (len(inbox.letters), inbox.sweeps) == (1, [])


def test_an_empty_reread_may_be_allowed_to_retract(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, on_empty="retract")
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    inbox.drop("a.csv", HEAD)
    inbox.read()
    assert [sweep.below for sweep in inbox.sweeps] == [2]


def test_a_removed_file_is_kept_by_default_and_known_when_it_comes_back(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    (inbox.folder / "a.csv").unlink()
    inbox.read()
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    assert inbox.rows == [("1", "a")]
    assert inbox.sweeps == []


def test_a_removed_file_is_retracted_where_that_is_asked_for(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, on_remove="retract")
    for name in ("a", "b"):
        inbox.drop(f"{name}.csv", HEAD + f"{name},1\n")
    inbox.read()
    (inbox.folder / "a.csv").unlink()
    inbox.read()
    until(lambda: inbox.commit_one() is None and inbox.sweeps)
    assert [(s.partition, s.below, s.at) for s in inbox.sweeps] == [("sales:inbox/a.csv", 2, Position(2, 0))]
    inbox.forget()
    inbox.drop("a.csv", HEAD + "a,1\n")
    inbox.read()
    assert inbox.rows == [("a", "1")]
    assert inbox.positions["sales:inbox/a.csv"].hi == 3


def test_all_files_gone_at_once_retracts_nothing(tmp_path: Path) -> None:
    """A share that is not mounted looks like an empty folder."""
    inbox = Inbox(tmp_path, on_remove="retract")
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    (inbox.folder / "a.csv").unlink()
    inbox.read()
    assert inbox.commit_one() is None
    assert inbox.sweeps == []


def test_a_folder_that_is_gone_is_no_empty_folder(inbox: Inbox) -> None:
    inbox.folder.rmdir()
    with pytest.raises(TransientError, match="cannot list"):
        inbox.source.open(Resume())
    assert [fault.remedy for fault in inbox.source.check()] == [f"mkdir -p {inbox.folder}"]


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    path = inbox.drop("a.csv", HEAD + "".join(f"{n},old\n" for n in range(1000)))
    inbox.restart()
    assert inbox.commit_one(max_rows=100)
    assert Position(1, 1) < inbox.positions["sales:inbox/a.csv"] < Position(1, 200)
    path.write_text(HEAD + "1,new\n")
    until(lambda: inbox.commit_one() is None and inbox.source.reached_end())
    assert inbox.rows[-1] == ("1", "new")
    assert ("999", "old") not in inbox.rows
    assert [(sweep.below, sweep.at) for sweep in inbox.sweeps] == [(2, Position(2, 3))]


def test_a_reread_that_changes_meanwhile_retracts_nothing(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    path = inbox.drop("a.csv", HEAD + "".join(f"{n},b\n" for n in range(2, 100)))
    inbox.restart()
    assert inbox.commit_one(max_rows=50)
    path.write_bytes(path.read_bytes() + b"100,c\n")
    until(lambda: inbox.commit_one(max_rows=50) is None and inbox.source.reached_end())
    assert [sweep.at.hi for sweep in inbox.sweeps] == [3]


def test_after_a_crash_it_goes_on_behind_the_committed_line(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\nbad\n" + "".join(f"{n},x\n" for n in range(2, 10)))
    inbox.restart()
    assert inbox.commit_one(max_rows=3)
    done = len(inbox.rows)
    assert 0 < done < 9
    inbox.restart()
    until(lambda: inbox.commit_one(max_rows=3) is None and inbox.source.reached_end())
    assert [row[0] for row in inbox.rows] == [str(n) for n in range(1, 10)]
    assert len(inbox.letters) == 1


def test_a_crash_and_then_other_content_is_a_new_generation(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "".join(f"{n},old\n" for n in range(10)))
    inbox.restart()
    assert inbox.commit_one(max_rows=5)
    inbox.drop("a.csv", HEAD + "".join(f"{n},new\n" for n in range(10)))
    inbox.forget()
    inbox.restart()
    until(lambda: inbox.commit_one() is None and inbox.source.reached_end())
    assert inbox.rows == [(str(n), "new") for n in range(10)]
    assert [sweep.below for sweep in inbox.sweeps] == [2]


def test_reopened_after_a_failure_it_never_gives_other_bytes_an_issued_generation(inbox: Inbox) -> None:
    """Batches of generation 1 wait uncommitted in the queue while the source is opened anew and the file has changed."""
    inbox.drop("a.csv", HEAD + "1,old\n")
    inbox.source.open(Resume())
    assert until(lambda: inbox.source.read(10, 0.01))
    inbox.drop("a.csv", HEAD + "1,new\n")
    inbox.source.open(Resume())
    batch = until(lambda: inbox.source.read(10, 0.01))
    assert batch is not None
    assert batch.positions == {"sales:inbox/a.csv": Position(2, 3)}


def test_the_time_of_a_batch_is_when_its_newest_file_was_written(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n", mtime=1000)
    inbox.drop("b.csv", HEAD + "2,a\n", mtime=3000)
    inbox.read()
    assert [batch.time.timestamp() for batch in inbox.batches if batch.time] == [3000.0]


def test_current_is_the_last_row_of_each_key(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n1,b\n2,c\n")
    inbox.drop("b.csv", HEAD + "2,d\nbad\n")
    rows = [tuple(row.values()) for table in inbox.source.current("sales") for row in table.to_pylist()]
    assert sorted(rows) == [("1", "b"), ("2", "d")]


def test_a_thousand_files_are_a_few_batches(inbox: Inbox) -> None:
    for number in range(1000):
        inbox.drop(f"{number}.csv", HEAD + f"{number},1\n")
    started = time.thread_time()
    inbox.read(max_rows=1000)
    assert len(inbox.rows) == 1000
    assert len(inbox.batches) <= 4
    assert time.thread_time() - started < 10


def test_other_settings_read_the_files_again(inbox: Inbox) -> None:
    inbox.drop("a.csv", "id;amount\n1;2,5\n2;3\n")
    inbox.read()
    assert inbox.rows == []  # the header lacks both columns
    inbox.options["delimiter"] = ";"
    inbox.restart()
    inbox.read()
    assert inbox.rows == [("1", "2,5"), ("2", "3")]
    inbox.forget()
    inbox.options["columns"] = {"amount": {"decimal": ","}}
    inbox.restart()
    inbox.read()
    assert inbox.rows == [("1", "2.5"), ("2", "3")]
    assert [sweep.below for sweep in inbox.sweeps] == [3]
    inbox.forget()
    inbox.options["on_remove"] = "retract"  # says nothing of how a file is read
    inbox.restart()
    inbox.read()
    assert inbox.batches == []


def test_a_crash_and_then_other_settings_are_a_new_generation(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "".join(f"{n},1;5\n" for n in range(10)))
    inbox.restart()
    assert inbox.commit_one(max_rows=5)
    inbox.forget()
    inbox.options["columns"] = {"amount": {"decimal": ";"}}
    inbox.restart()
    inbox.read()
    assert inbox.rows == [(str(n), "1.5") for n in range(10)]
    assert [sweep.below for sweep in inbox.sweeps] == [2]
