"""The whole way over the shop's four-table join: orders, their items, customers and salesmen, by log-based capture."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from bench.events import Kind, Stream, make, rankings
from bench.events.content import CITIES, PEOPLE, PLACES, cents, sale_ids
from bench.events.stream import Ints
from bench.events.truth import require
from bench.events.write import ROWS, joined
from bench.figures import Bar, Figure
from bench.project import Project, shop
from bench.whole import Size, Times, rate, stages

SIZES = {"small": Size(100_000, 90_000, 3, 1), "full": Size(2_000_000, 3_000_000, 3, 3)}
"""Orders, of two items each."""
CUSTOMERS = 10
"""Customers a city."""
BLOCK = 500
"""Events a transaction."""
Kinds = npt.NDArray[np.integer[Any]]
_STAGED = "n bigint, kind smallint, order_id text, customer text, salesman text, at timestamptz, one numeric, two numeric"
_NEW = (Kind.NEW, Kind.LATE, Kind.BROKEN)
_ORDERS = f"""
INSERT INTO orders SELECT order_id, customer, salesman, at, CASE WHEN kind = {Kind.BROKEN:d} THEN 'XXX' ELSE 'EUR' END, 'placed'
FROM staged WHERE kind IN ({", ".join(f"{kind:d}" for kind in _NEW)})"""
_ITEMS = f"""
INSERT INTO order_items SELECT order_id, item, 'Books', 'Atlas', item, CASE item WHEN 1 THEN one ELSE two END
FROM staged, generate_series(1, 2) item WHERE kind IN ({", ".join(f"{kind:d}" for kind in _NEW)})"""
_LATEST = f"""(SELECT DISTINCT ON (order_id) * FROM staged WHERE n / {BLOCK} = block
    AND kind IN ({Kind.UPDATE:d}, {Kind.REDELIVERED:d}) ORDER BY order_id, n DESC) e"""
_GONE = f"(SELECT order_id FROM staged WHERE n / {BLOCK} = block AND kind = {Kind.DELETE:d})"
_APPLY = f"""
DO $$
BEGIN
    FOR block IN 0 .. %s LOOP
        {_ORDERS} AND n / {BLOCK} = block;
        {_ITEMS} AND n / {BLOCK} = block;
        UPDATE orders o SET customer_id = customer, salesman_id = salesman, ordered_at = at
        FROM {_LATEST} WHERE o.order_id = e.order_id;
        UPDATE order_items i SET unit_price = CASE i.item_no WHEN 1 THEN one ELSE two END
        FROM {_LATEST} WHERE i.order_id = e.order_id;
        DELETE FROM order_items WHERE order_id IN {_GONE};
        DELETE FROM orders WHERE order_id IN {_GONE};
        COMMIT;
    END LOOP;
END $$
"""


def run(scale: str) -> Iterator[Figure]:
    size, times = SIZES[scale], Times()
    stream = make(size.load, size.events)
    for _ in range(size.times):
        with shop() as project:
            stages(project, _Shop(project, stream, size.rounds), size, times)
            require(project.results, "topline", rankings(stream))
    read = [json.loads(spent.output)["changes"] for spent in times.events]
    changes = sum(read) // len(read)
    yield rate("first load, four-table join, two rankings", times.load, 3 * size.load, times, None)
    yield rate("change events, four-table join, two rankings", times.events, changes, times, Bar(50_000))


@dataclass(frozen=True)
class _Shop:
    project: Project
    stream: Stream
    rounds: int

    def load(self) -> None:
        with self._connection() as connection:
            _masters(connection)
            for begin in range(0, self.stream.load, ROWS):
                rows = self.stream.first(begin, begin + ROWS)
                _stage(connection, self.stream, rows.sale, rows.sale * 0, rows.sale * 0)
                connection.execute(_ORDERS.encode())
                connection.execute(_ITEMS.encode())
            connection.execute("VACUUM ANALYZE")

    def events(self, number: int) -> None:
        events = self.stream.round(number, self.rounds)
        with self._connection() as connection:
            _stage(connection, self.stream, self.stream.sale[events], self.stream.version[events], self.stream.kind[events])
            connection.execute(f"CREATE INDEX ON staged ((n / {BLOCK}))".encode())
            connection.execute("ANALYZE staged")
            connection.execute("SET synchronous_commit = off")
            connection.execute((_APPLY % ((len(events) - 1) // BLOCK)).encode())

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(self.project.server.dsn("shop"), autocommit=True)


def _masters(connection: psycopg.Connection) -> None:
    with connection.cursor() as cursor:
        with cursor.copy("COPY customers (customer_id, customer_name, country, region, city) FROM STDIN") as copy:
            places = list(zip(*(column.to_pylist() for column in PLACES.values()), strict=True))
            for number in range(CITIES * CUSTOMERS):
                copy.write_row((f"c{number}", f"Customer {number}", *places[number % CITIES]))
        with cursor.copy("COPY salesmen (salesman_id, salesman_name) FROM STDIN") as copy:
            for row in zip(*(column.to_pylist() for column in PEOPLE.values()), strict=True):
                copy.write_row(row)


def _stage(
    connection: psycopg.Connection, stream: Stream, sale: Ints, version: Ints, kind: npt.NDArray[np.integer[Any]]
) -> None:
    """The table `staged` with these events; an amount is one item at one price and two at another."""
    connection.execute("DROP TABLE IF EXISTS staged")
    connection.execute(f"CREATE UNLOGGED TABLE staged ({_STAGED})".encode())
    for begin in range(0, len(sale), ROWS):
        part = slice(begin, begin + ROWS)
        rows = stream.fields(sale[part], version[part])
        two = rows.cents // 4
        numbers = pa.array(range(begin, begin + len(rows.sale)))
        customer = pa.array(rows.city + CITIES * (rows.sale % CUSTOMERS)).cast(pa.string())
        cells = [
            numbers.cast(pa.string()),
            pa.array(kind[part]).cast(pa.string()),
            sale_ids(rows.sale),
            pc.binary_join_element_wise("c", customer, ""),
            PEOPLE["salesman_id"].take(pa.array(rows.salesman)),
            pa.array(rows.second).cast(pa.timestamp("s", tz="UTC")).cast(pa.string()),
            cents(rows.cents - 2 * two).cast(pa.string()),
            cents(two).cast(pa.string()),
        ]
        lines = pc.binary_join_element_wise(pc.binary_join_element_wise(*cells, ","), "\n", "")
        with connection.cursor() as cursor, cursor.copy("COPY staged FROM STDIN (FORMAT csv)") as copy:
            copy.write(joined(lines))
