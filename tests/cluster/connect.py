"""Kafka Connect, distributed, with Debezium's connectors and the registry's converter."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.cluster.kafka import logging
from tests.cluster.process import Process, Server, java


@dataclass
class Connect:
    """`jars`: Kafka's libraries; `plugins`: the folder of plugins, one folder each."""

    jars: Path
    plugins: Path
    folder: Path
    port: int
    bootstrap: str
    copies: int = 1

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            java(17), "-Xmx512m", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={logging(self.folder)}",
            "-cp", f"{self.jars}/*", "org.apache.kafka.connect.cli.ConnectDistributed", str(self._properties()),
        ]  # fmt: skip
        self.process = Process(Server("connect", command, [self.port], self._healthy), self.folder)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _healthy(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/connectors", timeout=2) as answer:
            return bool(answer.status == 200)

    def _properties(self) -> Path:
        settings = {
            "bootstrap.servers": self.bootstrap,
            "group.id": "connect",
            "plugin.path": str(self.plugins),
            "plugin.discovery": "hybrid_warn",
            "listeners": self.url,
            "rest.advertised.host.name": "127.0.0.1",
            "rest.advertised.port": str(self.port),
            "exactly.once.source.support": "enabled",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "config.storage.topic": "connect-configs",
            "offset.storage.topic": "connect-offsets",
            "offset.storage.partitions": "5",
            "status.storage.topic": "connect-status",
            "config.storage.replication.factor": str(self.copies),
            "offset.storage.replication.factor": str(self.copies),
            "status.storage.replication.factor": str(self.copies),
            "scheduled.rebalance.max.delay.ms": "2000",
            "offset.flush.interval.ms": "2000",
            "connector.client.config.override.policy": "All",
        }
        path = self.folder / "connect.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path

    def put(self, name: str, config: dict[str, str]) -> None:
        """Make or change a connector."""
        request = urllib.request.Request(
            f"{self.url}/connectors/{name}/config",
            json.dumps(config).encode(),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=30):
            pass

    def delete(self, name: str) -> None:
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/connectors/{name}", method="DELETE"), timeout=30):
            pass

    def states(self, name: str) -> list[str]:
        """Those of a connector and of its tasks; none while Connect starts it."""
        try:
            with urllib.request.urlopen(f"{self.url}/connectors/{name}/status", timeout=10) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError:
            return []
        return [str(found["connector"]["state"]), *(str(task["state"]) for task in found["tasks"])]


def debezium(dsn: str, prefix: str, tables: Sequence[str], registry: str = "") -> dict[str, str]:
    """A connector's settings, as Topline's readers want them: `dsn` of the database, `registry` its address for Avro."""
    database = conninfo_to_dict(dsn)
    settings = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": str(database["host"]),
        "database.port": str(database["port"]),
        "database.user": str(database["user"]),
        "database.password": str(database["password"]),
        "database.dbname": str(database["dbname"]),
        "topic.prefix": prefix,
        "slot.name": f"debezium_{prefix}",
        "publication.name": f"debezium_{prefix}",
        "publication.autocreate.mode": "filtered",
        "table.include.list": ",".join(tables),
        "exactly.once.support": "required",
        "decimal.handling.mode": "string",
        "time.precision.mode": "isostring",
        "binary.handling.mode": "hex",
        "interval.handling.mode": "string",
        "tombstones.on.delete": "true",
        "topic.creation.default.partitions": "3",
        "topic.creation.default.replication.factor": "-1",
        "topic.creation.default.cleanup.policy": "compact",
        "poll.interval.ms": "50",
    }
    return settings | (_avro(registry) if registry else {})


def _avro(registry: str) -> dict[str, str]:
    """Apicurio's converter, in Confluent's wire format, with the schema's id that the Confluent API knows."""
    one = {
        "": "io.apicurio.registry.utils.converter.AvroConverter",
        ".apicurio.registry.url": registry,
        ".apicurio.registry.auto-register": "true",
        ".apicurio.registry.if-exists": "RETURN_OR_UPDATE",
        ".apicurio.registry.as-confluent": "true",
        ".apicurio.registry.use-id": "contentId",
        ".apicurio.registry.headers.enabled": "false",
        ".apicurio.registry.artifact-resolver-strategy": "io.apicurio.registry.serde.strategy.TopicIdStrategy",
        ".schemas.enable": "true",
    }
    return {f"{side}.converter{name}": value for side in ("key", "value") for name, value in one.items()}
