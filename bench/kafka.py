"""From Kafka: the same rankings over the same change events, by the live engine, from topics in Avro and in JSON.

A real broker and a real registry on this machine; each round ends with the rankings compared with DuckDB's.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.events import Stream, make, rankings
from bench.events.topics import write_events, write_load
from bench.events.truth import require
from bench.figures import Bar, Figure
from bench.project import Project, flat
from bench.whole import Size, Times, rate, stages
from tests.cluster.stack import Stack
from topline.kafka.formats import writer_of
from topline.kafka.settings import KafkaSettings

SIZES = {"small": Size(200_000, 300_000, 3, 1), "full": Size(2_000_000, 2_000_000, 2, 3)}
EVENTS_BAR = Bar(100_000)
PARTITIONS = 4
Wire = Literal["avro", "json"]
WIRES: tuple[Wire, ...] = ("avro", "json")


def run(scale: str) -> Iterator[Figure]:
    size = SIZES[scale]
    stream = make(size.load, size.events)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, Stack(Path(folder)) as stack:
        Path(folder).chmod(0o755)
        for wire in WIRES:
            yield from measure(stack, wire, stream, size)


def measure(stack: Stack, wire: Wire, stream: Stream, size: Size) -> Iterator[Figure]:
    """A first load of what stands in the topic, then rounds of events that wait there."""
    times = Times()
    for number in range(size.times):
        topic = f"{wire}-{number}"
        with flat({"kind": "kafka", "tables": {"sales": topic}}) as project:
            feed = Topic(stack, settings(stack, wire), topic, stream, size.rounds)
            _configure(project, stack, wire)
            stages(project, feed, size, times)
            require(project.results, "topline", rankings(stream))
    name = wire.upper() if wire == "json" else "Avro"
    yield rate(f"first load, Kafka, {name}, two rankings", times.load, size.load, times, None)
    bar = EVENTS_BAR if wire == "avro" else None
    yield rate(f"change events, Kafka, {name}, two rankings", times.events, size.events // size.rounds, times, bar)


def create(brokers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    [made] = admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values()
    made.result(30)


def settings(stack: Stack, wire: Wire) -> dict[str, Any]:
    """What topline.yml says below `kafka`."""
    registry = {"registry": {"url": stack.registry.url}} if wire == "avro" else {}
    return {"brokers": stack.kafka.bootstrap, "format": wire, **registry}


@dataclass(frozen=True)
class Topic:
    """A topic that is made with the first load."""

    stack: Stack
    settings: dict[str, Any]
    topic: str
    stream: Stream
    rounds: int

    def load(self) -> None:
        brokers = self.stack.kafka.bootstrap
        create(brokers, self.topic)
        writer = writer_of(KafkaSettings.model_validate(self.settings), Path())
        write_load(self.stream, brokers, self.topic, writer)
        writer.close()

    def events(self, number: int) -> None:
        writer = writer_of(KafkaSettings.model_validate(self.settings), Path())
        write_events(self.stream, self.stack.kafka.bootstrap, self.topic, writer, self.stream.round(number, self.rounds))
        writer.close()


def _configure(project: Project, stack: Stack, wire: Wire) -> None:
    path = project.folder / "topline.yml"
    written = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**written, "kafka": settings(stack, wire)}))
