"""The shipped project with its shop behind Debezium and Kafka: configured, its tables made, and its topics read."""

import itertools
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg
import yaml

from tests.cluster.stack import Stack
from tests.polling import Clock
from tests.project import TestProject, embedded_dsn
from topline.kafka.client import OFFSET_BEGINNING, Client, TopicPartition
from topline.kafka.settings import KafkaSettings
from topline.kafka.topics import look

Format = Literal["json", "avro"]
TABLES = {
    "customers": "customer_id text PRIMARY KEY, customer_name text, country text, region text, city text",
    "salesmen": "salesman_id text PRIMARY KEY, salesman_name text",
    "orders": "order_id text PRIMARY KEY, customer_id text, salesman_id text, ordered_at timestamptz, currency text, "
    "status text",
    "order_items": "order_id text, item_no int, category text, product text, quantity int, unit_price numeric, "
    "PRIMARY KEY (order_id, item_no)",
}
_numbers = itertools.count(1)


def configure(project: TestProject, stack: Stack, wire: Format, *, connect: bool = True) -> str:
    """Its shop comes from the stack's Kafka. The prefix of its topics: what one test leaves in them, no other finds."""
    name = f"{wire}_{next(_numbers)}"
    registry = {"registry": {"url": stack.registry.url}} if wire == "avro" else {}
    servers = {"brokers": stack.kafka.bootstrap, **({"connect": {"url": stack.connect.url}} if connect else {}), **registry}
    with changed(project.folder) as written:
        written["project"] = f"sales_{name}"
        written["kafka"] = {"format": wire, "prefix": name, "topics": {"partitions": 3}, **servers}
        written["sources"]["shop"]["from"] = "kafka"
    return name


class changed:  # noqa: N801 - it reads as a statement
    """topline.yml as it is written, to be changed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "topline.yml"
        self._written: dict[str, Any] = yaml.safe_load(self._path.read_text())

    def __enter__(self) -> dict[str, Any]:
        return self._written

    def __exit__(self, *_: object) -> None:
        self._path.write_text(yaml.safe_dump(self._written))


@dataclass(frozen=True)
class Event:
    """A record of a table's topic; `op` is '' for a tombstone."""

    key: Mapping[str, Any]
    op: str
    after: Mapping[str, Any] | None


@dataclass(frozen=True)
class Shop:
    """The project, in JSON, and its source database."""

    project: TestProject
    brokers: str
    prefix: str

    @property
    def client(self) -> Client:
        return Client(KafkaSettings(brokers=self.brokers, format="json"), self.project.folder)

    def topic(self, table: str) -> str:
        return f"{self.prefix}.shop.public.{table}"

    def create(self) -> None:
        self.sql(*(f"CREATE TABLE {table} ({columns})" for table, columns in TABLES.items()))

    def sql(self, *statements: str) -> None:
        with psycopg.connect(embedded_dsn(self.project, "shop"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def events(self, table: str) -> list[Event]:
        """All that its topic has, each partition in order."""
        topic, timeout = self.topic(table), Clock(30)
        partitions = range(look(self.client.admin(), [topic], 10)[topic].partitions)
        found: list[Event] = []
        ended: set[int] = set()
        with closing(self.client.consumer("looks")) as consumer:
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
            while len(ended) < len(partitions) and not timeout():
                for message in consumer.consume(10_000, 0.2):
                    if message.error() is not None:
                        ended.add(message.partition() or 0)
                        continue
                    value = json.loads(message.value() or b"null") or {"op": "", "after": None}
                    found.append(Event(json.loads(message.key() or b"null"), value["op"], value["after"]))
        return found
