"""Many small files at once: files read a CPU-second, and what a look at them costs once all are known.

`python -m bench.many_files [FILES]`.
"""

import sys
import tempfile
import time
from pathlib import Path

from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume
from topline.sources.files import FilesSource, Settings, create

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


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "inbox"
        inbox.mkdir()
        for number in range(count):
            (inbox / f"{number}.csv").write_text("id,amount\n" + "".join(f"{number}-{row},{row}.5\n" for row in range(10)))
        reading = source(Path(folder))
        reading.open(Resume())
        started = time.process_time()
        rows, batches = drain(reading)
        spent = time.process_time() - started
        print(f"{count:,} files of 10 rows: {count / spent:,.0f} files a CPU-second; {rows:,} rows in {batches} batches")
        watch = reading._watch("sales")
        watch.look()
        looks, started = 5, time.process_time()
        for _ in range(looks):
            watch.look()
        print(f"a look at {count:,} known files: {1000 * (time.process_time() - started) / looks:.1f} CPU-ms")


if __name__ == "__main__":
    main()
