"""Which topic each table travels through, and up to where a run reads it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from topline.changes import Position
from topline.config import Project
from topline.errors import ConfigError
from topline.kafka.client import Client
from topline.kafka.settings import KafkaSettings, kafka_settings
from topline.models.plan import ProjectPlan
from topline.schema import TableSchema
from topline.sources.kafka.source import KafkaSource
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
    """What `tables` read, up to the last record that is committed now. ConfigError, a fault a line, for a table that does not
    travel through Kafka; SourceNotReady for a topic that is not there."""
    cluster = kafka_settings(project)
    sources = {source.name: source for source in build(project, plan.tables, embedded)}
    behind: dict[str, KafkaSource] = {}
    faults: list[str] = []
    for full in tables:
        source = sources[full.partition(".")[0]]
        if isinstance(source, KafkaSource):
            behind[full] = source
        else:
            faults.append(
                f"table {full}: source {source.name} does not travel through Kafka, and Spark reads topics only: write "
                "`from: kafka` there, or `kind: kafka` with its topics"
            )
    if faults:
        raise ConfigError("\n".join(faults))
    topics = {full: source.topics[full.partition(".")[2]] for full, source in behind.items()}
    found = _looked_at(Client(cluster, project.root, "topline-spark"), list(topics.values()), cluster.timeout)
    return Inputs(cluster, {full: Input(plan.tables[full], found[topics[full]], behind[full].zone) for full in topics})


def _looked_at(client: Client, names: list[str], timeout: float) -> dict[str, Topic]:
    consumer = client.consumer("topline-spark")
    try:
        return look(client.admin(), consumer, names, timeout)
    finally:
        consumer.close()
