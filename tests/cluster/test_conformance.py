"""The kafka source keeps the standard, over a real broker, whatever the change events are written in."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.cluster.kafka import Kafka
from tests.cluster.process import free_ports
from tests.cluster.stack import JARS
from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from tests.servers import http
from tests.servers.proxy import Proxy
from tests.servers.schemas import record, serve
from topline.kafka.settings import KafkaSettings
from topline.sources.base import Context, Source
from topline.sources.kafka import Settings, create

pytestmark = pytest.mark.cluster
PARTITIONS = 3
_names = itertools.count()
VALUE = {
    "type": "record",
    "name": "Value",
    "fields": [{"name": "id", "type": "string"}, {"name": "value", "type": ["null", "string"], "default": None}],
}
ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "fields": [
        {"name": "before", "type": ["null", VALUE], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": [{"name": "ts_ms", "type": "long"}]}},
        {"name": "op", "type": "string"},
    ],
}
KEY = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "string"}]}
SCHEMAS = {1: KEY, 2: ENVELOPE}


@dataclass(frozen=True)
class Broker:
    """A broker that clients reach by `proxy`, and the tests directly."""

    kafka: Kafka
    proxy: Proxy

    @property
    def proxied(self) -> str:
        return f"127.0.0.1:{self.proxy.port}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    ports = free_ports(3)
    proxy = Proxy(("127.0.0.1", ports[2]))
    listeners = f"PLAINTEXT://127.0.0.1:{ports[0]},CONTROLLER://127.0.0.1:{ports[1]},PROXIED://127.0.0.1:{ports[2]}"
    settings = {
        "listeners": listeners,
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports[0]},PROXIED://127.0.0.1:{proxy.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    kafka = Kafka(JARS / "kafka", tmp_path_factory.mktemp("kafka"), ports[:2], settings)
    kafka.start()
    yield Broker(kafka, proxy)
    proxy.close()
    kafka.stop()


@pytest.fixture(scope="module")
def registry() -> Iterator[http.Server]:
    server = serve(SCHEMAS)
    yield server
    server.close()


class KafkaOrigin(Origin):
    """A topic of change events; each verb is a transaction."""

    waivers: ClassVar[Mapping[str, str]] = {
        "transactions_are_whole": "a transaction's records lie in several partitions, which are read apart: whole per key only",
    }

    def __init__(self, root: Path, broker: Broker, registry: str = "") -> None:
        self._root, self._broker, self._registry = root, broker, registry
        self._topic = f"things-{next(_names)}"
        direct: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.kafka.bootstrap}
        admin = AdminClient(direct)
        [made] = admin.create_topics([NewTopic(self._topic, PARTITIONS, 1, config={"cleanup.policy": "compact"})]).values()
        made.result(30)
        self._producer = Producer({**direct, "transactional.id": self._topic})
        self._producer.init_transactions(30)

    def source(self) -> Source:
        wire = {"format": "avro", "registry": {"url": self._registry}} if self._registry else {"format": "json"}
        cluster = KafkaSettings.model_validate({"brokers": self._broker.proxied, "timeout": 3, **wire})
        context = Context("origin", {"things": TABLE}, self._root, self._root / ".topline", cluster)
        return create(context, Settings(tables={"things": self._topic}))

    def put(self, rows: Mapping[str, str | None]) -> None:
        self._write([(self._key(key), self._upsert(key, value)) for key, value in rows.items()])

    def delete(self, ids: Sequence[str]) -> None:
        event = {"before": None, "after": None, "source": {"ts_ms": 1}, "op": "d"}
        self._write([one for key in ids for one in ((self._key(key), self._value(event)), (self._key(key), None))])

    def corrupt(self, good: Mapping[str, str | None]) -> bytes | None:
        first, *rest = good.items()
        bad = b"\0\0\0\0\2\x00\x02\x06" if self._registry else b'{"op": "c", "after":'
        records = [(self._key(key), self._upsert(key, value)) for key, value in rest]
        self._write([(self._key(first[0]), self._upsert(*first)), (self._key("bad"), bad), *records])
        return bad

    def interrupt(self) -> None:
        self._broker.proxy.go_down()

    def mend(self) -> None:
        self._broker.proxy.come_up()

    def _write(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        self._producer.begin_transaction()
        for key, value in records:
            self._producer.produce(self._topic, value, key)
        self._producer.commit_transaction(30)

    def _upsert(self, key: str, value: str | None) -> bytes:
        return self._value({"before": None, "after": {"id": key, "value": value}, "source": {"ts_ms": 1}, "op": "u"})

    def _key(self, key: str) -> bytes:
        return record(SCHEMAS, 1, {"id": key}) if self._registry else json.dumps({"id": key}).encode()

    def _value(self, event: Mapping[str, Any]) -> bytes:
        return record(SCHEMAS, 2, event) if self._registry else json.dumps(event).encode()


class TestKafkaJson(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path, broker: Broker) -> Origin:
        return KafkaOrigin(tmp_path, broker)


class TestKafkaAvro(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path, broker: Broker, registry: http.Server) -> Origin:
        return KafkaOrigin(tmp_path, broker, registry.url)
