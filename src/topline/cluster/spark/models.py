"""Models as Spark's views: each by its own SQL, over the tables and the models that it reads."""

from collections import Counter
from collections.abc import Iterable, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from topline.cluster.spark.decoding import DDL
from topline.cluster.spark.session import DataFrame, SparkSession, StorageLevel, translated
from topline.errors import ConfigError, UsageError
from topline.models.plan import ModelPlan, ProjectPlan


def chosen(plan: ProjectPlan, names: Iterable[str]) -> tuple[str, ...]:
    """The published models that are named; all of them where none is. UsageError names those that there are."""
    published = [name for name, model in plan.models.items() if model.published]
    strangers = [name for name in names if name not in published]
    if strangers:
        raise UsageError(f"no published model is named {', '.join(strangers)}; there are {', '.join(published)}")
    return tuple(name for name in published if name in set(names)) or tuple(published)


def behind(plan: ProjectPlan, models: Iterable[str]) -> tuple[list[str], list[str]]:
    """The tables and models that `models` rest on, themselves among them, each in the plan's order."""
    needed: set[str] = set()
    waiting = list(models)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += plan.models[name].depends_on if name in plan.models else ()
    return [name for name in plan.tables if name in needed], [name for name in plan.models if name in needed]


def views(
    spark: SparkSession, plan: ProjectPlan, models: Iterable[str], tables: Mapping[str, DataFrame]
) -> dict[str, DataFrame]:
    """Model -> its rows, in the declared columns. `models`: inputs first. What several of them read is computed once."""
    names = list(models)
    readers = Counter(read for name in names for read in plan.models[name].depends_on)
    for name, rows in tables.items():
        rows.createOrReplaceTempView(_quoted(name))
    found: dict[str, DataFrame] = {}
    for name in names:
        with translated(f"plan model {name}"):
            rows = _typed(spark.sql(spark_sql(plan.models[name], plan.tables)), plan.models[name])
            found[name] = rows.persist(StorageLevel.MEMORY_AND_DISK) if readers[name] > 1 else rows
            found[name].createOrReplaceTempView(_quoted(name))
    return found


def spark_sql(model: ModelPlan, tables: Iterable[str]) -> str:
    """The model's SQL as Spark reads it: what a model may write beside macros is that of DuckDB and PostgreSQL (`text`,
    `timestamptz '..'`, QUALIFY), which sqlglot says in Spark's words. Tables are views of one name: Spark has no temporary view
    in a schema. ConfigError where it cannot be read."""
    known = {name.lower(): name for name in tables}
    try:
        tree = sqlglot.parse_one(model.sql_elsewhere["spark"], read="spark")
    except ParseError as error:
        raise ConfigError(f"{model.path}: its SQL for Spark is none: {error}") from None
    for table in tree.find_all(exp.Table):
        full = known.get(f"{table.db}.{table.name}".lower())
        if full is not None:
            table.replace(exp.alias_(exp.table_(full, quoted=True), table.alias or table.name, table=True))
    return tree.sql("spark", comments=False)


def _typed(rows: DataFrame, model: ModelPlan) -> DataFrame:
    """In the columns and types that are declared: under ANSI's rules a value that does not fit is an error."""
    names = zip(rows.columns, model.schema.columns, strict=True)
    return rows.selectExpr(
        *(f"CAST({_quoted(found)} AS {DDL[column.type]}) AS {_quoted(column.name)}" for found, column in names)
    )


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
