"""How fast changes are drained from PostgreSQL: `python bench/capture.py [ROWS]`. Prints rows/s and our CPU-seconds.

One embedded PostgreSQL 18 (which shares the machine), one table of eight columns; nothing is stored on our side. Measured are
the first copy, a backlog of large transactions, one of one-row transactions, and updates.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from topline.embedded import EmbeddedPostgres
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume, Source
from topline.sources.postgres import Settings, create

_COLUMNS = {
    "id": Type.BIGINT,
    "city": Type.TEXT,
    "region": Type.TEXT,
    "salesman": Type.TEXT,
    "amount": Type.TEXT,
    "sold": Type.TIMESTAMPTZ,
    "day": Type.DATE,
    "paid": Type.BOOLEAN,
}
_CREATE = (
    "CREATE TABLE orders (id bigint PRIMARY KEY, city text, region text, salesman text, amount numeric(18,4), "
    "sold timestamptz, day date, paid boolean)"
)
_INSERT = (
    "INSERT INTO orders SELECT n, 'City number ' || n % 5000, 'R' || n % 20, 'salesman-' || n % 1000, (n % 100000) / 100.0, "
    "'2026-01-01'::timestamptz + n * interval '1 second', '2026-01-01'::date + n % 365, n % 2 = 0 "
    "FROM generate_series({}, {}) n"
)


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, EmbeddedPostgres(_open(folder)) as server:
        dsn = server.dsn("shop")
        connection = psycopg.connect(dsn, autocommit=True)
        connection.execute(_CREATE)
        connection.execute(_INSERT.format(1, rows).encode())
        schema = TableSchema("shop.orders", tuple(Column(n, t) for n, t in _COLUMNS.items()), ("id",))
        source = create(Context("shop", {"orders": schema}, Path(folder), Path(folder)), Settings(dsn=dsn))
        source.open(Resume())
        measure("first copy", rows, source)
        for name, fill in _backlogs(connection, rows):
            count = fill()
            measure(name, count, source)
        source.close()


def _open(folder: str) -> Path:
    """A folder that the server's user reaches when we are root."""
    Path(folder).chmod(0o755)
    return Path(folder)


def _backlogs(connection: psycopg.Connection, rows: int) -> list[tuple[str, Callable[[], int]]]:
    def large() -> int:
        for number in range(1, 11):
            connection.execute(_INSERT.format(rows * number + 1, rows * number + rows // 10).encode())
        return rows

    def small() -> int:
        connection.execute("SET synchronous_commit = off")
        connection.execute(
            f"DO $$ BEGIN FOR i IN 1..{rows // 10} LOOP "
            f"UPDATE orders SET amount = amount + 1 WHERE id = i; COMMIT; END LOOP; END $$".encode()
        )
        return rows // 10

    def updates() -> int:
        connection.execute("UPDATE orders SET amount = amount + 1")
        return 2 * rows

    return [("ten large transactions", large), ("one-row transactions", small), ("one large update", updates)]


def measure(name: str, rows: int, source: Source) -> None:
    seen = 0
    began, cpu = time.perf_counter(), time.process_time()
    while seen < rows:
        batch = source.read(100_000, 1.0)
        if batch is not None:
            seen += len(batch)
            source.acknowledge(batch.positions)
    while not source.reached_end() and source.read(100_000, 0.05) is not None:
        pass
    took, burnt = time.perf_counter() - began, time.process_time() - cpu
    print(f"{name:24} {rows:>9,} rows  {rows / took:>9,.0f} rows/s  {burnt:6.2f} CPU-s ({rows / burnt:>9,.0f} rows per CPU-s)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
