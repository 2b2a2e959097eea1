"""Changes TPC-H's tables as a company would while it sells: the benchmark's two refresh functions, and corrections between."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

NATIONS = 25
CLERKS = 1000  # at a scale factor of up to 1
Connection = psycopg.Connection[tuple[object, ...]]

_PLACE = """
WITH wanted AS (SELECT * FROM unnest(%(keys)s::bigint[], %(like)s::bigint[]) AS w (key, pattern)),
placed AS (
    INSERT INTO orders
    SELECT w.key, o_custkey, 'O', o_totalprice, o_orderdate, o_orderpriority, o_clerk, o_shippriority, o_comment
    FROM wanted w JOIN orders ON o_orderkey = w.pattern
    ON CONFLICT DO NOTHING RETURNING o_orderkey
)
INSERT INTO lineitem
SELECT w.key, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax, 'N', 'O', l_shipdate,
    l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, l_comment
FROM placed JOIN wanted w ON w.key = o_orderkey JOIN lineitem ON l_orderkey = w.pattern
"""
_REPRICE = """
UPDATE lineitem SET l_extendedprice = l_extendedprice + %(cents)s / 100.0, l_discount = %(percent)s / 100.0
WHERE l_orderkey = ANY(%(keys)s) AND l_linenumber = 1
"""
_MOVE = """
UPDATE customer SET c_nationkey = %(nation)s
WHERE c_custkey IN (SELECT o_custkey FROM orders WHERE o_orderkey = ANY(%(keys)s))
"""


@dataclass(frozen=True)
class Refresh:
    """Transactions over a connection that is in autocommit; the same seed makes the same.

    `orders`: how many TPC-H began with; `size`: how many of them a transaction touches.
    """

    connection: Connection
    orders: int
    random: random.Random
    size: int = 5

    def step(self) -> None:
        """One transaction, of a kind that is drawn."""
        kinds: Sequence[Callable[[], None]] = (self.place, self.cancel, self.reprice, self.reassign, self.move, self.drop_line)
        work = self.random.choices(kinds, weights=(6, 3, 4, 3, 1, 2))[0]
        with self.connection.transaction():
            work()

    def place(self) -> None:
        """Refresh function 1 (clause 2.6): new orders with their lines, under numbers that the first load left free."""
        generation = self.random.randint(1, 3)
        keys = [key + 8 * generation for key in self._keys()]
        self.connection.execute(_PLACE, {"keys": keys, "like": self._keys()})

    def cancel(self) -> None:
        """Refresh function 2 (clause 2.7): old orders go with their lines."""
        keys = self._keys()
        self.connection.execute("DELETE FROM lineitem WHERE l_orderkey = ANY(%s)", [keys])
        self.connection.execute("DELETE FROM orders WHERE o_orderkey = ANY(%s)", [keys])

    def reprice(self) -> None:
        """The first line of orders gets another price and discount."""
        cents, percent = self.random.randint(-9_999, 9_999), self.random.randint(0, 10)
        self.connection.execute(_REPRICE, {"cents": cents, "percent": percent, "keys": self._keys()})

    def reassign(self) -> None:
        """Orders go to another clerk, and some of them to another day."""
        clerk = f"Clerk#{self.random.randint(1, CLERKS):09d}"
        days = self.random.choice((0, 0, -1, 30))
        statement = "UPDATE orders SET o_clerk = %s, o_orderdate = o_orderdate + %s::integer WHERE o_orderkey = ANY(%s)"
        self.connection.execute(statement, [clerk, days, self._keys()])

    def move(self) -> None:
        """Customers move to another nation, with all that they ever bought."""
        self.connection.execute(_MOVE, {"nation": self.random.randrange(NATIONS), "keys": self._keys()})

    def drop_line(self) -> None:
        """Orders lose their last line; those with one line wait for another."""
        last = "SELECT l_orderkey, max(l_linenumber) FROM lineitem WHERE l_orderkey = ANY(%s) GROUP BY l_orderkey"
        self.connection.execute(f"DELETE FROM lineitem WHERE (l_orderkey, l_linenumber) IN ({last})".encode(), [self._keys()])

    def _keys(self) -> list[int]:
        return [order_key(number) for number in self.random.sample(range(1, self.orders + 1), self.size)]


def order_key(number: int) -> int:
    """The o_orderkey of TPC-H's order `number`, from 1: of each 32 numbers the first 8 are used (clause 4.2.3)."""
    return number // 8 * 32 + number % 8
