"""Debezium for the PostgreSQL sources that travel through Kafka: the connector that each is to have, and how it stands.

Source of the settings: Debezium 3.7, "PostgreSQL connector: connector properties". The modes in which values are written are
fixed here: every reader of the topics rests on them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from topline.config import Project
from topline.dsn import parse_dsn
from topline.errors import ConfigError
from topline.ingest.connect import Connect, State
from topline.kafka.settings import KafkaSettings, kafka_settings
from topline.schema import TableSchema
from topline.sources.postgres import Settings
from topline.sources.postgres.tables import Target, targets
from topline.sources.registry import Embedded, section_of

VALUES = {
    "decimal.handling.mode": "string",
    "time.precision.mode": "isostring",
    "binary.handling.mode": "hex",
    "interval.handling.mode": "string",
    "hstore.handling.mode": "json",
    "tombstones.on.delete": "true",
    "skipped.operations": "none",
}
"""How values and deletions are written. A TRUNCATE is a record without a key, which no compacted topic takes: the task ends."""
_APICURIO, _CONFLUENT = "io.apicurio.registry.utils.converter.AvroConverter", "io.confluent.connect.avro.AvroConverter"
_JSON = "org.apache.kafka.connect.json.JsonConverter"
_CCOMPAT = "/apis/ccompat/"
_SECRETS = ("password", "jaas", "basic.auth.user.info")
_HIDDEN = "(hidden)"
RUNNING, FAILED = "RUNNING", "FAILED"


@dataclass(frozen=True, slots=True)
class Connector:
    """What a source's connector is to be: its name in Connect, and its settings, secrets among them."""

    source: str
    name: str
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a connector stands: `states` of it and its tasks, none where it is not there; `drift`: setting -> (as it is to be,
    as it is), either None where it is not set; secrets hidden."""

    connector: Connector
    states: tuple[State, ...] = ()
    drift: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @property
    def troubles(self) -> list[str]:
        """Why it does not work, in words; nothing where it does."""
        if len(self.states) < 2:
            return ["it has no task"] if self.states else ["it is not there"]
        return [f"{one.what} {one.state}: {one.reason}".removesuffix(": ") for one in self.states if one.state != RUNNING]


def connectors(project: Project, tables: Mapping[str, TableSchema], embedded: Embedded) -> list[Connector]:
    """Of each source of kind `postgres` with `from: kafka`. ConfigError, a fault a line, where one cannot be made."""
    cluster = kafka_settings(project)
    if cluster.connect is None:
        raise ConfigError("kafka.connect: where Kafka Connect is must be said: write its `url`")
    found: list[Connector] = []
    for name, raw in project.config.sources.items():
        if raw.get("kind") != "postgres" or raw.get("from") != "kafka" or raw.get("via") == "ingest":
            continue
        section = section_of(project, name, embedded)
        settings = section.settings(Settings)
        if settings is None or section.faults:
            raise ConfigError("\n".join(section.faults))
        own = {full.partition(".")[2]: schema for full, schema in tables.items() if full.startswith(f"{name}.")}
        config = dict(_config(name, settings, targets(name, own, settings), cluster))
        found.append(Connector(name, f"{project.config.project}-{name}", config))
    return found


def standing(connector: Connector, connect: Connect) -> Standing:
    """How it stands now."""
    found = connect.config(connector.name)
    return Standing(connector, tuple(connect.states(connector.name)), {} if found is None else _drift(connector, found))


def _drift(connector: Connector, found: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    wanted = {**connector.config, "name": connector.name}
    names = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    return {name: (_shown(name, wanted.get(name)), _shown(name, found.get(name))) for name in names}


def _shown(name: str, value: str | None) -> str | None:
    return _HIDDEN if value is not None and any(word in name for word in _SECRETS) else value


def _config(source: str, settings: Settings, tables: Mapping[str, Target], cluster: KafkaSettings) -> Iterator[tuple[str, str]]:
    yield "connector.class", "io.debezium.connector.postgresql.PostgresConnector"
    yield "tasks.max", "1"
    yield from _database(settings).items()
    yield "plugin.name", "pgoutput"
    yield "topic.prefix", ".".join(part for part in (cluster.prefix, source) if part)
    yield "slot.name", settings.slot or f"topline_{source}_debezium"
    yield "publication.name", settings.publication or f"topline_{source}_debezium"
    yield "publication.autocreate.mode", "filtered"
    # Names are patterns to Debezium.
    yield "table.include.list", ",".join(f"{_exactly(one.namespace)}\\.{_exactly(one.relation)}" for one in tables.values())
    keys = (f"{_exactly(t.namespace)}\\.{_exactly(t.relation)}:{','.join(t.schema.key)}" for t in tables.values())
    yield "message.key.columns", ";".join(keys)
    yield "exactly.once.support", "required"
    yield "heartbeat.interval.ms", str(int(settings.heartbeat * 1000))
    yield from VALUES.items()
    yield from _topics(cluster).items()
    yield from _converters(cluster)


def _exactly(name: str) -> str:
    """A name as a pattern that it alone fits (Java's regular expressions)."""
    return "".join(one if one.isalnum() or one == "_" else f"\\{one}" for one in name)


def _database(settings: Settings) -> dict[str, str]:
    found = parse_dsn(settings.dsn)
    named = {"hostname": "host", "port": "port", "user": "user", "password": "password", "dbname": "dbname"}
    values = {f"database.{ours}": str(found[theirs]) for ours, theirs in named.items() if found.get(theirs) is not None}
    if (mode := found.get("sslmode")) is not None:
        values["database.sslmode"] = str(mode)
    return {"database.port": "5432", **values}


def _topics(cluster: KafkaSettings) -> dict[str, str]:
    topics, default = cluster.topics, "topic.creation.default."
    settings = {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(topics.compaction_lag_ms),
        "delete.retention.ms": str(topics.compaction_lag_ms),
        **topics.settings,
    }
    return {
        f"{default}partitions": str(topics.partitions),
        f"{default}replication.factor": str(topics.replication),
        **{default + name: value for name, value in settings.items()},
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
        "apicurio.registry.artifact-resolver-strategy": "io.apicurio.registry.serde.strategy.TopicIdStrategy",
        "schemas.enable": "true",
    }


def door(project: Project) -> Connect:
    """To be closed by the caller."""
    cluster = kafka_settings(project)
    assert cluster.connect is not None  # `connectors` has seen to it
    return Connect(cluster.connect, project.root, cluster.timeout)
