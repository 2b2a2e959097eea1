"""Given a file that is appended to, cut, renamed, moved or removed, when it is read, then just what changed comes."""

import gzip
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.files.inbox import Inbox
from tests.polling import until
from topline.changes import Position, Sweep, TableChanges
from topline.sources.base import Resume

HEAD = "id,amount\n"
PARTITION = "sales:inbox/a.csv"


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def append(inbox: Inbox, text: str, name: str = "a.csv") -> None:
    """By a new file of the same beginning, as well as in place: neither is told from the other."""
    path = inbox.folder / name
    inbox.drop(name, path.read_bytes() + text.encode())


def test_of_a_file_that_grows_only_what_was_appended_comes(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\nbad\n2,b\n")
    inbox.read()
    append(inbox, "3,c\nworse\n")
    inbox.read()
    inbox.restart()
    append(inbox, '2,"d\nd"\n')
    inbox.read()
    assert inbox.rows == [("1", "a"), ("2", "b"), ("3", "c"), ("2", "d\nd")]
    places = [(part.hi.tolist(), part.lo.tolist()) for part in inbox.parts if isinstance(part, TableChanges)]
    assert places == [([1, 1], [2, 4]), ([2], [5]), ([3], [7])]
    assert [locator for locator, _ in inbox.bad] == ["inbox/a.csv:3", "inbox/a.csv:6"]
    assert inbox.sweeps == []


@pytest.mark.parametrize(
    ("before", "appended", "rows"),
    [
        ("1,a\n2,b", "c\n3,d\n", [("1", "a"), ("2", "bc"), ("3", "d")]),
        ('1,a\n2,"b\n', 'c"\n', [("1", "a"), ("2", "b\nc")]),
        ("", "1,a\n", [("1", "a")]),
    ],
    ids=["line", "quote", "header"],
)
def test_what_continues_a_record_is_read_with_it(inbox: Inbox, before: str, appended: str, rows: list[tuple[str, str]]) -> None:
    inbox.drop("a.csv", (HEAD if before else HEAD[:5]) + before)
    inbox.read()
    inbox.forget()
    append(inbox, appended if before else HEAD[5:] + appended)
    inbox.read()
    assert inbox.rows == rows


def test_a_header_that_is_appended_again_is_no_row(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    append(inbox, HEAD + "2,b\n")
    inbox.read()
    assert (inbox.rows, inbox.letters) == ([("1", "a"), ("2", "b")], [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_what_is_appended_is_read_as_the_beginning_says(tmp_path: Path, encoding: str) -> None:
    """Its byte-order mark, and the delimiter of its first line."""
    inbox = Inbox(tmp_path, encoding="latin-1")
    first, second = "sep=;\nid;amount\n1;é\n", "2;ü\n"
    inbox.drop("a.csv", first.encode(encoding if encoding != "utf-8" else "utf-8-sig"))
    inbox.read()
    inbox.drop("a.csv", (first + second).encode(encoding if encoding != "utf-8" else "utf-8-sig"))
    inbox.read()
    assert (inbox.rows, inbox.letters) == ([("1", "é"), ("2", "ü")], [])


def test_what_was_appended_is_retracted_with_the_rest(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    append(inbox, "2,b\n")
    inbox.read()
    inbox.drop("a.csv", HEAD + "3,c\n")
    inbox.read()
    assert [(sweep.below, sweep.at) for sweep in inbox.sweeps] == [(3, Position(3, 3))]


def test_a_beginning_that_changed_is_read_anew(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    inbox.forget()
    inbox.drop("a.csv", HEAD + "1,b\n2,c\n")
    inbox.read()
    assert inbox.rows == [("1", "b"), ("2", "c")]
    assert [sweep.below for sweep in inbox.sweeps] == [2]


def test_a_packed_file_that_grows_is_read_anew(inbox: Inbox) -> None:
    first = gzip.compress(HEAD.encode() + b"1,a\n")
    inbox.drop("a.csv.gz", first)
    inbox.read()
    inbox.drop("a.csv.gz", first + gzip.compress(b"2,b\n"))
    inbox.read()
    assert inbox.rows == [("1", "a"), ("1", "a"), ("2", "b")]


def test_what_was_appended_goes_on_after_a_crash(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.read()
    append(inbox, "".join(f"{n},b\n" for n in range(2, 8)))
    inbox.restart()
    assert inbox.commit_one(max_rows=3)
    inbox.restart()
    until(lambda: inbox.commit_one(max_rows=3) is None and inbox.source.reached_end())
    assert [row[0] for row in inbox.rows] == [str(n) for n in range(1, 8)]
    assert inbox.sweeps == []


def test_what_was_appended_to_something_lost_is_read_with_it(inbox: Inbox) -> None:
    """The batch with the file's beginning, and that with what was appended, are dropped before they are committed."""
    inbox.drop("a.csv", HEAD + "1,a\n")
    inbox.source.open(Resume())
    assert until(lambda: inbox.source.read(10, 0.01))
    append(inbox, "2,b\n")
    assert until(lambda: inbox.source.read(10, 0.01))
    inbox.read()
    assert inbox.rows == [("1", "a"), ("2", "b")]


def test_the_rows_of_a_renamed_file_pass_to_its_new_name(tmp_path: Path) -> None:
    """They are written under the new name before the old one loses what it still owns: none is ever missing."""
    inbox = Inbox(tmp_path, on_remove="retract")
    inbox.drop("a.csv", HEAD + "".join(f"{n},x\n" for n in range(5)))
    inbox.read()
    inbox.forget()
    (inbox.folder / "a.csv").rename(inbox.folder / "b.csv")
    until(lambda: inbox.commit_one(max_rows=2) is None and inbox.sweeps)
    assert inbox.rows == [(str(n), "x") for n in range(5)]
    assert isinstance(inbox.parts[-1], Sweep)
    assert inbox.parts[-1].partition == PARTITION


def test_a_file_moved_to_another_disk_is_not_retracted_before_it_stands_still(tmp_path: Path) -> None:
    """It is copied, and then removed: the copy is new and has to settle."""
    inbox = Inbox(tmp_path, on_remove="retract", path="inbox/**/*.csv")
    for name in ("a", "b"):
        inbox.drop(f"{name}.csv", HEAD + f"{name},x\n" * (2 if name == "b" else 1))
    inbox.read()
    inbox.forget()
    inbox.settle = 0.4
    inbox.restart()
    (inbox.folder / "sub").mkdir()
    shutil.copyfile(inbox.folder / "a.csv", inbox.folder / "sub" / "a.csv")
    (inbox.folder / "a.csv").unlink()
    until(lambda: inbox.commit_one() is None and inbox.sweeps, timeout=5)
    assert [type(part) for part in inbox.parts] == [TableChanges, Sweep]
    assert inbox.rows == [("a", "x")]


def test_other_content_of_the_same_size_and_mtime_is_noticed(inbox: Inbox) -> None:
    inbox.drop("a.csv", HEAD + "1,a\n", mtime=1000)
    inbox.read()
    inbox.drop("a.csv", HEAD + "1,b\n", mtime=1000)
    inbox.read()
    path = inbox.folder / "a.csv"
    path.write_text(HEAD + "1,c\n")
    os.utime(path, (1000, 1000))
    inbox.read()
    assert inbox.rows == [("1", "a"), ("1", "b"), ("1", "c")]


@pytest.mark.parametrize("mtime", [0, -10_000, 1 << 33])
def test_the_time_of_a_file_may_be_any(inbox: Inbox, mtime: int) -> None:
    """One from the future stands still by our own clock."""
    path = inbox.drop("a.csv", HEAD + "1,a\n")
    os.utime(path, (mtime, mtime))
    inbox.read()
    assert inbox.rows == [("1", "a")]
    assert all(batch.time is None or batch.time <= datetime.now(UTC) for batch in inbox.batches)


def test_a_glob_that_ends_in_any_folders_means_all_below(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, path="inbox/**")
    for name in ("a.csv", "x/b.txt", "x/y/c", "x/.d", ".e/f.csv"):
        path = inbox.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{HEAD}{name},1\n")
    inbox.read()
    assert sorted(row[0] for row in inbox.rows) == ["a.csv", "x/b.txt", "x/y/c"]


def test_links_and_folders_that_are_exchanged(inbox: Inbox) -> None:
    """A link is the file that it leads to; a folder may become another, a file a folder, and back."""
    outside = inbox.root / "outside.csv"
    outside.write_text(HEAD + "1,a\n")
    (inbox.folder / "a.csv").symlink_to(outside)
    inbox.read()
    outside.write_text(HEAD + "1,linked\n")
    inbox.read()
    (inbox.folder / "a.csv").unlink()
    (inbox.folder / "a.csv").mkdir()
    (inbox.folder / "a.csv" / "no.csv").write_text(HEAD + "no,no\n")
    inbox.read()
    shutil.rmtree(inbox.folder)
    inbox.folder.mkdir()
    inbox.drop("a.csv", HEAD + "1,other\n")
    inbox.read()
    assert inbox.rows == [("1", "a"), ("1", "linked"), ("1", "other")]


@pytest.mark.parametrize("on_remove", ["keep", "retract"])
def test_a_file_removed_while_it_is_read_is_read_to_its_end(tmp_path: Path, on_remove: str) -> None:
    inbox = Inbox(tmp_path, on_remove=on_remove)
    inbox.drop("other.csv", HEAD + "x,1\n")
    path = inbox.drop("a.csv", HEAD + "".join(f"{n},x\n" for n in range(100)))
    inbox.restart()
    assert until(lambda: inbox.commit_one(max_rows=10))
    path.unlink()
    until(lambda: inbox.commit_one(max_rows=10) is None and inbox.source.reached_end())
    if on_remove == "retract":
        until(lambda: inbox.commit_one() is None and inbox.sweeps)
    assert len(inbox.rows) == 101
    assert [sweep.partition for sweep in inbox.sweeps] == ([PARTITION] if on_remove == "retract" else [])


def test_a_file_that_shrinks_while_it_is_read_is_read_anew(inbox: Inbox) -> None:
    path = inbox.drop("a.csv", HEAD + "".join(f"{n},x\n" for n in range(200_000)))
    inbox.restart()
    assert until(lambda: inbox.commit_one(max_rows=10))
    os.truncate(path, len(HEAD) + len("0,x\n"))
    until(lambda: inbox.commit_one() is None and inbox.source.reached_end())
    assert inbox.rows[-1] == ("0", "x")
    assert len(inbox.rows) <= 11
    assert [(sweep.below, sweep.at) for sweep in inbox.sweeps] == [(2, Position(2, 3))]
    assert inbox.letters == []


def test_how_much_waits_is_known_while_it_is_read(inbox: Inbox) -> None:
    sizes = [inbox.drop(f"{n}.csv", HEAD + "1,a\n" * n).stat().st_size for n in range(1, 6)]
    inbox.source.open(Resume())
    seen = [inbox.source.progress()]
    while not inbox.source.reached_end():
        inbox.source.read(1, 0.01)
        seen.append(inbox.source.progress())
    assert (seen[0].total, seen[0].lag_bytes) == (5, sum(sizes))
    lags = [progress.lag_bytes for progress in seen]
    assert lags == sorted(lags, key=lambda lag: -(lag or 0))
    assert (seen[-1].done, seen[-1].total, seen[-1].lag_bytes) == (5, 5, 0)
