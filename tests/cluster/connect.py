"""Kafka Connect, distributed, with Debezium's connectors and the registry's converter."""

import urllib.request
from dataclasses import dataclass
from pathlib import Path

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
