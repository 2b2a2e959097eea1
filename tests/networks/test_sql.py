"""A database that is asked by SQL and then says nothing: the question ends, and the next one is answered."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import Postgres
from tests.servers.proxy import Network, Proxy
from topline.errors import TransientError
from topline.sources.sql import Settings
from topline.sources.sql.database import Database

ONE = sa.select(sa.literal(1))


def test_a_database_that_falls_silent_is_asked_again(postgres: Postgres, tmp_path: Path) -> None:
    dsn = postgres.dsn("asked")
    proxy, given = Proxy(("127.0.0.1", postgres.server.port)), conninfo_to_dict(dsn)
    url = sa.URL.create("postgresql+psycopg", given["user"], given["password"], "127.0.0.1", proxy.port, given["dbname"])  # type: ignore[arg-type]
    table = {"url": url.render_as_string(hide_password=False), "connect_timeout": 2, "read_timeout": 1, "tables": {"sales": {}}}
    database = Database(Settings.model_validate(table), tmp_path)
    try:
        assert database.rows(ONE) == [(1,)]
        proxy.network = Network(silent=True)
        with pytest.raises(TransientError, match="no answer for 1 s"):
            database.rows(ONE)
        proxy.come_up()
        assert database.rows(ONE) == [(1,)]
    finally:
        database.close()
        proxy.close()
