"""Apache Flink: a JobManager, TaskManagers and the SQL Gateway, from one class path."""

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.process import Process, Server, java

_OPEN = (
    "java.base/java.net", "java.base/java.io", "java.base/java.text", "java.base/java.time", "java.base/java.util",
    "java.base/java.lang", "java.base/java.lang.invoke", "java.base/java.lang.reflect",
    "java.base/java.util.concurrent",    "java.base/java.util.concurrent.atomic", "java.base/java.util.concurrent.locks",
)  # fmt: skip


@dataclass
class Flink:
    """`ports`: the JobManager's REST and RPC, the gateway's REST. A TaskManager takes what is free. `heap`, `managed`: its
    memory in MiB, for objects and for RocksDB."""

    jars: Path
    folder: Path
    ports: list[int]
    slots: int = 4
    heap: int = 1024
    managed: int = 512

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        rest, rpc, gateway = self.ports
        self._configure()
        self.job_manager = self._process(
            "flink-jobmanager", "-Xmx640m", "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            [rest, rpc], lambda: "taskmanagers" in _get(f"{self.rest}/overview"),
        )  # fmt: skip
        self.task_manager = self._process(
            "flink-taskmanager", f"-Xmx{self.heap}m", "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            [], lambda: _get(f"{self.rest}/overview")["slots-total"] >= self.slots,
        )  # fmt: skip
        self.gateway = self._process(
            "flink-gateway", "-Xmx1g", "org.apache.flink.table.gateway.SqlGateway",
            [gateway], lambda: "productName" in _get(f"{self.gateway_url}/v1/info"),
        )  # fmt: skip

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[2]}"

    @property
    def processes(self) -> list[Process]:
        return [self.job_manager, self.task_manager, self.gateway]

    def start(self) -> None:
        for process in self.processes:
            process.begin()
        for process in self.processes:
            process.await_ready()

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    def _process(self, name: str, heap: str, main: str, ports: list[int], ready: Any) -> Process:
        opened = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPEN]
        command = [java(17), heap, "-XX:+UseSerialGC", *opened, f"-Dlog4j.configurationFile={self.folder / 'log4j.properties'}"]
        command += ["-cp", f"{self.jars}/*", main]
        command += [] if name == "flink-gateway" else ["--configDir", str(self.folder)]
        environment = {"FLINK_CONF_DIR": str(self.folder)}
        return Process(Server(name, command, ports, ready, environment), self.folder)

    def _configure(self) -> None:
        rest, rpc, gateway = self.ports
        settings = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": rpc,
            "jobmanager.bind-host": "127.0.0.1",
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            # What Flink's own start script would work out.
            "taskmanager.cpu.cores": 2,
            "taskmanager.memory.task.heap.size": f"{self.heap - 128}m",
            "taskmanager.memory.task.off-heap.size": "64m",
            "taskmanager.memory.network.min": "128m",
            "taskmanager.memory.network.max": "128m",
            "taskmanager.memory.managed.size": f"{self.managed}m",
            "taskmanager.memory.framework.heap.size": "128m",
            "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.jvm-metaspace.size": "256m",
            "taskmanager.memory.jvm-overhead.min": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
            "taskmanager.numberOfTaskSlots": self.slots,
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": rest,
            "sql-gateway.endpoint.rest.address": "127.0.0.1",
            "sql-gateway.endpoint.rest.bind-address": "127.0.0.1",
            "sql-gateway.endpoint.rest.port": gateway,
            "execution.checkpointing.dir": (self.folder / "checkpoints").as_uri(),
            "execution.checkpointing.savepoint-dir": (self.folder / "savepoints").as_uri(),
            "io.tmp.dirs": str(self.folder / "tmp"),
        }
        (self.folder / "tmp").mkdir(exist_ok=True)
        (self.folder / "config.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items()))
        (self.folder / "log4j.properties").write_text(
            "rootLogger.level = WARN\nrootLogger.appenderRef.out.ref = out\n"
            "appender.out.name = out\nappender.out.type = CONSOLE\nappender.out.layout.type = PatternLayout\n"
            "appender.out.layout.pattern = %d %p %c{1}: %m%n\n"
        )


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)
