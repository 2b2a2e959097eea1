"""A project whose tables all come by topics, in a folder, with topics and results of its own."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg
import yaml
from psycopg import sql

from tests.cluster.events import Events
from tests.cluster.stack import JARS, Stack
from tests.exact.engines import Rows, plain
from tests.project import TestProject
from topline.models.plan import ProjectPlan
from topline.schema import TableSchema

Wire = Literal["json", "avro"]
FLINK: dict[str, Any] = {"checkpoint_interval": 2, "mini_batch": {"latency": 0.2}}
SPARK: dict[str, Any] = {
    "master": "local[2]",
    "jars": str(JARS / "spark"),
    "driver_memory": "1g",
    "shuffle_partitions": 2,
    # Little data, much SQL.
    "conf": {"spark.sql.adaptive.enabled": False, "spark.sql.codegen.factoryMode": "NO_CODEGEN"},
}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Company:
    project: TestProject
    plan: ProjectPlan
    events: Events
    topics: Mapping[str, str]
    dsn: str
    schema: str

    def rows(self, model: str) -> Rows:
        """What the result table shows; nothing where it is not there yet."""
        schema = self.plan.models[model].schema
        with psycopg.connect(self.dsn) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            columns = sql.SQL(", ").join(map(sql.Identifier, schema.names))
            query = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(self.schema, model))
            return Counter(tuple(plain(value) for value in row) for row in connection.execute(query).fetchall())

    def results(self) -> dict[str, Rows]:
        return {name: self.rows(name) for name, model in self.plan.models.items() if model.published}

    def table(self, name: str) -> TableSchema:
        return self.plan.tables[name]

    @property
    def env(self) -> dict[str, str]:
        return {"TOPLINE_RESULTS__DSN": self.dsn}


def company(stack: Stack, folder: Path, models: Path, plan: ProjectPlan, wire: Wire = "json") -> Company:
    """`models`: the dbt project. Its topics are made, and empty."""
    number = next(_numbers)
    prefix, schema = f"c{number}", f"results_{number}"
    registry = stack.registry.url if wire == "avro" else ""
    events = Events(stack.kafka.bootstrap, registry)
    topics = {name: f"{prefix}.{name}" for name in plan.tables}
    for topic in topics.values():
        events.create(topic, 2)
    written = _settings(stack, plan, topics, wire) | {"models": str(models), "results": {"schema": schema}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "topline.yml").write_text(yaml.safe_dump(written))
    return Company(TestProject(folder), plan, events, topics, stack.postgres.dsn("results"), schema)


def _settings(stack: Stack, plan: ProjectPlan, topics: Mapping[str, str], wire: Wire) -> dict[str, Any]:
    sources: dict[str, Any] = {}
    for name, topic in topics.items():
        source, _, table = name.partition(".")
        sources.setdefault(source, {"kind": "kafka", "tables": {}})["tables"][table] = topic
    registry = {"registry": {"url": stack.registry.url}} if wire == "avro" else {}
    return {
        "project": f"{plan.name}_{next(_numbers)}",
        "time_zone": plan.time_zone,
        "currency": "EUR",
        "kafka": {"brokers": stack.kafka.bootstrap, "format": wire, "topics": {"partitions": 2}, **registry},
        "flink": {
            "gateway": {"url": stack.flink.gateway_url},
            "cluster": {"url": stack.flink.rest},
            **FLINK,
        },
        "spark": SPARK,
        "sources": sources,
    }
