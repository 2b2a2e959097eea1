"""One suite, all engines: after a history of every kind of change, brought through topics, each engine has what the plain SQL
of the models gives, row for row, and so what the others have."""

from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from tests.cluster.engines.company import Company, Wire, company
from tests.cluster.engines.engine import Engine, FlinkEngine, LiveEngine, SparkEngine
from tests.cluster.engines.told import Told, tell
from tests.cluster.stack import Stack
from tests.exact.models import PAIRS, Composer, Project
from tests.exact.shipped import SALES, sales_plan, specs
from tests.exact.tables import shop

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
SEED = 20_261_122
ENGINES: Mapping[str, type[LiveEngine] | type[FlinkEngine] | type[SparkEngine]] = {
    "live": LiveEngine,
    "flink": FlinkEngine,
    "spark": SparkEngine,
}
SHIPPED = [("live", "json"), ("live", "avro"), pytest.param("spark", "json", marks=pytest.mark.long)]
"""Beside them tests/cluster/test_flink.py has both on Flink, test_spark.py both on Spark."""


def require_exact(made: Company, engine: Engine, history: list[Told]) -> None:
    """At the end of each part of a history."""
    engine.start(made)
    try:
        for told in history:
            made.feed.play(told.history)
            engine.settle(made)
            assert made.differences(told.expected) == {}
    finally:
        engine.stop(made)


PLAN = sales_plan()
TABLES = specs(PLAN, SALES)


@pytest.fixture(scope="module")
def history() -> list[Told]:
    return tell(PLAN, TABLES, SEED, [15, 10])


@pytest.mark.parametrize(("name", "wire"), SHIPPED, ids=lambda value: str(value))
def test_the_shipped_models_are_exact(name: str, wire: Wire, stack: Stack, tmp_path: Path, history: list[Told]) -> None:
    made = company(stack, tmp_path / "sales", ROOT / "sales", PLAN, TABLES, wire)
    require_exact(made, ENGINES[name](), history)


@pytest.mark.parametrize("name", ["live", "spark"])
@pytest.mark.parametrize("seed", [SEED, *(pytest.param(SEED + n, marks=pytest.mark.long) for n in range(1, 10))])
def test_random_models_are_exact(name: str, seed: int, stack: Stack, tmp_path: Path) -> None:
    """On Flink: tests/cluster/test_flink.py."""
    random = Random(seed)
    tables = shop(24)
    project = Project(tables, Composer(random, tables).compose(random.sample(PAIRS, 6)))
    project.write(tmp_path / "models")
    plan = project.plan()
    made = company(stack, tmp_path / "random", tmp_path / "models", plan, tables)
    require_exact(made, ENGINES[name](), tell(plan, tables, seed, [12, 6]))
