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

from tests.cluster.engines.feeding import PARTITIONS, Feed
from tests.cluster.events import Events
from tests.cluster.shop import changed
from tests.cluster.stack import JARS, Stack
from tests.exact.engines import Rows, difference, plain
from tests.exact.tables import TableSpec
from tests.project import TestProject
from topline.models.plan import ProjectPlan

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
    feed: Feed
    dsn: str
    schema: str

    def rows(self, model: str) -> Rows:
        """What the result table shows; nothing where it is not there yet."""
        schema = self.plan.models[model].schema
        with psycopg.connect(self.dsn) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            columns = sql.SQL(", ").join(map(sql.Identifier, schema.names))
            query = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(self.schema, model))
            try:
                rows = connection.execute(query).fetchall()
            except psycopg.errors.UndefinedTable:
                rows = []
        return Counter(tuple(plain(value) for value in row) for row in rows)

    def results(self) -> dict[str, Rows]:
        return {name: self.rows(name) for name, model in self.plan.models.items() if model.published}

    def differences(self, expected: Mapping[str, Rows]) -> dict[str, str]:
        """Of those models that have others than the expected rows."""
        said = {name: difference(self.rows(name), rows) for name, rows in expected.items()}
        return {name: text for name, text in said.items() if text}

    @property
    def env(self) -> dict[str, str]:
        return {"TOPLINE_RESULTS__DSN": self.dsn}


def company(
    stack: Stack,
    folder: Path,
    models: Path,
    plan: ProjectPlan,
    tables: Mapping[str, TableSpec],
    wire: Wire = "json",
    *,
    toast: bool = False,
) -> Company:
    """`models`: the dbt project. The topics of its tables are made, and empty. `toast`: see Feed."""
    number = next(_numbers)
    schema = f"results_{number}"
    registry = stack.registry.url if wire == "avro" else ""
    feed = Feed(Events(stack.kafka.bootstrap, registry), f"c{number}", tables, toast)
    written = _settings(stack, plan, feed, wire) | {"models": str(models), "results": {"schema": schema}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "topline.yml").write_text(yaml.safe_dump(written))
    return Company(TestProject(folder), plan, feed, stack.postgres.dsn("results"), schema)


def add_engines(project: TestProject, stack: Stack) -> None:
    """Flink and Spark, to a project that has a cluster."""
    with changed(project.folder) as written:
        written |= _engines(stack)


def _engines(stack: Stack) -> dict[str, Any]:
    servers = {"gateway": {"url": stack.flink.gateway_url}, "cluster": {"url": stack.flink.rest}}
    return {"flink": {**servers, **FLINK}, "spark": SPARK}


def _settings(stack: Stack, plan: ProjectPlan, feed: Feed, wire: Wire) -> dict[str, Any]:
    sources: dict[str, Any] = {}
    for name in plan.tables:  # the models may read some only of those that the history has
        source, _, table = name.partition(".")
        sources.setdefault(source, {"kind": "kafka", "tables": {}})["tables"][table] = feed.topic(name)
    registry = {"registry": {"url": stack.registry.url}} if wire == "avro" else {}
    return {
        "project": f"{plan.name}_{next(_numbers)}",
        "time_zone": plan.time_zone,
        "currency": "EUR",
        "kafka": {"brokers": stack.kafka.bootstrap, "format": wire, "topics": {"partitions": PARTITIONS}, **registry},
        "sources": sources,
        **_engines(stack),
    }
