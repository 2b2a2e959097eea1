"""The replication connection alone, whose silence nobody else would notice."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import Postgres
from tests.polling import until
from tests.servers.proxy import Proxy
from topline.errors import TransientError
from topline.sources.postgres.connection import session_conninfo
from topline.sources.postgres.stream import Stream

SILENT = "the server says nothing, for 1 s now"


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    made = Proxy(("127.0.0.1", postgres.server.port))
    yield made
    made.close()


@pytest.fixture
def stream(postgres: Postgres, proxy: Proxy) -> Iterator[Stream]:
    """One that has begun, and may wait a second for an answer."""
    dsn = postgres.dsn("stream")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE PUBLICATION sales")
    given: dict[str, Any] = {**conninfo_to_dict(dsn), "host": "127.0.0.1", "port": proxy.port}
    made = Stream(session_conninfo(make_conninfo(**given), 5, replication="database"), silence=1)
    slot = made.create_slot("silent", temporary=True)
    made.start("silent", "sales", slot.lsn, slot.lsn)
    yield made
    made.close()


def test_a_server_that_was_asked_and_says_nothing_is_lost(stream: Stream, proxy: Proxy) -> None:
    stream.ask()
    until(lambda: stream.collect(10, 0.1), what="it answers")
    proxy.freeze()
    stream.ask()
    with pytest.raises(TransientError, match=SILENT):
        until(lambda: stream.collect(10, 0.1), timeout=20)


def test_a_server_that_was_not_asked_may_say_nothing(stream: Stream, proxy: Proxy) -> None:
    stream.ask()
    until(lambda: stream.collect(10, 0.5) is None, what="all that it says is read, its answer too")
    proxy.freeze()
    assert stream.collect(10, 2.0) is None


def test_a_command_without_an_answer_is_not_waited_for_for_ever(postgres: Postgres, proxy: Proxy) -> None:
    given: dict[str, Any] = {**conninfo_to_dict(postgres.dsn("stream")), "host": "127.0.0.1", "port": proxy.port}
    stream = Stream(session_conninfo(make_conninfo(**given), 5, replication="database"), silence=1)
    assert stream.identify().system
    proxy.freeze()
    with pytest.raises(TransientError, match=SILENT):
        stream.identify()
    stream.close()
