"""Many small files at once: files read a second, and what a look at them costs once all are known."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume
from topline.sources.files import FilesSource, Settings, create

SIZES = {"small": 2_000, "full": 10_000}
LOOKS = 5
TABLE = TableSchema("bench.sales", (Column("id", Type.TEXT), Column("amount", Type.TEXT)), ("id",))


def source(root: Path) -> FilesSource:
    settings = {"kind": "files", "settle": 0, "poll": 1e-6, "tables": {"sales": {"path": "inbox"}}}
    return create(Context("bench", {"sales": TABLE}, root, root / "state"), Settings.model_validate(settings))


def drain(reading: FilesSource) -> tuple[int, int]:
    """Rows and batches."""
    rows = batches = 0
    while not reading.reached_end():
        if (batch := reading.read(100_000, 0)) is not None:
            rows, batches = rows + len(batch), batches + 1
            reading.progress()
    return rows, batches


def run(scale: str) -> Iterator[Figure]:
    count = SIZES[scale]
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "inbox"
        inbox.mkdir()
        for number in range(count):
            (inbox / f"{number}.csv").write_text("id,amount\n" + "".join(f"{number}-{row},{row}.5\n" for row in range(10)))
        reading = source(Path(folder))
        reading.open(Resume())
        wall, cpu = time.perf_counter(), time.process_time()
        rows, batches = drain(reading)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        note = f"{rows:,} rows in {batches} batches"
        yield Figure(f"{count:,} files of 10 rows", "files/s", [count / wall], [cpu], count, "files", note=note)
        yield Figure(f"a look at {count:,} known files", "CPU-ms", list(looks(reading)))


def looks(reading: FilesSource) -> Iterator[float]:
    """CPU-milliseconds of each, after the first."""
    watch = reading._watch("sales")
    watch.look()
    for _ in range(LOOKS):
        started = time.process_time()
        watch.look()
        yield 1000 * (time.process_time() - started)
