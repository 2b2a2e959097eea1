"""The engines that a model is rendered for: how dbt's dispatch looks their macros up, and how each names a relation."""

import re
from typing import Literal, get_args

from sqlglot import exp

Dialect = Literal["duckdb", "postgres", "spark", "databricks", "snowflake"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
Engine = Dialect | Literal["flink"]
"""Those, and Flink, for which SQL is written from the plan (`topline.models.flink`), not rendered."""
TITLES: dict[Engine, str] = {
    "duckdb": "DuckDB",
    "postgres": "PostgreSQL",
    "spark": "Spark",
    "databricks": "Databricks",
    "snowflake": "Snowflake",
    "flink": "Flink",
}
OWN: tuple[Dialect, ...] = ("duckdb", "postgres")
"""Where Topline runs models itself: as the live engine, from scratch, and in the tests of both."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def prefixes(dialect: Dialect) -> tuple[str, ...]:
    """Where `adapter.dispatch` looks, in its order: Databricks' adapter is a child of Spark's."""
    return (dialect, "spark", "default") if dialect == "databricks" else (dialect, "default")


def relation(dialect: Dialect, *parts: str) -> str:
    """A model (`name`) or a table (`source`, `table`) in a query. Topline's own engines have one quoted name for each."""
    if dialect in OWN:
        return f'"{".".join(parts)}"'
    return ".".join(part if _PLAIN.fullmatch(part) else exp.to_identifier(part, quoted=True).sql(dialect) for part in parts)
