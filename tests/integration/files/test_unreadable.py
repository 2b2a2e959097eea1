"""A file that cannot be opened, or that unpacks without end: it holds up no other, fills no disk, and is read once mended."""

import bz2
import gzip
import lzma
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.integration.files.inbox import Inbox
from tests.polling import until
from topline.errors import TransientError
from topline.sources.base import Resume

HEAD = "id,amount\n"
NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that every user may enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Rights do not hold for root: it becomes nobody meanwhile."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_without_rights_holds_up_no_other_and_is_read_once_it_has_them(open_folder: Path) -> None:
    inbox = Inbox(open_folder)
    inbox.drop("0.csv", HEAD + "0,v\n")
    inbox.read()
    closed = inbox.drop("1.csv", HEAD + "1,v\n")
    closed.chmod(0)
    for number in range(2, 5):
        inbox.drop(f"{number}.csv", HEAD + f"{number},v\n")
    with ordinary_user():
        inbox.source.close()
        inbox.source.open(Resume(inbox.positions, inbox.memory))
        with pytest.raises(TransientError, match=f"cannot read {closed}.* the right to read it"):
            until(lambda: inbox.commit_one() is None and None)
        assert [row[0] for row in inbox.rows] == ["0", "2", "3", "4"]
        assert not inbox.source.reached_end()
    closed.chmod(0o644)
    with ordinary_user():
        inbox.read()
    assert [row[0] for row in inbox.rows] == ["0", "2", "3", "4", "1"]
    assert inbox.letters == []


PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", True),
}
MOST = 3_000_000
ENDLESS = {
    "csv": (b"id,amount\n1,a\n2,", b"x" * (4 * MOST)),
    "ndjson": (b'{"id": "1"}\n{"id": "', b"x" * (4 * MOST)),
    "json": (b'[{"id": "1"},\n{"id": "', b"x" * (4 * MOST)),
}


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("kind", ENDLESS)
def test_a_packed_record_without_an_end_becomes_a_letter_of_the_file_and_fills_no_disk(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    inbox = Inbox(tmp_path, format=kind, path=[f"inbox/*.{kind}{suffix}"], max_unpacked_bytes=MOST)
    packed = PACK[suffix](b"".join(ENDLESS[kind]))
    inbox.drop(f"a.{kind}{suffix}", packed)
    inbox.read()
    assert [row[0] for row in inbox.rows] == ["1"]
    assert [raw for _, raw in inbox.bad] == [packed]
    assert "max_unpacked_bytes, 3000000" in inbox.letters[0].reason
    assert sum(path.stat().st_size for path in (tmp_path / "state" / "spill").iterdir()) == len(packed)


def test_a_record_that_unpacks_to_less_than_the_bound_is_kept_whole(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, path=["inbox/*.csv.gz"], max_unpacked_bytes=MOST)
    long = b"2," + b"x" * (MOST // 2) + b"\n"
    inbox.drop("a.csv.gz", gzip.compress(b"id,amount\n1,a\n" + long + b"3,b\n"))
    inbox.read()
    assert [row[0] for row in inbox.rows] == ["1", "3"]
    assert [raw for _, raw in inbox.bad] == [long]


def test_a_packed_parquet_file_beyond_the_bound_becomes_a_letter(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    table = pa.table({"id": [str(n) for n in range(100_000)], "amount": ["x" * 30] * 100_000})
    parquet.write_table(table, path, compression="none", use_dictionary=False)
    inbox = Inbox(tmp_path, format="parquet", path=["inbox/*.parquet.gz"], max_unpacked_bytes=MOST)
    packed = gzip.compress(path.read_bytes())
    inbox.drop("a.parquet.gz", packed)
    inbox.drop("b.parquet.gz", gzip.compress(_small(tmp_path)))
    inbox.read()
    assert [row[0] for row in inbox.rows] == ["b"]
    assert [raw for _, raw in inbox.bad] == [packed]


def _small(folder: Path) -> bytes:
    parquet.write_table(pa.table({"id": ["b"], "amount": ["1"]}), folder / "small.parquet")
    return (folder / "small.parquet").read_bytes()
