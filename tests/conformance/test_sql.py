"""The sql source keeps the standard, over SQLite and MariaDB: lists, update times, rising ids, deletions compared or marked."""

import sqlite3
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from tests.servers.mariadb import MariaDb, mariadb
from topline.sources.base import Context, Source
from topline.sources.sql import Settings, create

__all__ = ["mariadb"]

BY_VERSION = {"cursor": {"field": "version", "type": "number", "overlap": 5}}
LISTED: dict[str, Any] = {}
COMPARED = {**BY_VERSION, "compare_every": 0.02}
MARKED = {**BY_VERSION, "deleted": {"field": "state", "values": ["X"]}}
BY_TIME = {"cursor": {"field": "changed", "overlap": 5}, "compare_every": 0.02}


class SqlOrigin(Origin):
    """A table whose rows have a version and a time of their last change, and a state."""

    waivers: ClassVar[Mapping[str, str]] = {
        "transactions_are_whole": "a pulled source sees rows as it finds them, not the origin's transactions",
        "unreadable_records_are_kept": "a table with a primary key hands over rows in fields, each with its key",
    }

    def __init__(self, root: Path, shape: dict[str, Any]) -> None:
        self.root, self._shape, self._version = root, shape, 0

    def source(self) -> Source:
        settings = {"kind": "sql", "url": self.url(), "every": 0.01, "connect_timeout": 2, "tables": {"things": self._table()}}
        return create(
            Context("origin", {"things": TABLE}, self.root, self.root / ".topline"), Settings.model_validate(settings)
        )

    def put(self, rows: Mapping[str, str | None]) -> None:
        for key, value in rows.items():
            self._version += 1
            delete = ("DELETE FROM things WHERE id = ?", (key,))
            insert = ("INSERT INTO things VALUES (?, ?, ?, ?, 'A')", (key, value, self._version, self._time()))
            self.execute(delete, insert)

    def delete(self, ids: Sequence[str]) -> None:
        for key in ids:
            self._version += 1
            if "deleted" in self._shape:
                mark = "UPDATE things SET state = 'X', version = ?, changed = ? WHERE id = ?"
                self.execute((mark, (self._version, self._time(), key)))
            else:
                self.execute(("DELETE FROM things WHERE id = ?", (key,)))

    def _time(self) -> str:
        return f"2026-11-21 10:{self._version // 60:02}:{self._version % 60:02}"

    def _table(self) -> dict[str, Any]:
        return {"page_rows": 2, **self._shape}

    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def execute(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        """In one transaction."""


class SqliteOrigin(SqlOrigin):
    def __init__(self, root: Path, shape: dict[str, Any]) -> None:
        super().__init__(root, shape)
        self.execute(("CREATE TABLE things (id TEXT PRIMARY KEY, value TEXT, version INT, changed DATETIME, state TEXT)", ()))

    def url(self) -> str:
        return "sqlite:///shop.db"

    def execute(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        connection = sqlite3.connect(self.root / "shop.db", timeout=20)
        with connection:
            for statement in statements:
                connection.execute(*statement)
        connection.close()

    def interrupt(self) -> None:
        (self.root / "shop.db").rename(self.root / "away")

    def mend(self) -> None:
        (self.root / "away").rename(self.root / "shop.db")


class MariaOrigin(SqlOrigin):
    def __init__(self, root: Path, shape: dict[str, Any], server: MariaDb) -> None:
        super().__init__(root, shape)
        self._server, self._url = server, server.url("conformance")
        columns = "id VARCHAR(40) PRIMARY KEY, value TEXT, version INT, changed DATETIME, state CHAR(1)"
        server.run(self._url, f"CREATE TABLE things ({columns})")

    def url(self) -> str:
        return self._url

    def execute(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        with self._server.connect(self._url) as connection, connection.cursor() as cursor:
            for statement, values in statements:
                cursor.execute(statement.replace("?", "%s"), values)
            connection.commit()

    def interrupt(self) -> None:
        self._server.stop()

    def mend(self) -> None:
        self._server.start()


@pytest.mark.parametrize("shape", [LISTED, COMPARED, MARKED, BY_TIME], ids=["listed", "compared", "marked", "by time"])
class TestSqlite(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path, shape: dict[str, Any]) -> Origin:
        return SqliteOrigin(tmp_path, shape)


@pytest.mark.system
@pytest.mark.parametrize("shape", [LISTED, BY_TIME], ids=["listed", "by time"])
class TestMariaDb(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path, shape: dict[str, Any], mariadb: MariaDb) -> Origin:
        return MariaOrigin(tmp_path, shape, mariadb)
