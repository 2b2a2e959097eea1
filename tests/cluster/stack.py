"""The servers of the platform on loopback, in one folder: for tests here, and for development as a command.

`python -m tests.cluster.stack up|down|status` (make stack-up, stack-down): see tests/cluster/command.py.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType

from tests.cluster.connect import Connect
from tests.cluster.flink import Flink
from tests.cluster.kafka import Kafka
from tests.cluster.process import free_ports
from tests.cluster.registry import Registry
from topline.embedded import EmbeddedPostgres

JARS = Path(os.environ.get("TOPLINE_TEST_JARS", Path(__file__).parents[2] / "deploy" / "jvm" / "build"))
"""Where `mvn -f deploy/jvm/pom.xml package` puts each component."""


class Stack:
    """Each server starts when it is first asked for, and all end with the stack, the last one first."""

    def __init__(self, folder: Path, brokers: int = 1) -> None:
        self.folder, self._brokers = folder, brokers
        self._open = ExitStack()

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    @cached_property
    def postgres(self) -> EmbeddedPostgres:
        return self._open.enter_context(EmbeddedPostgres(self.folder))

    @cached_property
    def kafka(self) -> Kafka:
        made = Kafka(JARS / "kafka", self.folder / "kafka", free_ports(2 * self._brokers))
        self._begin(made.start, made.stop)
        return made

    @cached_property
    def registry(self) -> Registry:
        made = Registry(JARS / "registry", self.folder / "registry", free_ports(1)[0], lambda: self.postgres.dsn("registry"))
        self._begin(made.process.start, made.process.stop)
        return made

    @cached_property
    def flink(self) -> Flink:
        made = Flink(JARS / "flink", self.folder / "flink", free_ports(3))
        self._begin(made.start, made.stop)
        return made

    @cached_property
    def connect(self) -> Connect:
        copies = min(self._brokers, 3)
        made = Connect(
            JARS / "kafka", JARS / "connect", self.folder / "connect", free_ports(1)[0], self.kafka.bootstrap, copies
        )
        self._begin(made.process.start, made.process.stop)
        return made

    def _begin(self, start: Callable[[], None], stop: Callable[[], None]) -> None:
        self._open.callback(stop)
        start()


if __name__ == "__main__":
    from tests.cluster.command import main

    main()
