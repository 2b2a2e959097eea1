"""What every peer's script shares: its input, and how it tells what it spent and found. Needs pyarrow alone."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet as pq

COLUMNS = ("sale_id", "date", "country", "region", "city", "salesman_id", "salesman_name", "cents", "deleted")
"""Of an event: rows that are sound, dates and cents already made of texts. A deleted sale's other columns are what it was."""
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
BATCH = 10_000
CITIES = ("date", "country", "region", "city", "total", "sales", "greatest")
MEN = ("date", "salesman_id", "salesman_name", "total", "sales", "cities")


def first() -> pa.Table:
    return pq.read_table(FOLDER / "load.parquet")


def batches() -> Iterator[pa.Table]:
    events = pq.read_table(FOLDER / "events.parquet")
    for begin in range(0, events.num_rows, BATCH):
        yield events.slice(begin, BATCH)


def rows(table: pa.Table) -> Iterable[tuple[Any, ...]]:
    """For engines that take rows: tuples of Python's values."""
    return zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)


def told(cities: pa.Table, men: pa.Table, seconds: float, cpu: float) -> None:
    """Keep the totals of all cities and salesmen (CITIES, MEN), and print what the events took after the first load."""
    pq.write_table(cities, FOLDER / "cities.parquet")
    pq.write_table(men, FOLDER / "men.parquet")
    print(json.dumps({"wall": seconds, "cpu": cpu}))


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds and CPU-seconds of this process, all its threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def table(names: tuple[str, ...], found: Iterable[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*found, strict=True))
    return pa.table(dict(zip(names, (pa.array(list(column)) for column in columns), strict=True)))
