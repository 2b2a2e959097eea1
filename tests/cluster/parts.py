"""The stack's servers by kind, on ports that are said: what `up` starts and `status` looks at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.cluster.connect import Connect
from tests.cluster.flink import Flink
from tests.cluster.kafka import Kafka
from tests.cluster.postgres import Postgres
from tests.cluster.registry import Registry
from tests.cluster.stack import JARS


class Runs(Protocol):
    """A server: `pid` is None where it does not run."""

    @property
    def name(self) -> str: ...
    @property
    def ports(self) -> Sequence[int]: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def healthy(self) -> bool: ...
    @property
    def log(self) -> Path: ...
    def begin(self) -> None: ...
    def await_ready(self) -> None: ...
    def stop(self) -> None: ...


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Part:
    """Servers of one kind. `prepare`: before the first start; `says`: what else there is to know of them."""

    name: str
    servers: Sequence[Runs]
    prepare: Callable[[], None] = _nothing
    says: Sequence[str] = field(default_factory=list)


def parts_of(folder: Path, brokers: int, ports: Mapping[str, int], only: Sequence[str]) -> list[Part]:
    """In the order in which they start."""
    postgres = Postgres(folder, ports["postgres"])
    found: list[Part] = []
    if "postgres" in only:
        found.append(_postgres(postgres))
    if "kafka" in only:
        taken = [ports["kafka"] + number for number in range(2 * brokers)]
        kafka = Kafka(JARS / "kafka", folder / "kafka", taken)
        found.append(Part("kafka", kafka.nodes, kafka.prepare))
    if "registry" in only:
        registry = Registry(JARS / "registry", folder / "registry", ports["registry"], lambda: postgres.dsn("registry"))
        found.append(Part("registry", [registry.process]))
    if "connect" in only:
        copies = min(brokers, 3)
        connect = Connect(JARS / "kafka", JARS / "connect", folder / "connect", ports["connect"], kafka.bootstrap, copies)
        found.append(Part("connect", [connect.process]))
    if "flink" in only:
        flink = Flink(JARS / "flink", folder / "flink", [ports[name] for name in ("flink", "flink-rpc", "flink-gateway")])
        found.append(Part("flink", flink.processes))
    return found


def _postgres(server: Postgres) -> Part:
    says = [f"postgresql://topline@127.0.0.1:{server.ports[0]}/postgres with the password in {server.password}"]
    return Part("postgres", [server], says=says)
