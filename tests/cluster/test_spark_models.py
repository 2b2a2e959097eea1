"""Models' SQL on Spark itself, over tables at hand: the shipped examples, and random models against DuckDB."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from tests.cluster.stack import JARS
from tests.exact.engines import DuckTruth, Rows, difference, plain_rows
from tests.exact.history import Histories, Truth
from tests.exact.models import project
from tests.exact.shipped import ROOT, TPCH, sales_plan, specs, tpch_plan
from topline.cluster.spark.models import spark_sql, views
from topline.cluster.spark.session import DataFrame, SparkSession, session
from topline.cluster.spark.settings import SparkSettings
from topline.cluster.spark.writing import in_types
from topline.models import UnitTest, subplan, unit_tests
from topline.models.plan import ProjectPlan
from topline.schema import TableSchema, Type
from topline.sources.values import table_of

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


def given(test: UnitTest, name: str, schema: TableSchema) -> pa.Table:
    table, _, faults = table_of(schema, test.given[name], ZoneInfo("UTC"))
    assert not faults
    return table


def test_the_examples_of_the_shipped_models_hold(spark: SparkSession) -> None:
    plan = sales_plan()
    tests = unit_tests(ROOT / "sales", plan)
    wrong = {test.name: said for test in tests if (said := _wrong(spark, subplan(plan, test.model), test))}
    assert wrong == {}
    assert len(tests) > 5


def _wrong(spark: SparkSession, alone: ProjectPlan, test: UnitTest) -> str:
    """What differs from the example, on the columns that it names."""
    found = computed(spark, alone, {name: given(test, name, schema) for name, schema in alone.tables.items()})[test.model]
    schema = alone.models[test.model].schema
    named = [name for name in schema.names if any(name in row for row in test.expect)]
    kept = TableSchema(test.model, tuple(column for column in schema.columns if column.name in named), ())
    expected = Counter(plain_rows(table_of(kept, test.expect, ZoneInfo("UTC"))[0]))
    places = [schema.names.index(name) for name in named]
    cut = Counter(tuple(row[place] for place in places) for row in found.elements())
    return difference(cut, expected)


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
