"""The models as a batch on Spark over topics: what it publishes is what their SQL gives from scratch, row for row."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from tests.cluster.engines.engine import Spark, published
from tests.cluster.engines.feeding import Feed
from tests.cluster.events import Events
from tests.cluster.stack import JARS, Stack
from tests.exact.engines import DuckTruth, Rows, difference
from tests.exact.history import Histories, History
from tests.exact.shipped import SALES, sales_plan, specs
from tests.project import TestProject, new_project

pytestmark = pytest.mark.cluster
PLAN = sales_plan()
TABLES = specs(PLAN, SALES)
_numbers = itertools.count(1)


@dataclass
class World:
    """The shipped project with every table behind a topic. `expected`: what its models' SQL gives over the tables."""

    project: TestProject
    feed: Feed
    engine: Spark
    dsn: str

    def found(self) -> dict[str, Rows]:
        return published(self.dsn, "topline", PLAN)

    def expected(self) -> dict[str, Rows]:
        truth = DuckTruth(PLAN)
        try:
            return truth.rows(self.feed.truth.arrow())
        finally:
            truth.close()

    def differences(self, *models: str) -> dict[str, str]:
        found, expected = self.found(), self.expected()
        wrong = {name: difference(found[name], expected[name]) for name in models or expected}
        return {name: said for name, said in wrong.items() if said}


def history(seed: int, batches: int) -> History:
    return Histories(Random(seed), TABLES).history(batches)


@pytest.fixture(params=["json", "avro"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(tmp_path: Path, stack: Stack, wire: str) -> World:
    name = f"spark{next(_numbers)}"
    dsn = stack.postgres.dsn(name)
    project = new_project(tmp_path / "sales", [f"TOPLINE_RESULTS__DSN='{dsn}'"])
    registry = stack.registry.url if wire == "avro" else ""
    feed = Feed(Events(stack.kafka.bootstrap, registry), name, TABLES)
    _configure(project, stack.kafka.bootstrap, registry, feed)
    return World(project, feed, Spark(project), dsn)


def _configure(project: TestProject, brokers: str, registry: str, feed: Feed) -> None:
    path = project.folder / "topline.yml"
    written: dict[str, Any] = yaml.safe_load(path.read_text())
    wire: dict[str, Any] = {"format": "avro", "registry": {"url": registry}} if registry else {"format": "json"}
    written["kafka"] = {"brokers": brokers, **wire}
    written["spark"] = {"master": "local[2]", "jars": str(JARS / "spark"), "driver_memory": "1g", "shuffle_partitions": 2}
    written["sources"] = {s: {"kind": "kafka", "tables": feed.topics(s)} for s in ("shop", "branches", "partner")}
    path.write_text(yaml.safe_dump(written))


def test_a_random_history_is_exact_and_a_second_run_changes_nothing(world: World) -> None:
    world.feed.play(history(1, 6))
    world.engine.drain()
    assert world.differences() == {}
    assert sum(world.engine.changed.values()) == sum(rows.total() for rows in world.expected().values()) > 100
    world.engine.drain()
    assert set(world.engine.changed.values()) == {0}
    assert world.differences() == {}
