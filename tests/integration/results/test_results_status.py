"""What the engine says of itself, and what others ask of it, through the results schema."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from tests.integration.results.support import NOON, SCHEMA, execute, publishing, query
from topline.errors import StateError, TransientError
from topline.results import Answer, Command, Commands, DeadLetterStatus, EngineStatus, Reader, SourceStatus, StatusWriter

ENGINE = EngineStatus(NOON, {"changes_per_second": 12, "at": NOON})
SHOP = SourceStatus("shop", "postgres", "running", "streaming", "slot topline", "", 4096, NOON, 10, 2, 1)
LETTER = DeadLetterStatus(1, "branches", "branches.sales", "rome.csv:7", "3 fields, not 5", NOON, "new", b"\x00\xffraw")


@pytest.fixture
def schema(dsn: str) -> str:
    with publishing(dsn):
        return dsn


@pytest.fixture
def status(schema: str) -> Iterator[StatusWriter]:
    writer = StatusWriter(schema, SCHEMA)
    yield writer
    writer.close()


@pytest.fixture
def commands(schema: str) -> Iterator[Commands]:
    opened = Commands(schema, SCHEMA)
    yield opened
    opened.close()


def test_sources_are_as_last_said(schema: str, status: StatusWriter) -> None:
    status.write(ENGINE, [SHOP, replace(SHOP, source="other")])
    status.write(ENGINE, [replace(SHOP, state="down", last_error="zero \0 byte")])
    assert query(schema, f"SELECT * FROM {SCHEMA}._topline_source_status") == [
        ("shop", "postgres", "down", "streaming", "slot topline", "zero ␀ byte", 4096, NOON, 10, 2, 1)
    ]


def test_the_heartbeat_is_young_and_carries_the_rates(schema: str, status: StatusWriter) -> None:
    status.write(ENGINE, [SHOP])
    reader = Reader(schema, SCHEMA).open()
    found = reader.readiness()
    reader.close()
    assert found.heartbeat_age is not None
    assert 0 <= found.heartbeat_age < 5
    assert (found.sources, found.unpublished) == ((("shop", "running", ""),), ("cities",))
    details = {"changes_per_second": 12, "at": str(NOON)}
    assert query(schema, f"SELECT started, details FROM {SCHEMA}._topline_engine") == [(NOON, details)]


def test_dead_letters_keep_their_bytes_up_to_a_limit(schema: str, status: StatusWriter) -> None:
    status.write(ENGINE, [], [LETTER, replace(LETTER, id=2, raw=b"x" * 70_000)])
    status.write(ENGINE, [], [replace(LETTER, state="replayed")])
    found = query(schema, f"SELECT id, state, raw, raw_bytes FROM {SCHEMA}._topline_dead_letters ORDER BY id")
    assert found == [(1, "replayed", b"\x00\xffraw", 5), (2, "new", b"x" * 65_536, 70_000)]


def test_a_lost_connection_passes(schema: str, status: StatusWriter) -> None:
    status.write(ENGINE, [SHOP])
    execute(schema, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'topline status'")
    with pytest.raises(TransientError):
        status.write(ENGINE, [SHOP])
    status.write(ENGINE, [replace(SHOP, rows=11)])
    assert query(schema, f"SELECT rows FROM {SCHEMA}._topline_source_status") == [(11,)]


def test_a_command_is_taken_once_and_answered(commands: Commands) -> None:
    first = commands.submit("resync", {"table": "shop.orders"})
    second = commands.submit("replay", {})
    assert commands.take() == [Command(first, "resync", {"table": "shop.orders"}), Command(second, "replay", {})]
    assert commands.take() == []
    assert commands.answer(first) is None
    commands.finish(first, True, "copying")
    assert commands.answer(first) == Answer(True, "copying")
    assert commands.answer(second) is None


def test_a_command_of_an_engine_that_died_is_taken_again(commands: Commands) -> None:
    asked = commands.submit("resync", {})
    done = commands.submit("resync", {})
    commands.take()
    commands.finish(done, False, "no such table")
    assert commands.recover() == 1
    assert [command.id for command in commands.take()] == [asked]


def test_the_engine_hears_of_a_command(schema: str, commands: Commands) -> None:
    with psycopg.connect(schema, autocommit=True) as engine:
        engine.execute("LISTEN topline_commands")
        asked = commands.submit("resync", {})
        assert [notice.payload for notice in engine.notifies(timeout=5, stop_after=1)] == [str(asked)]


def test_a_schema_that_no_engine_opened_takes_no_commands(dsn: str) -> None:
    nowhere = Commands(dsn, SCHEMA)
    with pytest.raises(StateError, match="not as the engine left them"):
        nowhere.submit("resync", {})
    nowhere.close()
