"""How fast the shipped project's models fold, alone: nothing is logged or published. `python -m bench.shipped [SALES]`

Branch files' rows (text, as they are read) of 2,000 salesmen, 500 cities and 90 days; 80 % of later events are new sales.
"""

import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import TableChanges
from topline.live.dataflow import Dataflow
from topline.models import load
from topline.models.plan import ProjectPlan

TABLE = "branches.sales"
DAYS = 90
Ints = npt.NDArray[np.int64]


def plan() -> ProjectPlan:
    return load(Path("sales"), name="bench", time_zone="Europe/Rome", currency="EUR", vars={})


def changes(schema: pa.Schema, ids: Ints, seed: int) -> TableChanges:
    """Upserts of these sales."""
    rng, count = np.random.default_rng(seed), len(ids)
    seconds = rng.integers(0, DAYS * 86_400, count).astype("timedelta64[s]")
    instants = pa.array(np.datetime64("2026-01-01T08:00:00") + seconds)
    cents, man, city = rng.integers(100, 1_000_000, count), rng.integers(0, 2_000, count), rng.integers(0, 500, count)
    columns = {
        "sale_id": _text("S{}", np.char.zfill(ids.astype(str), 9)),
        "sold_at": pc.binary_join_element_wise(instants.cast(pa.string()), "Z", ""),
        "country": pa.array(["Italy"] * count),
        "region": _text("R{}", (city % 20).astype(str)),
        "city": _text("City {}", city.astype(str)),
        "salesman_id": pa.array(man.astype(str)),
        "salesman_name": _text("Name {}", man.astype(str)),
        "amount": pc.binary_join_element_wise(pa.array((cents // 100).astype(str)), pa.array((cents % 100).astype(str)), "."),
        "currency": pa.array(["EUR"] * count),
    }
    rows = pa.table([columns[name].cast(pa.string()) for name in schema.names], schema=schema)
    return TableChanges(TABLE, "bench", rows, np.zeros(count, np.int8), np.arange(count), np.zeros(count, np.int64))


def _text(pattern: str, values: npt.NDArray[np.str_]) -> pa.Array:
    head, tail = pattern.split("{}")
    return pc.binary_join_element_wise(head, pa.array(values), tail, "")


def events(known: int, count: int, seed: int) -> Ints:
    """Of 100 events 80 are new sales, 20 change old ones."""
    rng = np.random.default_rng(seed)
    ids = np.where(rng.random(count) < 0.8, known + np.arange(count), rng.integers(0, known, count))
    return ids.astype(np.int64)


def timed(name: str, dataflow: Dataflow, batches: list[TableChanges]) -> None:
    """Fold the batches, and print what a thread's CPU and the clock say."""
    used, walls = time.thread_time(), []
    for batch in batches:
        begun = time.perf_counter()
        dataflow.apply([batch])
        walls.append(time.perf_counter() - begun)
    used, size, repeats = time.thread_time() - used, len(batches[0]), len(batches)
    print(
        f"{name:<30} {size * repeats / used:>10,.0f} events a CPU-s   CPU {used / repeats * 1e3:9.2f} ms a batch   "
        f"p50 {np.median(walls) * 1e3:9.2f} ms  max {max(walls) * 1e3:9.2f} ms",
        flush=True,
    )


def main(sales: int) -> None:
    found = plan()
    dataflow, schema = Dataflow(found), found.tables[TABLE].arrow
    timed(f"bulk of {sales:,}", dataflow, [changes(schema, np.arange(sales), 1)])
    for size, repeats in ((100_000, 3), (1_000, 30), (1, 100)):
        made = [changes(schema, events(sales + number * size, size, number), number) for number in range(repeats)]
        timed(f"batches of {size:,}", dataflow, made)
    held = dataflow.table_count(TABLE)
    for part in sorted((size for size in dataflow.state() if size.rows), key=lambda size: -size.bytes):
        print(f"  {part.description:<30} {part.rows:>12,} rows {part.bytes / held:8.1f} bytes a sale")
    print(f"{sum(size.bytes for size in dataflow.state()) / held:.0f} bytes of state a sale, {held:,} sales")
    dataflow.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400_000)
