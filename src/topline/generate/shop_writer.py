"""Writes the shop's events into its PostgreSQL database."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import LiteralString

from psycopg import sql

from topline.generate.database import Connection, Database, copy_rows
from topline.generate.events import Event, Op, Row

_SINGLE = 50  # up to as many events go in a transaction each, as a shop's clerks would; more go together

TABLES: dict[str, tuple[tuple[str, ...], int]] = {  # columns, and how many of them are the key
    "customers": (("customer_id", "customer_name", "country", "region", "city"), 1),
    "salesmen": (("salesman_id", "salesman_name"), 1),
    "orders": (("order_id", "customer_id", "salesman_id", "ordered_at", "currency", "status"), 1),
    "order_items": (("order_id", "item_no", "category", "product", "quantity", "unit_price"), 2),
}

_SCHEMA: tuple[LiteralString, ...] = (
    """CREATE TABLE IF NOT EXISTS customers (
        customer_id text PRIMARY KEY, customer_name text, country text, region text, city text)""",
    "CREATE TABLE IF NOT EXISTS salesmen (salesman_id text PRIMARY KEY, salesman_name text)",
    """CREATE TABLE IF NOT EXISTS orders (
        order_id text PRIMARY KEY, customer_id text, salesman_id text, ordered_at timestamptz, currency text, status text)""",
    """CREATE TABLE IF NOT EXISTS order_items (
        order_id text, item_no bigint, category text, product text, quantity bigint, unit_price numeric,
        PRIMARY KEY (order_id, item_no))""",
    "CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer_id)",
    "CREATE INDEX IF NOT EXISTS orders_by_salesman ON orders (salesman_id)",
    "CREATE INDEX IF NOT EXISTS orders_by_time ON orders (ordered_at)",
)


class ShopWriter:
    """One connection to the shop. No foreign keys: an order may come before its customer."""

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn, "the shop's database")

    def create(self) -> None:
        self._database.transact(_create)

    def write(self, events: Sequence[Event]) -> None:
        if len(events) > _SINGLE:
            ops = [op for event in events for op in event.ops]
            self._database.transact(partial(_write_together, ops), partial(_run, ops))
            return
        for event in events:
            self._database.transact(partial(_run, event.ops))

    def close(self) -> None:
        self._database.close()


def _create(connection: Connection) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)


def _write_together(ops: Iterable[Op], connection: Connection) -> None:
    """Rows that are new come by COPY; whatever happens to them afterwards follows, in its order."""
    seen: set[tuple[str, Row]] = set()
    new: dict[str, list[Row]] = {}
    rest: list[Op] = []
    for op in ops:
        key = (op.table, op.row[: TABLES[op.table][1]])
        fresh = op.verb == "insert" and op.table in ("orders", "order_items") and key not in seen
        seen.add(key)
        if fresh:
            new.setdefault(op.table, []).append(op.row)
        else:
            rest.append(op)
    for table, rows in new.items():
        copy_rows(connection, sql.Identifier(table), rows)
    with connection.pipeline():
        _run(rest, connection)


def _run(ops: Iterable[Op], connection: Connection) -> None:
    """One statement an op. To run the same ops once more changes nothing."""
    cursor = connection.cursor()
    for op in ops:
        statement, width = _STATEMENTS[op.verb, op.table]
        cursor.execute(statement, op.row if op.verb != "update" else op.row[width:] + op.row[:width])


def _statements(table: str) -> Iterable[tuple[str, sql.Composed]]:
    columns, width = TABLES[table]
    names, key = [sql.Identifier(name) for name in columns], [sql.Identifier(name) for name in columns[:width]]
    equal = sql.SQL("{} = %s")
    where = sql.SQL(" AND ").join(equal.format(name) for name in key)
    values = sql.SQL(", ").join([equal.format(name) for name in names[width:]])
    # Master data may be there from an earlier run over the same shop.
    again = sql.SQL(", ").join([sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in names[width:]])
    yield (
        "insert",
        sql.SQL("INSERT INTO {} VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}").format(
            sql.Identifier(table), sql.SQL(", ").join(sql.Placeholder() * len(names)), sql.SQL(", ").join(key), again
        ),
    )
    yield "update", sql.SQL("UPDATE {} SET {} WHERE {}").format(sql.Identifier(table), values, where)
    yield "delete", sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier(table), where)


_STATEMENTS = {(verb, table): (text.as_bytes(None), TABLES[table][1]) for table in TABLES for verb, text in _statements(table)}
