"""A small model, rows for it, and a publisher with its reader."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa

from topline.changes import Position
from topline.models.plan import ModelPlan, Scan
from topline.results import Changed, Epoch, Publisher, Replace, Snapshot
from topline.schema import Column, TableSchema, Type

SCHEMA = "results"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

CITIES = TableSchema(
    "cities",
    (
        Column("date", Type.DATE),
        Column("city", Type.TEXT),
        Column("total", Type.DECIMAL),
        Column("sales", Type.BIGINT),
        Column("last", Type.TIMESTAMPTZ),
        Column("local", Type.TIMESTAMP),
        Column("open", Type.BOOLEAN),
    ),
    ("date", "city"),
)

Row = tuple[Any, ...]


def model(
    schema: TableSchema = CITIES, *, indexes: tuple[tuple[str, ...], ...] = (("date", "total desc"),), **other: Any
) -> ModelPlan:
    plan = ModelPlan(
        name=schema.name,
        path=f"models/{schema.name}.sql",
        description="Sales of a city's day",
        root=Scan(columns=schema.columns, table="shop.orders"),
        schema=schema,
        published=True,
        sql_duckdb="",
        sql_postgres="",
        depends_on=("shop.orders",),
        lineage=(),
        indexes=indexes,
    )
    return replace(plan, **other)


def city(name: str, total: str | None = "1.0000", sales: int | None = 1, day: date = date(2026, 11, 21)) -> Row:
    return (day, name, None if total is None else Decimal(total), sales, NOON, None, True)


def table(rows: Iterable[Row], schema: TableSchema = CITIES) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema.arrow)


def changed(rows: Sequence[Row], gone: Sequence[Row] = (), schema: TableSchema = CITIES) -> Changed:
    """These rows stand now; of `gone`, only the key counts."""
    return Changed(table([*rows, *gone], schema).select(schema.key), table(rows, schema))


def whole(rows: Sequence[Row], schema: TableSchema = CITIES) -> Replace:
    return Replace([table(rows, schema)])


def epoch(number: int, change: Changed | Replace | None = None, name: str = "cities", **other: Any) -> Epoch:
    models = {} if change is None else {name: change}
    return Epoch(number, models, {"shop": NOON}, {"shop": {"stream": Position(number, 0)}}, **other)


@contextmanager
def publishing(dsn: str, plan: ModelPlan | None = None, **options: Any) -> Iterator[Publisher]:
    """A publisher that has opened; `options` go to `open`, `state_id` to the publisher."""
    plan = plan or model()
    publisher = Publisher(dsn, SCHEMA, state_id=options.pop("state_id", "state-1"))
    try:
        publisher.open({plan.name: plan}, **{"epoch": 10**6, "published": {}, **options})
        yield publisher
    finally:
        publisher.close()


def rows(dsn: str, schema: TableSchema = CITIES) -> list[Row]:
    """The model's rows, by key."""
    with Snapshot(dsn, SCHEMA, {schema.name: schema}) as snapshot:
        found = snapshot.read(schema.name).to_pylist()
    return sorted((tuple(row.values()) for row in found), key=lambda row: row[: len(schema.key)])


def query(dsn: str, statement: str) -> list[Row]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode())


def emptied(dsn: str) -> str:
    """The same database, without anything that a test left in it."""
    execute(dsn, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    execute(dsn, "DROP PUBLICATION IF EXISTS mine")
    return dsn


def kill_sessions(dsn: str) -> None:
    """End the publishers' sessions, as an administrator or a crash would, and wait until they are gone."""
    publishers = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'topline publisher'"
    execute(dsn, f"SELECT pg_terminate_backend(pid, 5000) {publishers}")
