"""Databases asked by SQL, at the edges: odd values, keys and times, faults of configuration, wrong passwords."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from tests.conftest import Postgres
from tests.polling import until
from tests.servers.mariadb import MariaDb, mariadb
from topline.changes import DELETE, DeadLetter, SourceBatch, TableChanges
from topline.errors import ConfigError, SourceHalted, TransientError
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume, Source
from topline.sources.sql import Settings, create

__all__ = ["mariadb"]

THINGS = TableSchema("shop.things", (Column("id", Type.TEXT), Column("value", Type.TEXT)), ("id",))


def source_of(folder: Path, url: str, schema: TableSchema = THINGS, table: Mapping[str, Any] = {}, **settings: Any) -> Source:
    name = schema.name.partition(".")[2]
    values = {"kind": "sql", "url": url, "every": 0.02, "tables": {name: table}, **settings}
    return create(Context("shop", {name: schema}, folder, folder / ".topline"), Settings.model_validate(values))


def sqlite(folder: Path, *statements: str) -> str:
    connection = sqlite3.connect(folder / "shop.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return "sqlite:///shop.db"


def first(source: Source, resume: Resume | None = None) -> list[SourceBatch]:
    """All that a first reading gives."""
    source.open(resume or Resume())
    found: list[SourceBatch] = []

    def read() -> bool:
        batch = source.read(1000, 0.02)
        found.extend([] if batch is None else [batch])
        return batch is None and source.reached_end()

    until(read, timeout=20, what="the first reading")
    source.close()
    return found


def rows_of(batches: Sequence[SourceBatch]) -> list[dict[str, Any]]:
    parts = [part for batch in batches for part in batch.parts if isinstance(part, TableChanges)]
    return [row for part in parts for row in part.rows.to_pylist()]


def letters_of(batches: Sequence[SourceBatch]) -> list[DeadLetter]:
    return [letter for batch in batches for letter in batch.dead_letters]


TYPED = TableSchema(
    "shop.typed",
    (
        Column("id", Type.BIGINT),
        Column("price", Type.TEXT),
        Column("ratio", Type.TEXT),
        Column("day", Type.DATE),
        Column("changed", Type.TIMESTAMPTZ),
        Column("open", Type.BOOLEAN),
        Column("small", Type.DECIMAL),
    ),
    ("id",),
)


@pytest.mark.system
def test_types_of_mariadb_are_exact(tmp_path: Path, mariadb: MariaDb) -> None:
    url = mariadb.url("typed")
    numbers = "id BIGINT PRIMARY KEY, price DECIMAL(30,12), ratio DOUBLE"
    mariadb.run(
        url,
        f"CREATE TABLE typed ({numbers}, day DATE, changed DATETIME(6), open BOOL, small DECIMAL(8,2))",
        "INSERT INTO typed VALUES (1, 12345678901234567.123456789012, 0.1, '2026-07-01', '2026-07-01 12:00:00.5', 1, 12.50)",
        "INSERT INTO typed VALUES (2, NULL, NULL, NULL, NULL, NULL, NULL)",
    )
    found = rows_of(first(source_of(tmp_path, url, TYPED, zone="Europe/Rome")))
    assert found[0] == {
        "id": 1,
        "price": "12345678901234567.123456789012",
        "ratio": "0.1",
        "day": date(2026, 7, 1),
        "changed": datetime(2026, 7, 1, 10, 0, 0, 500_000, tzinfo=UTC),
        "open": True,
        "small": Decimal("12.5000"),
    }
    assert found[1] == {**dict.fromkeys(TYPED.names), "id": 2}


def test_postgres_can_be_asked_by_sql_too(tmp_path: Path, postgres: Postgres) -> None:
    dsn = postgres.dsn("asked")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE SCHEMA sales")
        connection.execute("CREATE TABLE sales.orders (number text PRIMARY KEY, amount numeric, changed timestamptz)")
        connection.execute("INSERT INTO sales.orders SELECT i::text, i * 1.10, now() FROM generate_series(1, 25) i")
    parts = {name: str(value) for name, value in psycopg.conninfo.conninfo_to_dict(dsn).items()}
    user = f"{quote(parts['user'])}:{quote(parts.get('password', ''))}"
    url = f"postgresql+psycopg://{user}@/{parts['dbname']}?host={quote(parts['host'], safe='')}&port={parts.get('port', 5432)}"
    table = {
        "table": "sales.orders",
        "columns": {"id": "number", "value": "amount"},
        "page_rows": 10,
        "cursor": {"field": "changed"},
    }
    source = source_of(tmp_path, url, THINGS, table)
    assert source.check() == []
    found = {row["id"]: row["value"] for row in rows_of(first(source))}
    assert found == {str(i): str(Decimal(i) * Decimal("1.10")) for i in range(1, 26)}


def test_a_row_without_its_key_is_kept_and_its_neighbours_count(tmp_path: Path) -> None:
    """In SQLite a text key may be NULL, and NULL has no place in an order of keys: one row a page shows what is passed over."""
    insert = "INSERT INTO things VALUES ('a', 'x'), (NULL, 'keyless'), ('b', 'y'), (NULL, 'another'), ('c', 'a' || char(0))"
    url = sqlite(tmp_path, "CREATE TABLE things (id TEXT PRIMARY KEY, value TEXT)", insert)
    source = source_of(tmp_path, url, table={"page_rows": 1})
    batches = first(source)
    assert [row["id"] for row in rows_of(batches)] == ["a", "b"]
    letters = letters_of(batches)
    assert sorted(letter.reason.split(":")[0] for letter in letters) == ["no key", "no key", "value"]
    assert letters[0].raw == b'{"id": null, "value": "keyless"}'
    assert letters[0].locator == "things: id=None"
    again = source.reread(letters[-1])
    assert isinstance(again, DeadLetter)


def test_composite_keys_page_without_loss(tmp_path: Path) -> None:
    schema = TableSchema("shop.lines", (Column("order", Type.TEXT), Column("no", Type.BIGINT)), ("order", "no"))
    values = ", ".join(f"('o{order}', {number})" for order in range(4) for number in range(5))
    url = sqlite(
        tmp_path, 'CREATE TABLE lines ("order" TEXT, no INT, PRIMARY KEY ("order", no))', f"INSERT INTO lines VALUES {values}"
    )
    found = rows_of(first(source_of(tmp_path, url, schema, {"page_rows": 3})))
    assert [(row["order"], row["no"]) for row in found] == [(f"o{order}", number) for order in range(4) for number in range(5)]


def test_rows_without_an_update_time_come_with_the_first_list(tmp_path: Path) -> None:
    insert = "INSERT INTO things VALUES ('old', 'x', NULL), ('new', 'y', '2026-11-21 10:00:00'), ('older', 'z', NULL)"
    url = sqlite(tmp_path, "CREATE TABLE things (id TEXT PRIMARY KEY, value TEXT, changed DATETIME)", insert)
    source = source_of(tmp_path, url, table={"cursor": {"field": "changed"}, "page_rows": 1})
    assert {row["id"] for row in rows_of(first(source))} == {"new", "old", "older"}


@pytest.mark.parametrize("written", ["2026-11-21 10:00:00", "2026-11-21 10:00:00.5", "2026-11-21T10:00:00Z", "2026-11-21"])
def test_times_that_sqlite_keeps_as_text_are_read_on_from(tmp_path: Path, written: str) -> None:
    create_table = "CREATE TABLE things (id TEXT PRIMARY KEY, value TEXT, changed TEXT)"
    url = sqlite(tmp_path, create_table, f"INSERT INTO things VALUES ('a', 'x', '{written}')")
    source = source_of(tmp_path, url, table={"cursor": {"field": "changed", "overlap": 0}})
    batches = first(source)
    memory = {name: raw for batch in batches for name, raw in batch.memory.items() if raw is not None}
    sqlite(tmp_path, f"INSERT INTO things VALUES ('b', 'y', '{written}')")
    positions = {name: position for batch in batches for name, position in batch.positions.items()}
    assert "b" in [row["id"] for row in rows_of(first(source, Resume(positions, memory)))]


@pytest.mark.system
def test_an_hour_that_comes_twice_is_not_passed_over(tmp_path: Path, mariadb: MariaDb) -> None:
    """Clocks go back in Rome on 2026-10-25 at 03:00: a change at 02:10 comes after one at 02:50."""
    url = mariadb.url("fold")
    mariadb.run(url, "CREATE TABLE things (id VARCHAR(9) PRIMARY KEY, value TEXT, changed DATETIME)")
    mariadb.run(url, "INSERT INTO things VALUES ('before', 'x', '2026-10-25 02:50:00')")
    source = source_of(tmp_path, url, table={"cursor": {"field": "changed", "overlap": 0}}, zone="Europe/Rome")
    batches = first(source)
    memory = {name: raw for batch in batches for name, raw in batch.memory.items() if raw is not None}
    mariadb.run(url, "INSERT INTO things VALUES ('after', 'y', '2026-10-25 02:10:00')")
    positions = {name: position for batch in batches for name, position in batch.positions.items()}
    assert "after" in [row["id"] for row in rows_of(first(source, Resume(positions, memory)))]


def test_a_view_that_marks_its_rows_as_gone(tmp_path: Path) -> None:
    url = sqlite(
        tmp_path,
        "CREATE TABLE raw (id INTEGER PRIMARY KEY, value TEXT, hidden INT)",
        "INSERT INTO raw VALUES (1, 'x', 0), (2, 'y', 1)",
        "CREATE VIEW things AS SELECT id, value, id AS version, CASE hidden WHEN 1 THEN 'yes' END AS gone FROM raw",
    )
    table = {"cursor": {"field": "version", "type": "number"}, "deleted": {"field": "gone", "values": ["yes"]}}
    source = source_of(tmp_path, url, table=table)
    assert source.check() == []
    parts = [part for batch in first(source) for part in batch.parts if isinstance(part, TableChanges)]
    found = {row["id"]: op for part in parts for row, op in zip(part.rows.to_pylist(), part.ops.tolist(), strict=True)}
    assert found == {"1": 0, "2": DELETE}


def test_check_names_what_is_missing(tmp_path: Path) -> None:
    url = sqlite(tmp_path, "CREATE TABLE stuff (id TEXT, value TEXT)")
    (fault,) = source_of(tmp_path, url).check()
    assert "there are: stuff" in fault.problem
    (fault,) = source_of(tmp_path, url, table={"table": "stuff"}).check()
    assert "keeps id unique" in fault.problem
    cursor = {"table": "stuff", "cursor": {"field": "changed"}, "columns": {"value": "worth"}}
    problems = [fault.problem for fault in source_of(tmp_path, url, table=cursor).check()]
    assert [problem.split(";")[0] for problem in problems] == ["there is no column 'worth'", "there is no column 'changed'"]


def test_a_missing_file_is_an_error_and_stays_missing(tmp_path: Path) -> None:
    source = source_of(tmp_path, "sqlite:///nowhere.db")
    assert source.check()
    source.open(Resume())
    with pytest.raises(TransientError, match="unable to open"):
        source.read(10, 0.1)
    assert not (tmp_path / "nowhere.db").exists()


def test_a_table_that_goes_away_halts_the_source(tmp_path: Path) -> None:
    source = source_of(tmp_path, sqlite(tmp_path, "CREATE TABLE others (id TEXT)"))
    source.open(Resume())
    with pytest.raises(SourceHalted, match="no such table: things"):
        source.read(10, 0.1)


@pytest.mark.system
def test_a_wrong_password_halts_the_source_and_is_not_shown(tmp_path: Path, mariadb: MariaDb) -> None:
    url = mariadb.url("refused").replace("root@", "root:s3cret-word@")
    source = source_of(tmp_path, url)
    assert "s3cret-word" not in str(source.check())
    source.open(Resume())
    with pytest.raises(SourceHalted, match="Access denied") as refusal:
        source.read(10, 0.1)
    assert "s3cret-word" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "dialect"),
        ("oracle+oracledb://user@host/db", "pip install oracledb"),
        ("nosuch://user:hidden-word@host/db", "nosuch"),
        ("sqlite://", "name a file"),
    ],
)
def test_an_url_that_does_not_serve_is_a_fault_of_the_configuration(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refusal:
        source_of(tmp_path, url)
    assert "hidden-word" not in str(refusal.value)


def test_tables_must_be_declared_and_configured(tmp_path: Path) -> None:
    settings = {"kind": "sql", "url": "sqlite:///shop.db", "tables": {"others": {}}}
    with pytest.raises(ConfigError, match="tables: 'things' is declared") as refusal:
        create(Context("shop", {"things": THINGS}, tmp_path, tmp_path), Settings.model_validate(settings))
    assert "tables.others: not declared" in str(refusal.value)


def test_what_comes_late_behind_a_poll_is_read_by_the_next(tmp_path: Path) -> None:
    """While one row a page is read, 50 rows come, and one that took its number long ago: a poll that went on with those 50
    would begin the next one far behind it."""
    rows = ", ".join(f"('k{number}', 'x', {number})" for number in (1, 2, 3))
    url = sqlite(
        tmp_path, "CREATE TABLE things (id TEXT PRIMARY KEY, value TEXT, version INT)", f"INSERT INTO things VALUES {rows}"
    )
    source = source_of(tmp_path, url, table={"page_rows": 1, "cursor": {"field": "version", "type": "number", "overlap": 3}})
    source.open(Resume())
    until(lambda: source.read(10, 0.02) is not None, timeout=5, what="the first row")
    later = ", ".join(f"('n{number}', 'x', {number})" for number in range(4, 54))
    found: set[str] = set()

    def read() -> bool:
        batch = source.read(1000, 0.02)
        found.update(row["id"] for row in rows_of([] if batch is None else [batch]))
        if "k3" in found and "late" not in found:
            sqlite(
                tmp_path, f"INSERT OR IGNORE INTO things VALUES {later}", "INSERT OR IGNORE INTO things VALUES ('late', 'x', 2)"
            )
        return {"late", "n53"} <= found

    sqlite(tmp_path, f"INSERT INTO things VALUES {later}")
    until(read, timeout=20, what="the late row")
    source.close()
