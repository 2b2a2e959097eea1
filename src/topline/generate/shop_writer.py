"""Writes the shop's events into its PostgreSQL database."""

from collections.abc import Iterable, Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

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
        self._connection = psycopg.connect(dsn, autocommit=True)

    def create(self) -> None:
        with self._connection.transaction():
            for statement in _SCHEMA:
                self._connection.execute(statement)

    def write(self, events: Sequence[Event]) -> None:
        if len(events) > _SINGLE:
            with self._connection.transaction():
                self._write_together([op for event in events for op in event.ops])
            return
        for event in events:
            with self._connection.transaction():
                self._run(event.ops)

    def close(self) -> None:
        self._connection.close()

    def _write_together(self, ops: Iterable[Op]) -> None:
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
            self._copy(table, rows)
        with self._connection.pipeline():
            self._run(rest)

    def _copy(self, table: str, rows: Iterable[Row]) -> None:
        with self._connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
            for row in rows:
                copy.write_row(row)

    def _run(self, ops: Iterable[Op]) -> None:
        for op in ops:
            statement, width = _STATEMENTS[op.verb, op.table]
            self._connection.execute(statement, op.row if op.verb != "update" else op.row[width:] + op.row[:width])


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


_STATEMENTS = {(verb, table): (text, TABLES[table][1]) for table in TABLES for verb, text in _statements(table)}
