"""Debezium for the sources that travel through Kafka: the connector that each is to have.

Source of the settings: Debezium 3.7, "connector properties" of each connector. The modes in which values are written are fixed
here: every reader of the topics rests on them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topline.config import Project
from topline.errors import ConfigError
from topline.ingest.debezium import postgres, relational
from topline.ingest.debezium.captured import Captured, Origin
from topline.kafka.java import java_settings
from topline.kafka.names import signals_of, topic_of
from topline.kafka.settings import KafkaSettings, kafka_settings
from topline.kafka.topics import table_settings
from topline.schema import TableSchema
from topline.sources.registry import Embedded, section_of

VALUES = {
    "decimal.handling.mode": "string",
    "time.precision.mode": "isostring",
    "binary.handling.mode": "hex",
    "tombstones.on.delete": "true",
    "skipped.operations": "none",
}
"""How values and deletions are written, whatever the database. A TRUNCATE is a record without a key, which no compacted topic
takes: the task ends."""
_APICURIO, _CONFLUENT = "io.apicurio.registry.utils.converter.AvroConverter", "io.confluent.connect.avro.AvroConverter"
_JSON = "org.apache.kafka.connect.json.JsonConverter"
_CCOMPAT = "/apis/ccompat/"


@dataclass(frozen=True, slots=True)
class Connector:
    """What a source's connector is to be.

    name     in Connect
    config   its settings, secrets among them
    topics   of its tables
    signals  the topic by which it is told what to do
    tables   by short name: a pattern that fits the table's name and no other
    leaves   what stays behind where it is removed, and what to do about it
    """

    source: str
    name: str
    config: Mapping[str, str]
    topics: tuple[str, ...]
    signals: str
    tables: Mapping[str, str]
    leaves: str


def connectors(project: Project, tables: Mapping[str, TableSchema], embedded: Embedded) -> list[Connector]:
    """Of each source with `from: kafka` and `via: debezium`. ConfigError, a fault a line, where one cannot be made."""
    cluster = kafka_settings(project)
    if cluster.connect is None:
        raise ConfigError("kafka.connect: where Kafka Connect is must be said: write its `url`")
    found: list[Connector] = []
    for name, raw in project.config.sources.items():
        if raw.get("kind") not in _KINDS or raw.get("from") != "kafka":
            continue
        section = section_of(project, name, embedded)
        known, capture = _KINDS[raw["kind"]]
        settings = section.settings(known)
        if settings is None or section.faults:
            raise ConfigError("\n".join(section.faults))
        if settings.via == "debezium":
            own = {full.partition(".")[2]: schema for full, schema in tables.items() if full.startswith(f"{name}.")}
            found.append(_connector(project, name, capture(Origin(name, own, cluster, project.root), settings)))
    return found


_KINDS: Mapping[str, tuple[Any, Callable[[Origin, Any], Captured]]] = {
    "postgres": (postgres.Settings, postgres.captured),
    "sql": (relational.Settings, relational.captured),
}


def _connector(project: Project, source: str, database: Captured) -> Connector:
    cluster = kafka_settings(project)
    name, signals = f"{project.config.project}-{source}", signals_of(cluster.prefix, source)
    topics = tuple(topic_of(cluster.prefix, source, *place) for place in database.places.values())
    config = {**dict(_config(source, database, cluster)), **_signals(name, signals, cluster, project.root)}
    return Connector(source, name, config, topics, signals, database.patterns, database.leaves)


def _config(source: str, database: Captured, cluster: KafkaSettings) -> Iterator[tuple[str, str]]:
    yield "tasks.max", "1"
    yield "topic.prefix", topic_of(cluster.prefix, source)
    # Names are patterns to Debezium.
    yield "table.include.list", ",".join(database.patterns.values())
    yield "message.key.columns", ";".join(f"{database.patterns[name]}:{','.join(key)}" for name, key in database.keys.items())
    yield "exactly.once.support", "required"
    yield from VALUES.items()
    yield from database.config.items()
    yield from _topics(cluster).items()
    yield from _converters(cluster)


def _topics(cluster: KafkaSettings) -> dict[str, str]:
    """Those that Debezium makes by itself (its heartbeat's, a table's that was deleted) are as those that Topline makes."""
    default = "topic.creation.default."
    return {
        f"{default}partitions": str(cluster.topics.partitions),
        f"{default}replication.factor": str(cluster.topics.replication),
        **{default + name: value for name, value in table_settings(cluster.topics).items()},
    }


def _signals(name: str, topic: str, cluster: KafkaSettings, root: Path) -> dict[str, str]:
    """By a topic, and without a table of Debezium's in the source: it only reads there."""
    return {
        "read.only": "true",
        "signal.enabled.channels": "kafka",
        "signal.kafka.topic": topic,
        "signal.kafka.bootstrap.servers": cluster.addresses,
        "signal.kafka.groupId": name,  # else all connectors share one group, and one of them hears
        # By Debezium's own values a first signal over TLS was heard after 100 s: each step of getting in took a poll.
        "signal.poll.interval.ms": "1000",
        "signal.kafka.poll.timeout.ms": "2000",
        **{f"signal.consumer.{setting}": value for setting, value in java_settings(cluster, root).items()},
    }


def _converters(cluster: KafkaSettings) -> Iterator[tuple[str, str]]:
    for side in ("key.converter", "value.converter"):
        if cluster.registry is None or cluster.format == "json":
            yield side, _JSON
            yield f"{side}.schemas.enable", "false"
        elif _CCOMPAT in cluster.registry.url:
            yield side, _APICURIO
            yield from ((f"{side}.{name}", value) for name, value in _apicurio(cluster.registry.url).items())
        else:
            yield side, _CONFLUENT
            yield f"{side}.schema.registry.url", cluster.registry.url


def _apicurio(url: str) -> dict[str, str]:
    """In Confluent's wire format, by the id that the registry's Confluent API knows too, subjects by topic."""
    return {
        "apicurio.registry.url": f"{url.partition(_CCOMPAT)[0]}/apis/registry/v2",
        "apicurio.registry.auto-register": "true",
        "apicurio.registry.if-exists": "RETURN_OR_UPDATE",
        "apicurio.registry.as-confluent": "true",
        "apicurio.registry.use-id": "contentId",
        "apicurio.registry.headers.enabled": "false",
        # What it once had of a registry that is down is still true: without these a task would end 30 seconds later.
        "apicurio.registry.fault-tolerant-refresh": "true",
        "apicurio.registry.retry-count": "10",
        "apicurio.registry.retry-backoff-ms": "2000",
        "apicurio.registry.artifact-resolver-strategy": "io.apicurio.registry.serde.strategy.TopicIdStrategy",
        "schemas.enable": "true",
    }
