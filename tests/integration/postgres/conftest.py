"""A shop in a fresh database, its source, and a replica of it."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import Postgres
from tests.integration.postgres.debian import BIN, DebianServer, skip_or_fail
from tests.integration.postgres.replica import Replica, catch_up, follow
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Source
from topline.sources.postgres import Settings, create

_NUMBERS = itertools.count(1)
ORDERS = {"id": Type.BIGINT, "city": Type.TEXT, "amount": Type.TEXT, "sold": Type.TIMESTAMPTZ}
CREATE_ORDERS = "CREATE TABLE orders (id bigint PRIMARY KEY, city text, amount numeric(12,2), sold timestamptz)"


def schema(name: str, columns: dict[str, Type], key: tuple[str, ...]) -> TableSchema:
    return TableSchema(name, tuple(Column(n, t) for n, t in columns.items()), key)


@dataclass
class Shop:
    """A database, and the source `shop` over the tables declared so far."""

    dsn: str
    folder: Path
    schemas: dict[str, TableSchema] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    # A slot is the whole server's: each shop has its own.
    slot: str = field(default_factory=lambda: f"shop_{next(_NUMBERS)}")

    def __post_init__(self) -> None:
        self.connection = psycopg.connect(self.dsn, autocommit=True)

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement.encode())

    def value(self, query: str) -> Any:
        row = self.connection.execute(query.encode()).fetchone()
        return row[0] if row else None

    def declare(self, name: str, columns: dict[str, Type], key: tuple[str, ...]) -> None:
        self.schemas[name] = schema(f"shop.{name}", columns, key)

    def source(self, dsn: str | None = None, **settings: Any) -> Source:
        context = Context("shop", dict(self.schemas), self.folder, self.folder)
        made = create(context, Settings(**{"dsn": dsn or self.dsn, "slot": self.slot, **settings}))
        self.sources.append(made)
        return made

    def replica(self) -> Replica:
        return Replica({table.name: table for table in self.schemas.values()})

    def caught_up(self, **settings: Any) -> tuple[Source, Replica]:
        source, replica = self.source(**settings), self.replica()
        catch_up(source, replica)
        return source, replica

    def follow(self, source: Source, replica: Replica, most: int = 1000, confirm: bool = True) -> None:
        """Until what was committed by now is in the replica."""
        self.run("SELECT pg_logical_emit_message(true, 'test', '')")
        end = self.value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        source._standing.end = int(end)  # type: ignore[attr-defined]  # as if it were opened now
        follow(source, replica, source.reached_end, most, confirm)

    def drop(self) -> None:
        for source in self.sources:
            source.close()
        until_free = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s AND active"
        self.connection.execute(until_free, [self.slot])
        self.connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active",
            [self.slot],
        )
        self.connection.close()


@pytest.fixture(scope="session")
def debian() -> Iterator[DebianServer]:
    with _debian() as server:
        yield server


@pytest.fixture
def debian_alone() -> Iterator[DebianServer]:
    """A server that a test may restart."""
    with _debian() as server:
        yield server


@contextmanager
def _debian() -> Iterator[DebianServer]:
    if not (BIN / "postgres").exists():
        skip_or_fail("Debian's postgresql-15")
    server = DebianServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


VERSIONS = [pytest.param("postgres", id="18"), pytest.param("debian", id="15", marks=pytest.mark.system)]


@pytest.fixture(params=VERSIONS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """An empty database on each version of PostgreSQL that is tested."""
    server: Postgres | DebianServer = request.getfixturevalue(request.param)
    made = Shop(server.dsn("shop"), tmp_path)
    yield made
    made.drop()


@pytest.fixture
def orders(shop: Shop) -> Shop:
    """A shop with three orders."""
    shop.run(
        CREATE_ORDERS,
        "INSERT INTO orders VALUES (1, 'Rome', 10.50, '2026-01-01 12:00+00'), (2, 'Oslo', 7, NULL), (3, '', NULL, NULL)",
    )
    shop.declare("orders", ORDERS, ("id",))
    return shop


def two_tables(shop: Shop) -> None:
    shop.run("CREATE TABLE items (id int PRIMARY KEY, n int)", "INSERT INTO items SELECT n, n FROM generate_series(1, 100) n")
    shop.declare("items", {"id": Type.BIGINT, "n": Type.BIGINT}, ("id",))
