"""Apache Kafka in KRaft mode: one broker, or three that hold three copies."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.process import Process, Server, StackError, java, listens

_HEAP = "-Xmx384m"
_CLUSTER = "dG9wbGluZS1zdGFjay0wMQ"  # any 16 bytes in base64: the id of every cluster of ours


@dataclass
class Kafka:
    """`jars`: where its libraries lie. `ports`: a client's and a controller's for each broker."""

    jars: Path
    folder: Path
    ports: list[int]
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._java = java(17)
        self.nodes = [self._node(number) for number in range(len(self.ports) // 2)]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports[::2])

    def start(self) -> None:
        self.prepare()
        for node in self.nodes:
            node.begin()
        for node in self.nodes:
            node.await_ready()

    def prepare(self) -> None:
        """Their storage, where it is not made yet."""
        for number in range(len(self.nodes)):
            self._format(number)

    def stop(self) -> None:
        """All at once: the last ones would wait for a majority that is no more."""
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.stop()

    def _node(self, number: int) -> Process:
        port, controller = self.ports[2 * number : 2 * number + 2]
        name = f"kafka-{number + 1}"
        command = [
            self._java, _HEAP, "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={self._logging()}",
            "-cp", f"{self.jars}/*", "kafka.Kafka", str(self._properties(number)),
        ]  # fmt: skip
        return Process(Server(name, command, [port, controller], lambda: listens(port)), self.folder)

    def _format(self, number: int) -> None:
        properties = self._properties(number)
        if (self.folder / f"kafka-{number + 1}" / "meta.properties").exists():
            return
        command = [self._java, "-cp", f"{self.jars}/*", f"-Dlog4j2.configurationFile={self._logging()}"]
        command += ["kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(properties)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"the storage of {properties.stem} cannot be made:\n{done.stdout}{done.stderr}")

    def _properties(self, number: int) -> Path:
        brokers = len(self.ports) // 2
        copies, in_sync = (3, 2) if brokers >= 3 else (1, 1)
        port, controller = self.ports[2 * number : 2 * number + 2]
        voters = ",".join(f"{other + 1}@127.0.0.1:{self.ports[2 * other + 1]}" for other in range(brokers))
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(number + 1),
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / f"kafka-{number + 1}"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.replication.factor": str(copies),
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(in_sync),
            "transaction.state.log.num.partitions": "8",
            "group.initial.rebalance.delay.ms": "0",
            "message.max.bytes": str(8 * 1024 * 1024),
            **self.settings,
        }
        path = self.folder / f"kafka-{number + 1}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path

    def _logging(self) -> Path:
        return logging(self.folder)


def logging(folder: Path) -> Path:
    """Log4j's settings for Kafka and Connect: warnings and what the servers say of themselves, to the standard output."""
    path = folder / "log4j2.yaml"
    path.write_text(
        "Configuration:\n"
        "  Appenders:\n"
        "    Console:\n"
        "      name: out\n"
        "      PatternLayout:\n"
        '        pattern: "%d %p %c{1}: %m%n"\n'
        "  Loggers:\n"
        "    Root:\n"
        "      level: WARN\n"
        "      AppenderRef:\n"
        "        ref: out\n"
    )
    return path
