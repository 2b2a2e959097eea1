"""Change events as Debezium writes them, made apart from the product: JSON without schemas, or Avro with a registry."""

import io
import json
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from topline.schema import TableSchema, Type

Row = Mapping[str, Any]
_ISO = "io.debezium.time."
_KINDS: Mapping[Type, dict[str, str]] = {
    Type.TEXT: {"type": "string"},
    Type.DECIMAL: {"type": "string"},  # decimal.handling.mode=string
    Type.BIGINT: {"type": "long"},
    Type.BOOLEAN: {"type": "boolean"},
    Type.DATE: {"type": "string", "connect.name": f"{_ISO}IsoDate"},  # time.precision.mode=isostring
    Type.TIMESTAMP: {"type": "string", "connect.name": f"{_ISO}IsoTimestamp"},
    Type.TIMESTAMPTZ: {"type": "string", "connect.name": f"{_ISO}ZonedTimestamp"},
}


class Events:
    """Writes rows (column -> value of its declared type) to topics. `registry`: its Confluent API; none: JSON."""

    def __init__(self, brokers: str, registry: str = "") -> None:
        self._settings: dict[str, str | int | float | bool] = {"bootstrap.servers": brokers}
        self._registry = registry
        self._producer = Producer({**self._settings, "linger.ms": 5, "message.max.bytes": 8 << 20})
        self._schemas: dict[tuple[str, str], tuple[int, Any]] = {}

    def create(self, topic: str, partitions: int = 3) -> None:
        settings = {"cleanup.policy": "compact", "min.compaction.lag.ms": "604800000", "delete.retention.ms": "604800000"}
        admin = AdminClient(self._settings)  # named: what a client that is gone has begun fails
        [made] = admin.create_topics([NewTopic(topic, partitions, 1, config=settings)]).values()
        made.result(30)

    def put(self, topic: str, table: TableSchema, rows: Iterable[Row], op: str = "u") -> None:
        for row in rows:
            self._event(topic, table, row, op)

    def delete(self, topic: str, table: TableSchema, keys: Iterable[Row], *, tombstone: bool = True) -> None:
        """Keys: at least the key's columns."""
        for key in keys:
            self._event(topic, table, key, "d")
            if tombstone:
                self.raw(topic, self._key(topic, table, key), None)

    def name_later(self, topic: str, table: TableSchema) -> Callable[[], None]:
        """The values written from now on name a schema that the registry has only once what is given back is called."""
        number = 30 + max(known for known, _ in self._schemas.values())  # other tables may need theirs meanwhile
        self._schemas[topic, "value"] = number, fastavro.parse_schema(_envelope(table))

        def register() -> None:
            """It counts up: so many schemas that say the same, each of a namespace and a subject of its own."""
            for version in range(100):
                schema = {**_envelope(table), "namespace": f"v{version}"}
                if _register(self._registry, f"{topic}.v{version}-value", schema) == number:
                    return
            raise AssertionError(f"the registry gave no schema the number {number}")

        return register

    def raw(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """A record as it stands: a tombstone, a poison."""
        while True:
            try:
                return self._producer.produce(topic, value, key)
            except BufferError:
                self._producer.poll(0.1)

    def flush(self) -> None:
        assert self._producer.flush(60) == 0

    def key(self, topic: str, table: TableSchema, row: Row) -> bytes:
        return self._key(topic, table, row)

    def _event(self, topic: str, table: TableSchema, row: Row, op: str) -> None:
        after = None if op == "d" else {column.name: _written(row.get(column.name)) for column in table.columns}
        event = {"before": None, "after": after, "source": {"ts_ms": 1_700_000_000_000}, "op": op, "ts_ms": 1_700_000_000_001}
        if self._registry:
            value = self._avro(topic, "value", _envelope(table), event)
        else:
            value = json.dumps(event, ensure_ascii=False).encode()
        self.raw(topic, self._key(topic, table, row), value)

    def _key(self, topic: str, table: TableSchema, row: Row) -> bytes:
        key = {name: _written(row[name]) for name in table.key}
        if not self._registry:
            return json.dumps(key, ensure_ascii=False).encode()
        fields = [{"name": name, "type": _KINDS[table.type_of(name)]} for name in table.key]
        return self._avro(topic, "key", {"type": "record", "name": "Key", "fields": fields}, key)

    def _avro(self, topic: str, part: str, schema: dict[str, Any], value: Any) -> bytes:
        if (topic, part) not in self._schemas:
            number = _register(self._registry, f"{topic}-{part}", schema)
            self._schemas[topic, part] = number, fastavro.parse_schema(schema)
        number, parsed = self._schemas[topic, part]
        target = io.BytesIO()
        target.write(b"\0" + number.to_bytes(4, "big"))
        fastavro.schemaless_writer(target, parsed, value)
        return target.getvalue()


def records(brokers: str, topic: str) -> list[Message]:
    """All that is committed in a topic, each partition's in order."""
    settings: dict[str, str | int | float | bool] = {
        "bootstrap.servers": brokers,
        "group.id": "looking",
        "enable.partition.eof": True,
    }
    consumer = Consumer({**settings, "isolation.level": "read_committed"})
    numbers = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])
    found: list[Message] = []
    ended: set[int] = set()
    while len(ended) < len(numbers):
        message = consumer.poll(30)
        assert message is not None
        if (error := message.error()) is None:
            found.append(message)
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            ended.add(int(message.partition() or 0))
    consumer.close()
    return found


def _written(value: Any) -> Any:
    """As Debezium's modes `decimal: string`, `time: isostring` write it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else f"{value.isoformat()}Z"
    if isinstance(value, date):
        return f"{value.isoformat()}Z"
    return str(value) if isinstance(value, Decimal) else value


def _envelope(table: TableSchema) -> dict[str, Any]:
    fields = [{"name": column.name, "type": ["null", _KINDS[column.type]], "default": None} for column in table.columns]
    value = {"type": "record", "name": "Value", "fields": fields}
    source = {"type": "record", "name": "Source", "fields": [{"name": "ts_ms", "type": "long", "default": 0}]}
    return {
        "type": "record",
        "name": "Envelope",
        "fields": [
            {"name": "before", "type": ["null", value], "default": None},
            {"name": "after", "type": ["null", "Value"], "default": None},
            {"name": "source", "type": source},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", "type": ["null", "long"], "default": None},
        ],
    }


def _register(registry: str, subject: str, schema: dict[str, Any]) -> int:
    body = json.dumps({"schema": json.dumps(schema)}).encode()
    kind = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{registry}/subjects/{subject}/versions", body, kind), timeout=30
    ) as answer:
        return int(json.load(answer)["id"])
