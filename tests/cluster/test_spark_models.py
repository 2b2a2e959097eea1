"""Models' SQL on Spark itself, over tables at hand: the shipped examples, and random models against DuckDB."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from tests.cluster.engines.examples import wrong_examples
from tests.cluster.stack import JARS
from tests.exact.engines import DuckTruth, Rows, difference, plain_rows
from tests.exact.history import Histories, Truth
from tests.exact.models import project
from tests.exact.shipped import ROOT, TPCH, sales_plan, specs, tpch_plan
from topline.cluster.spark.models import spark_sql, views
from topline.cluster.spark.session import DataFrame, SparkSession, session
from topline.cluster.spark.settings import SparkSettings
from topline.cluster.spark.writing import in_types
from topline.models.plan import ProjectPlan
from topline.schema import Type

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    quick = {"spark.sql.adaptive.enabled": False, "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    settings = SparkSettings(master="local[2]", jars=str(JARS / "spark"), driver_memory="1g", shuffle_partitions=1, conf=quick)
    with session(settings, Path("/"), "models") as made:
        yield made


def frame(spark: SparkSession, table: pa.Table) -> DataFrame:
    """Times without a zone as Topline reads them from topics: instants of UTC."""
    naive, instant = Type.TIMESTAMP.arrow, Type.TIMESTAMPTZ.arrow
    types = [(field.name, instant if field.type == naive else field.type) for field in table.schema]
    return spark.createDataFrame(table.cast(pa.schema(types)))


def computed(spark: SparkSession, plan: ProjectPlan, tables: Mapping[str, pa.Table]) -> dict[str, Rows]:
    """Published model -> its rows."""
    rows = views(spark, plan, plan.models, {name: frame(spark, tables[name]) for name in plan.tables})
    published = {name: model.schema for name, model in plan.models.items() if model.published}
    found = {name: Counter(plain_rows(in_types(rows[name].toArrow(), schema))) for name, schema in published.items()}
    spark.catalog.clearCache()
    return found


def differences(spark: SparkSession, plan: ProjectPlan, tables: Mapping[str, pa.Table]) -> dict[str, str]:
    truth = DuckTruth(plan)
    expected, found = truth.rows(tables), computed(spark, plan, tables)
    truth.close()
    return {name: said for name in expected if (said := difference(found[name], expected[name]))}


def test_the_examples_of_the_shipped_models_hold(spark: SparkSession) -> None:
    assert wrong_examples(ROOT / "sales", sales_plan(), lambda alone, tables: computed(spark, alone, tables)) == {}


def test_the_order_system_of_tpch(spark: SparkSession) -> None:
    plan = tpch_plan(3)
    tables = specs(plan, TPCH)
    truth = Truth(tables)
    for batch in Histories(Random(1), tables).history(4):
        truth.batches(batch)
    assert differences(spark, plan, truth.arrow()) == {}


@pytest.mark.parametrize("seed", range(3))
def test_random_models_give_what_duckdb_gives(spark: SparkSession, seed: int) -> None:
    made = project(seed)
    plan, truth = made.plan(), Truth(made.tables)
    for batch in Histories(Random(seed), made.tables).history(4):
        truth.batches(batch)
    tables = {name: table for name, table in truth.arrow().items() if name in plan.tables}
    assert differences(spark, plan, tables) == {}


def test_a_table_is_read_under_one_name() -> None:
    plan = sales_plan()
    text = spark_sql(plan.models["shop_sales"], plan.tables)
    for name, alias in {"order_items": "order_items", "orders": "o", "customers": "c", "salesmen": "s"}.items():
        assert f"`shop.{name}` AS {alias}" in text
