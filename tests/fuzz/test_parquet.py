"""Parquet files with bytes changed: rows, and one letter of the whole file where it is broken; read in a process of its own,
for what a native reader does to its process with a broken file is part of the question."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READ = """
import random, sys
from pathlib import Path
import pyarrow as pa
from pyarrow import parquet
from tests.fuzz.readers import read
seed, count = int(sys.argv[1]), int(sys.argv[2])
rows = pa.table({"id": [f"k{n}" for n in range(200)], "value": [None if n % 7 == 0 else "v" * (n % 30) for n in range(200)]})
path = Path(sys.argv[3]) / "seed.parquet"
parquet.write_table(rows, path, row_group_size=50, write_page_checksum=True)
whole, made = path.read_bytes(), random.Random(seed)
for number in range(count):
    data = bytearray(whole)
    for _ in range(made.randint(1, 4)):
        data[made.randrange(len(data))] = made.randrange(256)
    data = bytes(data[: made.randint(0, len(data))] if made.random() < 0.2 else data)
    print(number, flush=True)
    found = read(data, "parquet")
    if [raw for _, raw in found.letters] != [data]:
        assert found.rows or found.letters, "nothing came of it"
        assert len(found.rows) + len(found.letters) >= 200, (len(found.rows), len(found.letters))
print("done")
"""


def read(seed: int, count: int, folder: Path) -> str:
    command = [sys.executable, "-c", READ, str(seed), str(count), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"seed {seed}: exit {done.returncode} at {done.stdout[-20:]}: {done.stderr[-1500:]}"
    return done.stdout


def test_a_broken_file_is_a_letter_and_what_was_read_before_counts(tmp_path: Path) -> None:
    assert read(1, 60, tmp_path).endswith("done\n")


@pytest.mark.long
@pytest.mark.timeout(1000)
def test_many_broken_files_are_letters(tmp_path: Path) -> None:
    assert read(random.randrange(10**6), 3000, tmp_path).endswith("done\n")
