"""What the state costs: a batch of 1,000 rows over more and more sales, bytes a sale, restarts, the log on the disk."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from bench.bare import batch, loaded, plan
from bench.events import make
from bench.events.write import write_load
from bench.figures import Bar, Figure
from bench.meter import resident
from bench.project import Project, files, flat, flat_folder, running
from topline.live.dataflow import Dataflow

SIZES = {"small": (100_000, 300_000), "full": (1_000_000, 3_000_000, 10_000_000, 30_000_000)}
"""Sales of state."""
PROCESS = {"small": (300_000, 2), "full": (10_000_000, 3)}
"""Sales of the process that is killed, and how often."""
BATCH, BATCHES = 1_000, 50
ROUGHLY = 500
"""Bytes of memory that a sale may take, to tell what there is room for."""


def run(scale: str) -> Iterator[Figure]:
    yield from _batches(SIZES[scale])
    yield from _process(*PROCESS[scale])


def _batches(sizes: tuple[int, ...]) -> Iterator[Figure]:
    """The fold alone: each size in a dataflow of its own, as far as there is memory."""
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    sizes = tuple(size for size in sizes if size * ROUGHLY < room)
    middles = []
    for size in sizes:
        cpu = _batch_cost(size)
        middles.append(median(cpu))
        yield Figure(f"fold of {BATCH:,} rows over {size:,} sales", "CPU-ms", [one * 1000 for one in cpu], cpu, BATCH, "events")
    ratio = [middles[-1] / middles[0]]
    what = f"a batch over {sizes[-1]:,} sales, compared with {sizes[0]:,}"
    yield Figure(what, "x", ratio, bar=Bar(1.3, at_most=True), note="medians of the CPU-seconds above")


def _batch_cost(size: int) -> list[float]:
    stream = make(size, BATCH * (BATCHES + 10))
    with flat_folder() as folder:
        dataflow = Dataflow(plan(folder))
    for part in loaded(stream):
        dataflow.apply([part])
    spent = []
    for number in range(BATCHES + 10):
        one = batch(stream, number * BATCH, (number + 1) * BATCH)
        began = time.process_time()
        dataflow.apply([one])
        spent.append(time.process_time() - began)
    dataflow.close()
    return spent[10:]  # the first ones make what is made once


def _process(sales: int, times: int) -> Iterator[Figure]:
    """A real process with so many sales: its memory, its restarts after a kill, its log."""
    stream = make(sales, 10_000)
    with flat(files("csv")) as project:
        empty = _settled(project)
        write_load(stream, project.inbox, "csv")
        first = project.run()
        grown = _settled(project) - empty
        note = f"of {sales:,} sales, one flat table; the first load took {first.peak / 2**20:,.0f} MiB at most"
        yield Figure("memory", "bytes a sale", [grown / sales], bar=Bar(200, at_most=True), note=note)
        yield _restarts(project, f"restart after kill -9 with {sales:,} sales, with a checkpoint", times, keep=True)
        yield from _log(project, sales)
        yield _restarts(project, f"restart after kill -9 with {sales:,} sales, without", times, keep=False)


def _settled(project: Project) -> int:
    """Resident bytes of an engine that has started and has nothing to do."""
    with running(project) as engine:
        before, now = -1, resident(engine.pid)
        while abs(now - before) > 2**20:
            time.sleep(1)
            before, now = now, resident(engine.pid)
        return now


def _restarts(project: Project, what: str, times: int, *, keep: bool) -> Figure:
    """Seconds from the start of a process, after a kill, until its API is there: the state is, too."""
    seconds = []
    for _ in range(times):
        with running(project) as engine:
            engine.process.kill()
        if not keep:
            for checkpoint in (project.folder / ".topline").glob("checkpoint.*"):
                checkpoint.unlink()
        began = time.monotonic()
        with running(project) as engine:
            seconds.append(time.monotonic() - began)
            engine.process.kill()
    return Figure(what, "s", seconds, bar=Bar(15, at_most=True) if keep else None)


def _log(project: Project, sales: int) -> Iterator[Figure]:
    state = project.folder / ".topline"
    for what, paths in (
        ("log, not compacted yet", [state / "log.sqlite", state / "log.sqlite-wal"]),
        ("log, compacted segments", list((state / "segments").glob("*"))),
        ("checkpoint", list(state.glob("checkpoint.*"))),
    ):
        yield Figure(what, "bytes a sale", [float(np.sum([_size(path) for path in paths])) / sales])


def _size(path: Path) -> int:
    """Of a file, or of all in a folder; 0 for one that is not there."""
    with contextlib.suppress(OSError):
        return sum(map(_size, path.iterdir())) if path.is_dir() else path.stat().st_size
    return 0
