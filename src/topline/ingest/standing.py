"""How a source's Debezium stands: its connector and its tables' topics, beside what topline.yml says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from topline.config import Project
from topline.ingest.connect import Connect, State
from topline.ingest.debezium.connector import Connector
from topline.kafka.client import AdminClient, Client
from topline.kafka.java import hidden
from topline.kafka.settings import Topics, kafka_settings
from topline.kafka.topics import Difference, differences, ensure, ensure_signals

RUNNING, FAILED = "RUNNING", "FAILED"
_AS_MADE = frozenset({"partitions", "replication"})  # of a topic: no other try changes them


@dataclass(frozen=True, slots=True)
class Standing:
    """How a connector and its topics stand.

    states  of it and its tasks; none where it is not there
    drift   setting -> (as it is to be, as it is), either None where it is not set, secrets hidden
    topics  those of its tables that differ; None for one that is not there
    """

    connector: Connector
    states: tuple[State, ...] = ()
    drift: Mapping[str, Difference] = field(default_factory=dict)
    topics: Mapping[str, Mapping[str, Difference] | None] = field(default_factory=dict)

    @property
    def troubles(self) -> list[str]:
        """Why it does not work, in words; nothing where it does."""
        missing = [f"topic {name} is not there" for name, found in self.topics.items() if found is None]
        if len(self.states) < 2:
            return [*missing, "it has no task" if self.states else "it is not there"]
        failed = [one for one in self.states if one.state != RUNNING]
        return [*missing, *(f"{one.what} {one.state}: {one.reason}".removesuffix(": ") for one in failed)]

    @property
    def as_told(self) -> bool:
        """Partitions and copies that a topic was made with are shown, and no fault: they cannot be set."""
        settings = {name for found in self.topics.values() for name in found or {}}
        return not (self.troubles or self.drift or settings - _AS_MADE)


class Cluster:
    """The brokers and Kafka Connect of a project, whose connectors there are. To be closed."""

    def __init__(self, project: Project) -> None:
        settings = kafka_settings(project)
        assert settings.connect is not None  # who knows the connectors has seen to it
        self.connect = Connect(settings.connect, project.root, settings.timeout)
        self.client = Client(settings, project.root)
        self.timeout = settings.timeout
        self._admin: AdminClient = self.client.admin()
        self._topics: Topics = settings.topics

    def close(self) -> None:
        self.connect.close()

    def ensure_topics(self, connector: Connector) -> list[str]:
        """Of its tables and its signals: a reader halts at a topic that is not there, and an empty table brings none."""
        with self.client.reaching():
            made = ensure(self._admin, connector.topics, self._topics, self.timeout)
            return made + ensure_signals(self._admin, [connector.signals], self._topics, self.timeout)

    def standing(self, connector: Connector) -> Standing:
        """How it stands now."""
        found = self.connect.config(connector.name)
        states = tuple(self.connect.states(connector.name))
        with self.client.reaching():
            topics = differences(self._admin, connector.topics, self._topics, self.timeout)
        return Standing(connector, states, {} if found is None else _drift(connector, found), topics)


def _drift(connector: Connector, found: Mapping[str, str]) -> dict[str, Difference]:
    wanted = {**connector.config, "name": connector.name}
    names = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    return {name: (_shown(name, wanted.get(name)), _shown(name, found.get(name))) for name in names}


def _shown(name: str, value: str | None) -> str | None:
    return None if value is None else hidden(name, value)
