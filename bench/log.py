"""What the log costs: appends by size, reading a table of 5 million rows, folding. Run: `python -m bench.log [--rows N]`."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from topline.changes import TableChanges
from topline.log import Log, LogEntry
from topline.schema import Column, TableSchema, Type

SALES = TableSchema(
    "branches.sales",
    (
        Column("sale_id", Type.TEXT),
        Column("city", Type.TEXT),
        Column("salesman_id", Type.TEXT),
        Column("amount", Type.TEXT),
        Column("sold_at", Type.TIMESTAMPTZ),
    ),
    ("sale_id",),
)
BATCH = 100_000


def sales(first: int, count: int, seed: int = 1) -> TableChanges:
    """`count` new sales with ids from `first` on."""
    random = np.random.default_rng(seed + first)
    ids = np.arange(first, first + count, dtype=np.int64)
    columns = {
        "sale_id": pa.array(ids).cast(pa.string()),
        "city": pa.array([f"city {i}" for i in range(500)]).take(pa.array(random.integers(0, 500, count))),
        "salesman_id": pa.array(random.integers(0, 5_000, count)).cast(pa.string()),
        "amount": pa.array(random.integers(1, 10**6, count)).cast(pa.string()),
        "sold_at": pa.array(random.integers(0, 10**15, count)).cast(pa.timestamp("us", tz="UTC")),
    }
    rows = pa.table(columns, schema=SALES.arrow)
    return TableChanges(SALES.name, "sales.csv", rows, np.zeros(count, np.int8), np.ones(count, np.int64), ids)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def appends(log: Log) -> None:
    for rows, times in ((1, 200), (1_000, 100), (BATCH, 10)):
        entries = [LogEntry(changes=[sales(i * rows, rows)]) for i in range(times)]
        taken = sorted(timed(lambda entry=entry: log.append(entry))[0] for entry in entries)  # type: ignore[misc]
        print(f"append {rows:>7,} rows: p50 {statistics.median(taken) * 1e3:6.2f} ms, worst {taken[-1] * 1e3:6.2f} ms")


def tables(log: Log, rows: int) -> None:
    for first in range(0, rows, BATCH):
        log.append(LogEntry(changes=[sales(first, BATCH)]))
        if (first + BATCH) % 1_000_000 == 0:
            wall, cpu = timed(lambda: log.compact(through=log.epoch))
            print(f"fold at {first + BATCH:>10,} rows: {wall:5.2f} s, {cpu:5.2f} CPU-s")
    for label in ("folded", "and 100,000 corrections"):
        wall, cpu = timed(lambda: sum(map(len, log.snapshot(SALES.name))))
        print(f"snapshot of {rows:,} rows, {label}: {wall:.2f} s, {cpu:.2f} CPU-s")
        log.append(LogEntry(changes=[sales(rows // 2, BATCH)]))
    wall, cpu = timed(lambda: log.journey(SALES.name, pa.table({"sale_id": [str(rows // 3)]})))
    print(f"journey of one key: {wall:.2f} s, {cpu:.2f} CPU-s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder, Log.open(Path(folder), "bench") as log:
        log.declare({SALES.name: SALES})
        appends(log)
    with tempfile.TemporaryDirectory() as folder, Log.open(Path(folder), "bench") as log:
        log.declare({SALES.name: SALES})
        tables(log, rows)
        size = {path.name: path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()}
        print(f"on disk: {sum(size.values()) / 1e6:.0f} MB, of it log.sqlite {size['log.sqlite'] / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
