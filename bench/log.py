"""What the log costs: appends by size, compaction, reading a table whole, the journey of one key, the disk."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.figures import Figure
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
SIZES = {"small": 1_000_000, "full": 10_000_000}
"""Rows of the table that is read whole."""


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


def appends(log: Log) -> Iterator[Figure]:
    for rows, times in ((1, 200), (1_000, 100), (BATCH, 10)):
        entries = [LogEntry(changes=[sales(i * rows, rows)]) for i in range(times)]
        taken = [timed(lambda entry=entry: log.append(entry)) for entry in entries]  # type: ignore[misc]
        yield _figure(f"{rows:,} rows into the log", taken, rows)


def tables(log: Log, rows: int) -> Iterator[Figure]:
    compactions = []
    for first in range(0, rows, BATCH):
        log.append(LogEntry(changes=[sales(first, BATCH)]))
        if (first + BATCH) % 1_000_000 == 0:
            compactions.append(timed(lambda: log.compact(through=log.epoch)))
    yield _figure(f"compaction of a million changes, up to {rows:,} rows", compactions, 1_000_000)
    yield _figure(f"snapshot of {rows:,} rows", [timed(lambda: sum(map(len, log.snapshot(SALES.name))))], rows)
    log.append(LogEntry(changes=[sales(rows // 2, BATCH)]))
    taken = [timed(lambda: sum(map(len, log.snapshot(SALES.name))))]
    yield _figure(f"snapshot of {rows:,} rows with 100,000 corrections", taken, rows)
    key = pa.table({"sale_id": [str(rows // 3)]})
    yield _figure("journey of one key", [timed(lambda: log.journey(SALES.name, key)) for _ in range(3)], 0)


def _figure(what: str, taken: list[tuple[float, float]], rows: int) -> Figure:
    return Figure(what, "ms", [wall * 1000 for wall, _ in taken], [cpu for _, cpu in taken], rows, "rows")


def run(scale: str) -> Iterator[Figure]:
    rows = SIZES[scale]
    with tempfile.TemporaryDirectory() as folder, Log.open(Path(folder), "bench") as log:
        log.declare({SALES.name: SALES})
        yield from appends(log)
    with tempfile.TemporaryDirectory() as folder, Log.open(Path(folder), "bench") as log:
        log.declare({SALES.name: SALES})
        yield from tables(log, rows)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        yield Figure(f"log of {rows:,} rows on the disk", "bytes a row", [size / rows])
