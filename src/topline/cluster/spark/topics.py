"""Which topic each table travels through, and up to where a run reads it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from topline.changes import Position
from topline.cluster.topics import topics_of
from topline.config import Project
from topline.kafka.client import Client
from topline.kafka.settings import KafkaSettings, kafka_settings
from topline.models.plan import ProjectPlan
from topline.schema import TableSchema
from topline.sources.kafka.topics import Topic, look
from topline.sources.registry import Embedded, build

_EARLIEST = -2  # as Spark has it


@dataclass(frozen=True, slots=True)
class Input:
    """A table and its topic as it stood when the run began. `zone`: that of times which carry none."""

    schema: TableSchema
    topic: Topic
    zone: str

    @property
    def assigned(self) -> str:
        return json.dumps({self.topic.name: sorted(self.topic.end)})

    @property
    def starting(self) -> str:
        return json.dumps({self.topic.name: {str(number): _EARLIEST for number in self.topic.end}})

    @property
    def ending(self) -> str:
        return json.dumps({self.topic.name: {str(number): end for number, end in self.topic.end.items()}})

    @property
    def is_empty(self) -> bool:
        return not any(end > self.topic.first[number] for number, end in self.topic.end.items())


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a run reads: `tables` by full name (`shop.orders`)."""

    cluster: KafkaSettings
    tables: Mapping[str, Input]

    def positions(self) -> dict[str, dict[str, Position]]:
        """Source -> partition -> its last record that is read, as the live engine numbers them."""
        found: dict[str, dict[str, Position]] = {}
        for full, one in self.tables.items():
            source, _, table = full.partition(".")
            ends = {f"{table}/{number}": Position(1, 2 * (end - 1)) for number, end in one.topic.end.items() if end}
            found.setdefault(source, {}).update(ends)
        return found


def inputs(project: Project, plan: ProjectPlan, tables: Iterable[str], embedded: Embedded) -> Inputs:
    """What `tables` read, up to the last record that is committed now. ConfigError for tables that do not travel through
    Kafka; SourceNotReady for a topic that is not there."""
    cluster = kafka_settings(project)
    declared = {name: plan.tables[name] for name in tables}
    topics = topics_of("Spark", build(project, plan.tables, embedded), declared)
    found = _looked_at(Client(cluster, project.root, "topline-spark"), [topic.name for topic in topics], cluster.timeout)
    return Inputs(cluster, {one.schema.name: Input(one.schema, found[one.name], one.zone) for one in topics})


def _looked_at(client: Client, names: list[str], timeout: float) -> dict[str, Topic]:
    consumer = client.consumer("topline-spark")
    try:
        return look(client.admin(), consumer, names, timeout)
    finally:
        consumer.close()
