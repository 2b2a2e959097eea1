"""Random things that happen to a shop and its branches. Few values, so that keys meet, totals tie and groups empty."""

import random
from collections.abc import Callable

import psycopg

from tests.faults.branches import Row
from tests.faults.world import World

Connection = psycopg.Connection[tuple[object, ...]]
PRICES = ["1.00", "1.00", "2.50", "0.33335", "7.77", "-3", "NaN", "1e3", "99999999999.9999", None]
DAYS = ["2026-03-28 23:30+00", "2026-03-29 00:59+00", "2026-03-29 12:00+00", "2026-10-25 00:30+00", None]
CITIES = [
    ("Italy", "Lazio", "Roma"),
    ("Italy", "", "Roma"),
    ("Italy", "Toscana", "Lucca"),
    ("Spain", None, "Ávila"),
    (None, "x", ""),
]


class Shop:
    """Random statements over the four tables, each a transaction unless said otherwise."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def happen(self, connection: Connection) -> str:
        acts: list[Callable[[Connection], None]] = [
            self.place, self.place, self.place, self.correct, self.cancel, self.delete, self.rename, self.move, self.truncate,
            self.undo, self.rush, self.swap_keys, self.together,
        ]  # fmt: skip
        act = self._rng.choice(acts)
        act(connection)
        return act.__name__

    def customer(self) -> str:
        return f"c{self._rng.randrange(6)}"

    def salesman(self) -> str:
        return self._rng.choice(["s1", "s2", "S2", "é3", "s4"])

    def order(self) -> str:
        return f"o{self._rng.randrange(60)}"

    def place(self, connection: Connection) -> None:
        with connection.transaction():
            for _ in range(self._rng.randrange(1, 6)):
                self._one(connection, self.order())

    def _one(self, connection: Connection, order: str) -> None:
        choice = self._rng.choice
        values = (order, self.customer(), self.salesman(), choice(DAYS), choice(["EUR"] * 5 + ["USD"]), "placed")
        connection.execute("INSERT INTO orders VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING", values)
        for item in range(self._rng.randrange(3)):
            line = (order, item, "a", "b", self._rng.randrange(4), choice(PRICES))
            connection.execute("INSERT INTO order_items VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING", line)
        city = choice(CITIES)
        customer = "INSERT INTO customers VALUES (%s, 'n', %s, %s, %s) ON CONFLICT DO NOTHING"
        connection.execute(customer, (self.customer(), *city))
        connection.execute("INSERT INTO salesmen VALUES (%s, %s) ON CONFLICT DO NOTHING", (self.salesman(), choice("abcé")))

    def correct(self, connection: Connection) -> None:
        choice = self._rng.choice
        connection.execute("UPDATE order_items SET unit_price = %s WHERE order_id = %s", (choice(PRICES), self.order()))
        connection.execute("UPDATE orders SET salesman_id = %s WHERE order_id = %s", (self.salesman(), self.order()))
        connection.execute("UPDATE orders SET ordered_at = %s WHERE order_id = %s", (choice(DAYS), self.order()))

    def cancel(self, connection: Connection) -> None:
        connection.execute("UPDATE orders SET status = 'cancelled' WHERE order_id = %s", (self.order(),))

    def delete(self, connection: Connection) -> None:
        for statement in ("DELETE FROM orders WHERE order_id = %s", "DELETE FROM order_items WHERE order_id = %s"):
            connection.execute(statement.encode(), (self.order(),))
        connection.execute("DELETE FROM customers WHERE customer_id = %s", (self.customer(),))

    def rename(self, connection: Connection) -> None:
        """A key changes, to one that may have been there before."""
        old, new = self.order(), self.order()
        free = "NOT EXISTS (SELECT FROM orders WHERE order_id = %s)"
        connection.execute(f"UPDATE orders SET order_id = %s WHERE order_id = %s AND {free}".encode(), (new, old, new))

    def move(self, connection: Connection) -> None:
        """A dimension's correction."""
        values = (*self._rng.choice(CITIES), self.customer())
        connection.execute("UPDATE customers SET country = %s, region = %s, city = %s WHERE customer_id = %s", values)
        connection.execute(
            "UPDATE salesmen SET salesman_name = %s WHERE salesman_id = %s", (self._rng.choice("abcé"), self.salesman())
        )

    def truncate(self, connection: Connection) -> None:
        table = self._rng.choice(["orders", "order_items", "customers", "salesmen", "orders, order_items"])
        with connection.transaction():
            self._one(connection, "before truncate")
            connection.execute(f"TRUNCATE {table}".encode())
            self._one(connection, "after truncate")

    def undo(self, connection: Connection) -> None:
        with connection.transaction():
            self._one(connection, self.order())
            with connection.transaction(force_rollback=True):
                connection.execute("DELETE FROM orders")
            self._one(connection, self.order())
        with connection.transaction(force_rollback=True):
            connection.execute("DELETE FROM customers")

    def rush(self, connection: Connection) -> None:
        """One transaction that is larger than a batch: it comes in parts, and is visible whole."""
        count = self._rng.choice([500, 1500])
        with connection.transaction():
            connection.execute(
                "INSERT INTO orders SELECT 'r' || n, 'c' || n %% 6, 's1', '2026-03-29 12:00+00', 'EUR', 'placed' "
                "FROM generate_series(1, %s) n "
                "ON CONFLICT (order_id) DO UPDATE SET salesman_id = 's' || (length(orders.order_id))",
                (count,),
            )
            connection.execute(
                "INSERT INTO order_items SELECT 'r' || n, 1, 'a', 'b', 1, n FROM generate_series(1, %s) n "
                "ON CONFLICT (order_id, item_no) DO UPDATE SET unit_price = order_items.unit_price + 1",
                (count,),
            )

    def swap_keys(self, connection: Connection) -> None:
        with connection.transaction():
            connection.execute("DELETE FROM orders WHERE order_id IN ('swap', 'a', 'b')")
            self._one(connection, "a")
            self._one(connection, "b")
            for old, new in (("a", "swap"), ("b", "a"), ("swap", "b")):
                connection.execute("UPDATE orders SET order_id = %s WHERE order_id = %s", (new, old))

    def together(self, connection: Connection) -> None:
        with connection.transaction():
            for act in self._rng.sample([self.correct, self.move, self.delete, self.rename, self.cancel], 3):
                act(connection)


class Folder:
    """Random versions of a few files; one version of a file in a step, since a version in between may never be seen."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def happen(self, world: World) -> list[str]:
        names = [f"{letter}.csv" for letter in self._rng.sample("abcd", self._rng.randrange(3))]
        for name in names:
            self._one(world, name)
        return names

    def _one(self, world: World, name: str) -> None:
        rows = [self._row() for _ in range(self._rng.randrange(1, 8))]
        match self._rng.choice(["write", "write", "write", "broken", "tear", "touch", "remove", "append", "append", "rename"]):
            case "write":
                world.inbox.write(name, rows)
            case "broken":
                world.inbox.write(name, rows, broken=1)
            case "tear":
                world.inbox.tear(name, rows)
            case "touch" if name in world.inbox.files():
                world.inbox.touch(name)
            case "remove" if name in world.inbox.files():
                world.inbox.remove(name)
            case "append" if name in world.inbox.files():
                world.inbox.append(name, rows)
            case "rename" if name in world.inbox.files():
                world.inbox.rename(name, f"was_{name}")

    def _row(self) -> Row:
        choice = self._rng.choice
        amount = choice(["1.00", "1.00", "12,5", "", "0.33335", "-0.00005", "1e3", "99999999999999.9999x", "5"]).replace(
            ",", ""
        )
        day = choice(["2026-03-29", "2026-03-29T00:30:00", "2026-03-28T23:30:00Z", "2026-02-30", ""])
        city = choice([("Italy", "Lazio", "Roma"), ("Italy", "", "Roma"), ("", "", "")])
        return (
            f"b{self._rng.randrange(30)}",
            day,
            *city,
            choice(["s1", "S2", ""]),
            choice("abé"),
            amount,
            choice(["EUR", "USD"]),
        )
