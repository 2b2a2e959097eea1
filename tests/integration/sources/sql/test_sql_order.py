"""Pages follow each other without a gap whatever the columns are that they are ordered by, and whatever the names."""

from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.conftest import Postgres
from tests.integration.sources.sql.test_sql import first, letters_of, rows_of, source_of, sqlite
from tests.servers.mariadb import MariaDb, mariadb
from topline.changes import DELETE, TableChanges
from topline.errors import SourceHalted
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Resume

__all__ = ["mariadb"]

SIZES = TableSchema("shop.things", (Column("id", Type.TEXT), Column("value", Type.TEXT)), ("id", "value"))
ODD = {"page_rows": 1, "table": 'Tä ble "q" %s :x select', "columns": {"id": "i d %", "value": "gr:oup('"}}


@pytest.mark.system
def test_a_key_of_an_enum_of_mariadb_pages_without_loss(tmp_path: Path, mariadb: MariaDb) -> None:
    """Its values are ordered by place (z, m, a), and compared with a text as text."""
    url = mariadb.url("enum")
    mariadb.run(
        url,
        "CREATE TABLE things (id ENUM('z', 'm', 'a'), value VARCHAR(9), PRIMARY KEY (id, value))",
        "INSERT INTO things VALUES ('z', '1'), ('m', '1'), ('a', '1'), ('z', '2')",
    )
    found = rows_of(first(source_of(tmp_path, url, SIZES, {"page_rows": 1})))
    assert sorted((row["id"], row["value"]) for row in found) == [("a", "1"), ("m", "1"), ("z", "1"), ("z", "2")]


def test_a_key_of_an_enum_or_uuid_of_postgres_pages_without_loss(tmp_path: Path, postgres: Postgres) -> None:
    dsn = postgres.dsn("enums")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TYPE size AS ENUM ('z', 'm', 'a')")
        connection.execute("CREATE TABLE things (id size, value uuid DEFAULT gen_random_uuid(), PRIMARY KEY (id, value))")
        connection.execute("INSERT INTO things (id) VALUES ('z'), ('m'), ('a'), ('z')")
    parts = {name: str(value) for name, value in psycopg.conninfo.conninfo_to_dict(dsn).items()}
    login = f"{quote(parts['user'])}:{quote(parts.get('password', ''))}"
    place = f"host={quote(parts['host'], safe='')}&port={parts.get('port', 5432)}"
    url = f"postgresql+psycopg://{login}@/{parts['dbname']}?{place}"
    found = rows_of(first(source_of(tmp_path, url, SIZES, {"page_rows": 1})))
    assert sorted(row["id"] for row in found) == ["a", "m", "z", "z"]


@pytest.mark.system
def test_a_float_is_nothing_to_read_on_by(tmp_path: Path, mariadb: MariaDb) -> None:
    """5592405.5 is given as 5592410: rows would be passed over, and others come again."""
    url = mariadb.url("float")
    mariadb.run(url, "CREATE TABLE things (id VARCHAR(9) PRIMARY KEY, value TEXT, moved FLOAT)")
    source = source_of(tmp_path, url, table={"cursor": {"field": "moved", "type": "number"}})
    (fault,) = source.check()
    assert "moved is a FLOAT" in fault.problem
    source.open(Resume())
    with pytest.raises(SourceHalted, match="moved is a FLOAT"):
        source.read(10, 0.1)


@pytest.mark.system
def test_a_cursor_that_is_no_time_moves_nothing(tmp_path: Path, mariadb: MariaDb) -> None:
    url = mariadb.url("zero")
    mariadb.run(
        url,
        "SET sql_mode = ''",
        "CREATE TABLE things (id VARCHAR(9) PRIMARY KEY, value DATE, changed DATETIME(6))",
        "INSERT INTO things VALUES ('zero', '0000-00-00', '0000-00-00'), ('one', '2026-01-01', '2026-01-01 10:00:00.123456')",
    )
    batches = first(source_of(tmp_path, url, table={"page_rows": 1, "cursor": {"field": "changed"}}))
    assert {row["id"]: row["value"] for row in rows_of(batches)} == {"zero": "0000-00-00", "one": "2026-01-01"}


def test_text_that_is_none_is_refused_with_its_row_alone(tmp_path: Path) -> None:
    insert = "INSERT INTO things VALUES ('a', cast(x'ff41' AS TEXT)), ('b', 'fine')"
    url = sqlite(tmp_path, "CREATE TABLE things (id TEXT PRIMARY KEY, value TEXT)", insert)
    batches = first(source_of(tmp_path, url))
    assert rows_of(batches) == [{"id": "b", "value": "fine"}]
    assert [letter.raw for letter in letters_of(batches)] == [b'{"id": "a", "value": "\\udcffA"}']


def test_names_of_any_characters_in_sqlite(tmp_path: Path) -> None:
    table = '"Tä ble ""q"" %s :x select"'
    rows = f"INSERT INTO {table} VALUES ('a', '1'), ('b', '2')"
    url = sqlite(tmp_path, f"""CREATE TABLE {table} ("i d %" TEXT PRIMARY KEY, "gr:oup('" TEXT)""", rows)
    source = source_of(tmp_path, url, table=ODD)
    assert source.check() == []
    assert [row["value"] for row in rows_of(first(source))] == ["1", "2"]


@pytest.mark.system
def test_names_of_any_characters_in_mariadb_and_such_a_password(tmp_path: Path, mariadb: MariaDb) -> None:
    url, table, password = mariadb.url("odd"), '`Tä ble "q" %s :x select`', "p@s:s/w#o%rd"
    mariadb.run(
        url,
        f"CREATE TABLE {table} (`i d %` VARCHAR(9) PRIMARY KEY, `gr:oup('` TEXT)",
        f"INSERT INTO {table} VALUES ('a', '1'), ('b', '2')",
        f"CREATE OR REPLACE USER odd@'%' IDENTIFIED BY '{password}'",
        "GRANT SELECT ON *.* TO odd@'%'",
    )
    source = source_of(tmp_path, url.replace("root@", f"odd:{quote(password, safe='')}@"), table=ODD)
    assert source.check() == []
    assert [row["value"] for row in rows_of(first(source))] == ["1", "2"]


def test_a_row_that_is_marked_behind_the_cursor_is_found_by_comparing(tmp_path: Path) -> None:
    url = sqlite(
        tmp_path,
        "CREATE TABLE things (id TEXT PRIMARY KEY, value TEXT, version INT, state TEXT)",
        "INSERT INTO things VALUES ('a', 'x', 1, 'A'), ('b', 'y', 9, 'A')",
    )
    cursor = {"field": "version", "type": "number", "overlap": 0}
    source = source_of(
        tmp_path, url, table={"cursor": cursor, "deleted": {"field": "state", "values": ["X"]}, "compare_every": 9}
    )
    batches = first(source)
    memory = {name: raw for batch in batches for name, raw in batch.memory.items() if raw is not None}
    positions = {name: position for batch in batches for name, position in batch.positions.items()}
    sqlite(tmp_path, "UPDATE things SET state = 'X' WHERE id = 'a'")
    parts = [part for batch in first(source, Resume(positions, memory)) for part in batch.parts]
    gone = [part for part in parts if isinstance(part, TableChanges) and part.ops[0] == DELETE]
    assert [row["id"] for part in gone for row in part.rows.to_pylist()] == ["a"]
