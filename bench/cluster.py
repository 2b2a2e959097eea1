"""The same change events from the same topics by each engine: the live engine, Flink and Spark, one after the other.

Each begins with an empty result database: from the start of its command until all is published and the command ends. Flink's
cluster runs already, and nothing ran in it before. All processes count, those of the cluster and of the results' PostgreSQL
among them; those of the broker and of the registry do not. Each result is compared with DuckDB's.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.events import Stream, make, rankings
from bench.events.topics import write_events, write_load
from bench.events.truth import require
from bench.figures import Bar, Figure
from bench.kafka import WIRES, Wire, create, settings
from bench.meter import Spent
from bench.meter import run as measured
from bench.project import TOPLINE, Project, flat
from tests.cluster.engines.company import SPARK
from tests.cluster.flink import Flink
from tests.cluster.process import free_ports
from tests.cluster.stack import JARS, Stack
from topline.kafka.formats import writer_of
from topline.kafka.settings import KafkaSettings

SIZES = {"small": (60_000, 40_000, 1), "full": (1_000_000, 1_000_000, 1)}
"""Sales that are made first, change events on top, runs of each engine."""
_TUNED = {"pipeline.object-reuse": "true"}
MINI_BATCH, ONE_BY_ONE = {"latency": 5, "rows": 100_000}, {"latency": 0}
"""For a backlog: the larger a batch, the fewer times places of a ranking are written that change again at once."""


@dataclass(frozen=True)
class Way:
    """An engine as it is told to run. `flink`: what topline.yml says below `flink`; None: no Flink."""

    name: str
    wire: Wire
    arguments: Sequence[str]
    flink: Mapping[str, Any] | None = None


def _flink(state: str, batch: Mapping[str, Any], wire: Wire, name: str) -> Way:
    told = {"state": state, "mini_batch": batch, "parallelism": 2, "checkpoint_interval": 10, "options": _TUNED}
    return Way(f"Flink, {name}, {_shown(wire)}", wire, ("flink", "deploy", "--timeout", "3500"), told)


def _ways() -> Iterator[Way]:
    for wire in WIRES:
        yield Way(f"live engine, {_shown(wire)}", wire, ("run", "--until-idle"))
    for wire in WIRES:
        yield Way(f"Spark, {_shown(wire)}", wire, ("run", "--engine", "spark"))
    for wire in WIRES:
        yield _flink("hashmap", MINI_BATCH, wire, "heap, mini-batch")
    yield _flink("rocksdb", MINI_BATCH, "json", "RocksDB, mini-batch")
    yield _flink("hashmap", ONE_BY_ONE, "json", "heap, no mini-batch")


def run(scale: str) -> Iterator[Figure]:
    load, events, times = SIZES[scale]
    stream = make(load, events)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, Stack(Path(folder)) as stack:
        Path(folder).chmod(0o755)
        for wire in WIRES:
            _fill(stack, wire, stream)
        figures: dict[str, Figure] = {}
        for way in _ways():
            spent = [_measure(stack, way, stream, number) for number in range(times)]
            figures[way.name] = _figure(way.name, spent, load + events)
            yield figures[way.name]
    yield from (_beside_flink(wire, figures) for wire in WIRES)


def _fill(stack: Stack, wire: Wire, stream: Stream) -> None:
    topic, brokers = _topic(wire), stack.kafka.bootstrap
    create(brokers, topic)
    writer = writer_of(KafkaSettings.model_validate(settings(stack, wire)), Path())
    write_load(stream, brokers, topic, writer)
    write_events(stream, brokers, topic, writer, stream.round(0, 1))
    writer.close()


def _measure(stack: Stack, way: Way, stream: Stream, number: int) -> Spent:
    with flat({"kind": "kafka", "tables": {"sales": _topic(way.wire)}}) as project, _cluster(stack, way) as cluster:
        _configure(project, stack, way, cluster, number)
        env = {**project.env, "TOPLINE_RESULTS__DSN": project.results}
        beside = _beside(project, cluster)
        spent = measured([*TOPLINE, *way.arguments], project.folder, env=env, beside=beside, whole_tree=True)
        require(project.results, "topline", rankings(stream))
    return spent


@contextmanager
def _cluster(stack: Stack, way: Way) -> Iterator[Flink | None]:
    """A cluster of Flink of its own, in which nothing ran before."""
    if way.flink is None:
        yield None
        return
    with tempfile.TemporaryDirectory(dir=stack.folder) as folder:
        cluster = Flink(JARS / "flink", Path(folder), free_ports(3), heap=7168, managed=1536)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def _beside(project: Project, cluster: Flink | None) -> dict[str, int]:
    pids = {"postgres": project.server.pid()}
    if cluster is not None:
        pids |= {process.name: process.pid for process in cluster.processes}
    return {name: pid for name, pid in pids.items() if pid is not None}


def _configure(project: Project, stack: Stack, way: Way, cluster: Flink | None, number: int) -> None:
    path = project.folder / "topline.yml"
    written = yaml.safe_load(path.read_text())
    written |= {"project": f"bench_{number}", "kafka": settings(stack, way.wire)}
    written["spark"] = {**SPARK, "driver_memory": "6g", "shuffle_partitions": 4, "conf": {}}
    if cluster is not None:
        where = {"gateway": {"url": cluster.gateway_url}, "cluster": {"url": cluster.rest}}
        written["flink"] = {**where, **(way.flink or {})}
    path.write_text(yaml.safe_dump(written))


def _figure(name: str, spent: list[Spent], events: int) -> Figure:
    last = spent[-1]
    others = ", ".join(f"{other} {cpu:.0f}" for other, cpu in last.others.items())
    cpu = [one.cpu + sum(one.others.values()) for one in spent]
    note = f"{events:,} events, {last.wall:.0f} s; CPU-seconds: the command {last.cpu:.0f}, {others}"
    return Figure(name, "events/s", [events / one.wall for one in spent], cpu, events, "events", None, note)


def _beside_flink(wire: Wire, figures: Mapping[str, Figure]) -> Figure:
    """How many times as much the live engine does a CPU-second as Flink does at its best."""
    ours = figures[f"live engine, {_shown(wire)}"].a_cpu_second or 0
    theirs = [figure.a_cpu_second or 0 for name, figure in figures.items() if "Flink" in name and name.endswith(_shown(wire))]
    return Figure(f"live engine to Flink, events a CPU-second, {_shown(wire)}", "times", [ours / max(theirs)], bar=Bar(5))


def _topic(wire: Wire) -> str:
    return f"cluster-{wire}"


def _shown(wire: Wire) -> str:
    return wire.upper() if wire == "json" else "Avro"
