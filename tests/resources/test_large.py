"""What is very large for its kind: records of 100 MB, and a folder of 100,000 names."""

import hashlib
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.files.inbox import Inbox
from topline.sources.spill import original

PIECE = b"x" * 1_000_000
HUGE = {
    "csv": (b"id,amount\n1,a\n", b"2,", b"\n", b"3,b\n"),
    "ndjson": (b'{"id": "1"}\n', b'{"id": "', b'"}\n', b'{"id": "3"}\n'),
    "json": (b'[{"id": "1"},\n', b'{"id": "', b'"}', b',\n{"id": "3"}]\n'),
}


def pieces(kind: str) -> Iterator[bytes]:
    """The record of 100 MB alone."""
    _, begin, end, _ = HUGE[kind]
    yield begin
    for _ in range(100):
        yield PIECE
    yield end


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", HUGE)
def test_a_record_of_100_megabytes_is_kept_in_bounded_memory_and_its_neighbours_count(tmp_path: Path, kind: str) -> None:
    inbox = Inbox(tmp_path, format=kind, path=[f"inbox/*.{kind}"])
    inbox.patience = 300
    wanted = hashlib.sha256()
    with (tmp_path / "inbox" / f".a.{kind}").open("wb") as file:
        file.write(HUGE[kind][0])
        for piece in pieces(kind):
            file.write(piece)
            wanted.update(piece)
        file.write(HUGE[kind][3])
    (tmp_path / "inbox" / f".a.{kind}").rename(tmp_path / "inbox" / f"a.{kind}")
    tracemalloc.start()
    inbox.read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60_000_000
    assert [row[0] for row in inbox.rows] == ["1", "3"]
    [letter] = inbox.letters
    found = hashlib.sha256()
    for piece in original(letter.raw, tmp_path / "state"):
        found.update(piece)
    assert found.digest() == wanted.digest()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_folder_of_100_000_names_is_listed_and_what_is_meant_is_read(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.patience = 300
    for number in range(100_000):
        os.close(os.open(tmp_path / "inbox" / f"{number}.tmp", os.O_CREAT | os.O_WRONLY))
    for number in range(3):
        inbox.drop(f"{number}.csv", f"id,amount\n{number},v\n")
    inbox.read()
    assert sorted(row[0] for row in inbox.rows) == ["0", "1", "2"]
    inbox.forget()
    inbox.read()
    assert inbox.rows == []
