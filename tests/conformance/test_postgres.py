"""The postgres source keeps the standard."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest
from psycopg import sql

from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from tests.conftest import Postgres
from topline.sources.base import Context, Source
from topline.sources.postgres import Settings, create


class PostgresOrigin(Origin):
    waivers: ClassVar[Mapping[str, str]] = {
        "unreadable_records_are_kept": "PostgreSQL hands over rows in fields, each with its key; none is unreadable",
    }

    def __init__(self, root: Path, dsn: str, administrator: str) -> None:
        self._root, self._dsn = root, dsn
        self._administrator = psycopg.connect(administrator, autocommit=True)
        self._run("CREATE TABLE things (id text PRIMARY KEY, value text)")

    def source(self) -> Source:
        settings = Settings.model_validate({"kind": "postgres", "dsn": self._dsn, "slot": self._database})
        return create(Context("origin", {"things": TABLE}, self._root, self._root / ".topline"), settings)

    def put(self, rows: Mapping[str, str | None]) -> None:
        upsert = "INSERT INTO things VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET value = EXCLUDED.value"
        with psycopg.connect(self._dsn) as connection:
            connection.cursor().executemany(upsert, list(rows.items()))

    def delete(self, ids: Sequence[str]) -> None:
        self._run("DELETE FROM things WHERE id = ANY(%s)", list(ids))

    def interrupt(self) -> None:
        self._allow("false")
        self._administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self._database]
        )

    def mend(self) -> None:
        self._allow("true")

    def close(self) -> None:
        drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s AND NOT active"
        self._administrator.execute(drop, [self._database])
        self._administrator.close()

    @property
    def _database(self) -> str:
        return str(psycopg.conninfo.conninfo_to_dict(self._dsn)["dbname"])

    def _allow(self, connections: str) -> None:
        order = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(self._database), sql.SQL(connections))
        self._administrator.execute(order)

    def _run(self, query: str, *arguments: object) -> None:
        with psycopg.connect(self._dsn) as connection:
            connection.execute(query.encode(), arguments)


class TestPostgres(SourceSuite):
    @pytest.fixture
    def origin(self, postgres: Postgres, tmp_path: Path) -> Iterator[Origin]:
        origin = PostgresOrigin(tmp_path, postgres.dsn("conformance"), postgres.dsn("administrator"))
        yield origin
        origin.close()
