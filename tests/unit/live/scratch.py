"""A plan made by hand, computed from scratch by DuckDB over whole tables: what the dataflow must equal after every batch.

Plans of SQL are held to their own text, in tests/exact.
"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from topline.models.plan import ProjectPlan
from topline.models.scratch import names_of, quoted, views

Rows = list[tuple[object, ...]]


def evaluate(plan: ProjectPlan, tables: Mapping[str, pa.Table]) -> dict[str, Rows]:
    """Every model's rows, sorted."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, rows in tables.items():
            connection.register(name, rows)
        for name, sql in views(plan):
            connection.execute(f"CREATE TEMP TABLE {quoted(name)} AS {sql}")
        names = names_of(plan)
        return {name: sorted_rows(_rows(connection, names[model.root])) for name, model in plan.models.items()}


def sorted_rows(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: [(value is not None, str(value)) for value in row])


def _rows(connection: duckdb.DuckDBPyConnection, relation: str) -> Rows:
    return as_rows(connection.sql(f"SELECT * FROM {quoted(relation)}").to_arrow_table())


def as_rows(table: pa.Table) -> Rows:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True)) if len(table) else []
