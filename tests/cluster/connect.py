"""Kafka Connect, distributed, with Debezium's connectors and the registry's converter."""

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.kafka import logging
from tests.cluster.process import Process, Server, java


@dataclass
class Connect:
    """`jars`: Kafka's libraries; `plugins`: the folder of plugins, one folder each; `security`: how its clients get in."""

    jars: Path
    plugins: Path
    folder: Path
    port: int
    bootstrap: str
    copies: int = 1
    security: Mapping[str, str] = field(default_factory=dict)

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
        for owner in ("", "producer.", "consumer.", "admin."):
            settings |= {f"{owner}{name}": value for name, value in self.security.items()}
        path = self.folder / "connect.properties"
        path.write_text("".join(f"{key}={_escaped(value)}\n" for key, value in settings.items()))
        return path


def _escaped(value: str) -> str:
    """As Java's properties are written: certificates have lines."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
