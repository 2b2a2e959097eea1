"""How fast the live engine folds, alone: rows of branches' files, in memory; nothing is read, logged or published."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

from bench.events import Kind, Stream, make, text_table
from bench.events.stream import Flags, Ints
from bench.events.write import spoilt
from bench.figures import Figure
from bench.project import SHIPPED, flat_folder
from topline.changes import DELETE, UPSERT, TableChanges
from topline.live.dataflow import Dataflow
from topline.models import load
from topline.models.plan import ProjectPlan

SIZES = {"small": 300_000, "full": 3_000_000}
"""Sales of the first load."""
BULK = 1_000_000
BATCHES = ((100_000, 5), (10_000, 10), (1_000, 50), (1, 100))
TABLE = "branches.sales"


def run(scale: str) -> Iterator[Figure]:
    load_size = SIZES[scale]
    stream = make(load_size, sum(size * times for size, times in BATCHES))
    with flat_folder() as folder:
        yield from _measured("two rankings", plan(folder), stream)
    yield from _measured("all shipped models", plan(SHIPPED), stream)


def plan(folder: Path) -> ProjectPlan:
    return load(folder, name="bench", time_zone="Europe/Rome", currency="EUR", vars={})


def loaded(stream: Stream) -> Iterator[TableChanges]:
    """The first load, in batches of a million sales at most."""
    for begin in range(0, stream.load, BULK):
        sale = np.arange(begin, min(begin + BULK, stream.load))
        nothing = np.zeros(len(sale), np.bool_)
        yield _changes(stream, sale, np.zeros_like(sale), nothing, nothing, -stream.load + begin)


def batch(stream: Stream, begin: int, end: int) -> TableChanges:
    """Events as a batch."""
    kind = stream.kind[begin:end]
    broken, deleted = kind == Kind.BROKEN, kind == Kind.DELETE
    return _changes(stream, stream.sale[begin:end], stream.version[begin:end], broken, deleted, begin + 1)


def _changes(stream: Stream, sale: Ints, version: Ints, broken: Flags, deleted: Flags, first: int) -> TableChanges:
    rows = spoilt(text_table(stream.fields(sale, version)), broken)
    ops = np.where(deleted, DELETE, UPSERT).astype(np.int8)
    return TableChanges(TABLE, "bench", rows, ops, np.full(len(sale), first), np.arange(len(sale)))


def _measured(name: str, of: ProjectPlan, stream: Stream) -> Iterator[Figure]:
    dataflow = Dataflow(of)
    wall, cpu = _applied(dataflow, loaded(stream))
    rates = [stream.load / sum(wall)]
    yield Figure(f"bare fold, first load, {name}", "events/s", rates, [sum(cpu)], stream.load, "events")
    begin = 0
    for size, times in BATCHES:
        parts = (batch(stream, begin + size * number, begin + size * (number + 1)) for number in range(times))
        wall, cpu = _applied(dataflow, parts)
        begin += size * times
        yield _figure(f"bare fold, batches of {size:,}, {name}", size, wall, cpu)
    held = dataflow.table_count(TABLE)
    parts_ = sorted(dataflow.state(), key=lambda part: -part.bytes)
    largest = ", ".join(f"{part.description} {part.bytes / held:.0f}" for part in parts_[:8])
    yield Figure(f"state, {name}", "bytes a sale", [sum(part.bytes for part in parts_) / held], note=largest)
    dataflow.close()


def _applied(dataflow: Dataflow, batches: Iterable[TableChanges]) -> tuple[list[float], list[float]]:
    """Seconds and CPU-seconds of each."""
    walls, cpus = [], []
    for one in batches:
        wall, cpu = time.perf_counter(), time.process_time()
        dataflow.apply([one])
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return walls, cpus


def _figure(what: str, size: int, walls: list[float], cpus: list[float]) -> Figure:
    """Large batches by what they get through, small ones by how long they take."""
    if size >= 10_000:
        return Figure(what, "events/s", [size / wall for wall in walls], cpus, size, "events")
    return Figure(
        what, "ms", [wall * 1000 for wall in walls], cpus, size, "events", note=f"{median(cpus) * 1000:.1f} CPU-ms a batch"
    )
