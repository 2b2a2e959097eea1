"""The whole way, by the process that a user runs: read, decode, fold, commit durably, publish to PostgreSQL, caught up.

A first load, then change events in rounds on top, over one flat table: from CSV, NDJSON and Parquet files, and by log-based
capture from PostgreSQL. Each round ends with the rankings compared with DuckDB's.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

import psycopg

from bench.events import Stream, make, rankings
from bench.events.database import apply, create
from bench.events.truth import require
from bench.events.write import write_events, write_load
from bench.figures import Bar, Figure
from bench.meter import Spent
from bench.project import Project, capture, files, flat, shipped


@dataclass(frozen=True)
class Size:
    """`load` sales, then `events` change events in `rounds`. Each run is of a new project, CSV's are `times` as many."""

    load: int
    events: int
    rounds: int
    times: int


SIZES = {"small": Size(200_000, 300_000, 3, 1), "full": Size(10_000_000, 10_000_000, 4, 3)}
LOAD_BAR, EVENTS_BAR = Bar(250_000), Bar(150_000)
SHIPPED_SHARE = 5
"""The shipped project, with its range tables published, is measured with so many times less."""


def run(scale: str) -> Iterator[Figure]:
    size = SIZES[scale]
    stream = make(size.load, size.events)
    once = replace(size, times=1)
    yield from measure("csv", stream, size)
    for kind in ("ndjson", "parquet", "postgres"):
        yield from measure(kind, stream, once)
    less = replace(once, load=size.load // SHIPPED_SHARE, events=size.events // SHIPPED_SHARE)
    yield from measure("csv", make(less.load, less.events), less, whole_project=True)


@dataclass
class Times:
    """What each stage spent, one entry a run."""

    load: list[Spent] = field(default_factory=list)
    start: list[Spent] = field(default_factory=list)
    events: list[Spent] = field(default_factory=list)


def measure(kind: str, stream: Stream, size: Size, *, whole_project: bool = False) -> Iterator[Figure]:
    """Figures of the first load and of the rounds of events."""
    times = Times()
    for _ in range(size.times):
        with _project(kind, whole_project) as project:
            feed = _Tables(project, stream, size.rounds) if kind == "postgres" else _Files(project, stream, size.rounds, kind)
            stages(project, feed, size, times)
            require(project.results, "topline", rankings(stream))
    name = {"postgres": "log-based capture"}.get(kind, kind.upper() if kind != "parquet" else "Parquet")
    models = "all shipped models" if whole_project else "two rankings"
    barred = not whole_project and kind != "postgres"  # the bars are those of files, with the rankings alone
    yield rate(f"first load, {name}, {models}", times.load, size.load, times, LOAD_BAR if barred else None)
    bar = EVENTS_BAR if barred else None
    yield rate(f"change events, {name}, {models}", times.events, size.events // size.rounds, times, bar)
    if not whole_project:
        peaks = [spent.peak / 2**20 for spent in times.events]
        yield Figure(f"most memory of the engine, {name}", "MiB", peaks, note=f"{stream.sales:,} sales of state at the end")


def _project(kind: str, whole_project: bool) -> AbstractContextManager[Project]:
    make_project = shipped if whole_project else flat
    return make_project(capture() if kind == "postgres" else files(kind))


class Feed(Protocol):
    """Gives a project its first load, and a round of the events."""

    def load(self) -> None: ...
    def events(self, number: int) -> None: ...


def stages(project: Project, feed: Feed, size: Size, times: Times) -> None:
    """The first load, then each round of the events after a start with nothing new."""
    feed.load()
    times.load.append(project.run())
    for number in range(size.rounds):
        times.start.append(project.run())
        feed.events(number)
        times.events.append(project.run())


@dataclass(frozen=True)
class _Files:
    project: Project
    stream: Stream
    rounds: int
    suffix: str

    def load(self) -> None:
        self.project.run()  # what a new project does once is not measured
        write_load(self.stream, self.project.inbox, self.suffix, self.rounds)

    def events(self, number: int) -> None:
        write_events(self.stream, self.project.inbox, self.suffix, number, self.rounds)


@dataclass(frozen=True)
class _Tables:
    project: Project
    stream: Stream
    rounds: int

    def load(self) -> None:
        with self._connection() as connection:
            create(connection, self.stream)

    def events(self, number: int) -> None:
        with self._connection() as connection:
            apply(connection, self.stream, self.stream.round(number, self.rounds))

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(self.project.server.dsn("branches"), autocommit=True)


def rate(what: str, spent: list[Spent], events: int, times: Times, bar: Bar | None) -> Figure:
    """Events a second without the seconds of a start with nothing new, which are told beside."""
    start = sorted(one.wall for one in times.start)[len(times.start) // 2]
    idle = sorted(one.cpu + one.others["postgres"] for one in times.start)[len(times.start) // 2]
    rates = [events / max(one.wall - start, 0.05 * one.wall) for one in spent]
    cpu = [max(one.cpu + one.others["postgres"] - idle, 0.01) for one in spent]
    of_postgres = sorted(one.others["postgres"] for one in spent)[len(spent) // 2]
    wall = sorted(one.wall for one in spent)[len(spent) // 2]
    note = (
        f"{events:,} a run, {wall:.1f} s from start to end; a start with nothing new takes {start:.1f} s and {idle:.1f} CPU-s, "
        f"which are left out; {of_postgres:.1f} of the CPU-seconds are PostgreSQL's"
    )
    return Figure(what, "events/s", rates, cpu, events, "events", bar, note)
