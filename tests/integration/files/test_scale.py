"""Given very large files and very many, when they are read, then memory stays bounded and idle looks stay cheap."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.files.inbox import Inbox
from topline.sources.base import Resume

HEAD = "id,amount\n"
MIB = 1 << 20

# Reads a folder to its end as the engine would, and prints rows and peak memory in KiB. Linux' getrusage would tell the peak of
# the process that started this one, where that was larger.
READ = """
import re, resource, sys
from pathlib import Path
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume
from topline.sources.files import Settings, create
root = Path(sys.argv[1])
table = TableSchema("branch.sales", (Column("id", Type.TEXT), Column("amount", Type.TEXT)), ("id",))
settings = Settings.model_validate({"kind": "files", "settle": 0, "tables": {"sales": {"path": "inbox"}}})
source = create(Context("branch", {"sales": table}, root, root / "state"), settings)
source.open(Resume())
rows = 0
while not source.reached_end():
    batch = source.read(100_000, 0.1)
    rows += len(batch) if batch is not None else 0
status = Path("/proc/self/status")
peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1] if status.exists() else None
print(rows, peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def large(folder: Path, size: int) -> int:
    """A file of about `size` bytes; its rows."""
    folder.mkdir(parents=True)
    block = "".join(f"{n:08},{'x' * 90}\n" for n in range(100_000)).encode()
    with (folder / "large.csv").open("wb") as file:
        file.write(HEAD.encode())
        for _ in range(size // len(block)):
            file.write(block)
    return size // len(block) * 100_000


def read_apart(root: Path) -> tuple[int, int]:
    """Rows, and MiB of memory at most, of a process that reads the folder."""
    done = subprocess.run([sys.executable, "-c", READ, str(root)], capture_output=True, text=True, check=True)
    rows, memory = map(int, done.stdout.split())
    return rows, memory // 1024


def test_memory_does_not_follow_the_size_of_a_file(tmp_path: Path) -> None:
    large(tmp_path / "small" / "inbox", 20 * MIB)
    _, least = read_apart(tmp_path / "small")
    expected = large(tmp_path / "inbox", 200 * MIB)
    rows, memory = read_apart(tmp_path)
    assert rows == expected
    assert memory < least + 64


@pytest.mark.long
@pytest.mark.timeout(900)
def test_five_gigabytes_in_bounded_memory(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 7 * 1024 * MIB:
        pytest.skip("it takes 7 GB of room on the disk")
    expected = large(tmp_path / "inbox", 5 * 1024 * MIB)
    rows, memory = read_apart(tmp_path)
    (tmp_path / "inbox" / "large.csv").unlink()
    print(f"{rows:,} rows with {memory} MiB at most")
    assert rows == expected
    assert memory < 400


def test_an_idle_look_does_no_more_than_it_must(tmp_path: Path) -> None:
    """What did not change is the very same object as at the last look; the next look waits the longer, the more it cost."""
    inbox = Inbox(tmp_path)
    for number in range(500):
        (inbox.folder / f"{number}.csv").write_text(HEAD)
    inbox.source.open(Resume())
    watch = inbox.source._watch("sales")
    assert len(watch.look()) == 500
    before = dict(watch.found)
    assert watch.look() == []
    assert all(watch.found[partition] is file for partition, file in before.items())
    assert watch.pause(0.0) >= 0.01
    assert watch.pause(1000.0) == 1000.0
    (inbox.folder / "7.csv").write_text(HEAD + "7,x\n")
    assert [file.name for file in watch.look()] == ["inbox/7.csv"]
