"""Runs a plan's original SQL, and its nodes, from scratch: in DuckDB and in PostgreSQL, over the same rows."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import psycopg

from topline.models import load
from topline.models.plan import ProjectPlan
from topline.models.scratch import names_of, quoted, views
from topline.schema import TableSchema, Type

SALES = Path(__file__).parents[3] / "sales"
Row = Sequence[object]
Rows = Mapping[str, Sequence[Row]]
Found = dict[str, list[tuple[object, ...]]]


@functools.cache
def sales_plan(time_zone: str = "Europe/Rome", folder: Path = SALES) -> ProjectPlan:
    return load(folder, name="sales", time_zone=time_zone, currency="EUR", vars={})


def in_duckdb(plan: ProjectPlan, rows: Rows) -> Found:
    """Every model by its original SQL."""
    connection = _filled_duckdb(plan, rows)
    for model in plan.models.values():
        connection.execute(f"CREATE TABLE {quoted(model.name)} AS {model.sql_duckdb}")
    return {m.name: _rows(connection, m.name, m.schema) for m in plan.models.values()}


def by_nodes(plan: ProjectPlan, rows: Rows) -> Found:
    """Every model by its planned nodes."""
    connection = _filled_duckdb(plan, rows)
    for name, sql in views(plan):
        connection.execute(f"CREATE TABLE {quoted(name)} AS {sql}")
    names = names_of(plan)
    return {m.name: _rows(connection, names[m.root], m.schema) for m in plan.models.values()}


def in_postgres(plan: ProjectPlan, rows: Rows, dsn: str) -> Found:
    """Every model by its original SQL, in a session whose zone is not UTC."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET timezone = 'Asia/Tokyo'")
        for table in plan.tables.values():
            connection.execute(f"CREATE TABLE {_definition(table)}".encode())
            for row in rows.get(table.name, ()):
                marks = ", ".join(["%s"] * len(row))
                connection.execute(f"INSERT INTO {quoted(table.name)} VALUES ({marks})".encode(), row)
        for model in plan.models.values():
            connection.execute(f"CREATE TABLE {quoted(model.name)} AS {model.sql_postgres}".encode())
        found = {m.name: connection.execute(_select(m.name, m.schema).encode()).fetchall() for m in plan.models.values()}
    return {name: sorted(model, key=repr) for name, model in found.items()}


def _filled_duckdb(plan: ProjectPlan, rows: Rows) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/New_York'")
    for table in plan.tables.values():
        connection.execute(f"CREATE TABLE {_definition(table)}")
        for row in rows.get(table.name, ()):
            connection.execute(f"INSERT INTO {quoted(table.name)} VALUES ({', '.join('?' * len(row))})", row)
    return connection


def _definition(table: TableSchema) -> str:
    return f"{quoted(table.name)} ({', '.join(f'{quoted(c.name)} {c.type.value}' for c in table.columns)})"


def _select(relation: str, schema: TableSchema) -> str:
    """All values as text in one form: numerics in the plan's type, instants in UTC."""
    columns = ", ".join(f"CAST(CAST({quoted(c.name)} AS {c.type.value}){_utc(c.type)} AS TEXT)" for c in schema.columns)
    return f"SELECT {columns} FROM {quoted(relation)}"


def _utc(kind: Type) -> str:
    return " AT TIME ZONE 'UTC'" if kind is Type.TIMESTAMPTZ else ""


def _rows(connection: duckdb.DuckDBPyConnection, relation: str, schema: TableSchema) -> list[tuple[object, ...]]:
    return sorted(connection.execute(_select(relation, schema)).fetchall(), key=repr)
