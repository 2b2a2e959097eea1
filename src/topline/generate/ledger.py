"""The ledger of truth: the generator's own book, in PostgreSQL, of what every sale should count for now.

It is told what was written once it was written, and shares no code with Topline's sources, engine or models.
"""

from collections.abc import Iterable
from typing import LiteralString

from psycopg import sql

from topline.generate.database import Connection, Database, copy_rows
from topline.generate.events import Fact, Row

_SCHEMA: tuple[LiteralString, ...] = (
    "CREATE SCHEMA IF NOT EXISTS ledger",
    "CREATE TABLE IF NOT EXISTS ledger.settings (time_zone text NOT NULL)",
    """CREATE TABLE IF NOT EXISTS ledger.runs (
        run bigint PRIMARY KEY, seed bigint, started_at timestamptz NOT NULL DEFAULT now(), complete boolean NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS ledger.orders (
        order_id text COLLATE "C" PRIMARY KEY, customer_id text COLLATE "C", salesman_id text COLLATE "C",
        sold_at timestamptz, amount numeric, fault text)""",
    """CREATE TABLE IF NOT EXISTS ledger.customers (
        customer_id text COLLATE "C" PRIMARY KEY, country text COLLATE "C", region text COLLATE "C", city text COLLATE "C")""",
    'CREATE TABLE IF NOT EXISTS ledger.salesmen (salesman_id text COLLATE "C" PRIMARY KEY, salesman_name text COLLATE "C")',
    """CREATE TABLE IF NOT EXISTS ledger.branch_sales (
        sale_id text COLLATE "C" PRIMARY KEY, sold_at timestamptz, sold_on date, country text COLLATE "C",
        region text COLLATE "C", city text COLLATE "C", salesman_id text COLLATE "C", salesman_name text COLLATE "C",
        amount numeric, fault text)""",
    "CREATE TABLE IF NOT EXISTS ledger.partner_sales (LIKE ledger.branch_sales INCLUDING ALL)",
    """CREATE OR REPLACE VIEW ledger.entries AS
        SELECT 'shop' COLLATE "C" AS source, o.order_id AS sale_id, o.sold_at, NULL::date AS sold_on, c.country, c.region,
               c.city, o.salesman_id, s.salesman_name, o.amount,
               CASE WHEN o.fault IS NOT NULL THEN o.fault
                    WHEN c.customer_id IS NULL THEN 'customer'
                    WHEN c.city = '' THEN 'city'
                    WHEN s.salesman_id IS NULL THEN 'salesman' END AS fault
        FROM ledger.orders o LEFT JOIN ledger.customers c USING (customer_id) LEFT JOIN ledger.salesmen s USING (salesman_id)
        UNION ALL
        SELECT 'branches', sale_id, sold_at, sold_on, country, region, city, salesman_id, salesman_name, amount, fault
        FROM ledger.branch_sales
        UNION ALL
        SELECT 'partner', sale_id, sold_at, sold_on, country, region, city, salesman_id, salesman_name, amount, fault
        FROM ledger.partner_sales""",
    """CREATE OR REPLACE VIEW ledger.sales AS
        SELECT source, sale_id, coalesce(sold_on, (sold_at AT TIME ZONE (SELECT time_zone FROM ledger.settings))::date)
                   AS business_date,
               country, region, city, salesman_id, salesman_name, amount, sold_at, sold_on
        FROM ledger.entries WHERE fault IS NULL""",
    """CREATE OR REPLACE VIEW ledger.rejected AS
        SELECT source, sale_id, fault FROM ledger.entries WHERE fault <> 'cancelled'""",
)
_KEYS = {
    "orders": "order_id",
    "customers": "customer_id",
    "salesmen": "salesman_id",
    "branch_sales": "sale_id",
    "partner_sales": "sale_id",
}


class Ledger:
    """Facts gather in memory; `flush` brings them to PostgreSQL in one transaction."""

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn, "the ledger's database")
        self._facts: dict[str, dict[str, Row | None]] = {table: {} for table in _KEYS}
        self._run = 0

    def open(self, seed: int, time_zone: str) -> int:
        """Create what is missing and begin a run; returns its number, from 1."""

        def begin(connection: Connection) -> None:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("DELETE FROM ledger.settings")
            connection.execute("INSERT INTO ledger.settings VALUES (%s)", (time_zone,))
            (last,) = connection.execute("SELECT coalesce(max(run), 0) FROM ledger.runs").fetchall()[0]
            self._run = int(str(last)) + 1
            connection.execute("INSERT INTO ledger.runs VALUES (%s, %s, DEFAULT, false)", (self._run, seed))

        self._database.transact(begin)
        return self._run

    def note(self, facts: Iterable[Fact]) -> None:
        """What has just been written. The last word on a key holds."""
        for fact in facts:
            self._facts[fact.table][fact.key] = fact.row

    @property
    def waiting(self) -> int:
        return sum(map(len, self._facts.values()))

    def flush(self) -> None:
        self._database.transact(self._write)
        self._facts = {table: {} for table in _KEYS}

    def finish(self) -> None:
        """Flush, and say that the book is complete: all that was written to the sources stands in it."""
        self.flush()
        self._database.transact(self._complete)

    def close(self) -> None:
        self._database.close()

    def _write(self, connection: Connection) -> None:
        for table, facts in self._facts.items():
            if facts:
                _merge(connection, table, facts)

    def _complete(self, connection: Connection) -> None:
        connection.execute("UPDATE ledger.runs SET complete = true WHERE run = %s", (self._run,))


def _merge(connection: Connection, table: str, facts: dict[str, Row | None]) -> None:
    target, key = sql.Identifier("ledger", table), sql.Identifier(_KEYS[table])
    connection.execute(sql.SQL("CREATE TEMP TABLE facts (LIKE {}) ON COMMIT DROP").format(target))
    connection.execute('CREATE TEMP TABLE settled (key text COLLATE "C") ON COMMIT DROP')
    copy_rows(connection, sql.Identifier("settled"), ((key,) for key in facts))
    copy_rows(connection, sql.Identifier("facts"), ((key, *row) for key, row in facts.items() if row is not None))
    connection.execute(sql.SQL("DELETE FROM {} t USING settled WHERE t.{} = settled.key").format(target, key))
    connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM facts").format(target))
    connection.execute("DROP TABLE facts, settled")
