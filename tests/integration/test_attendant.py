"""Given a running engine's attendant, when the results database answers, stops answering or refuses, then the engine hears."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Postgres
from tests.faults.world import World, world
from tests.polling import until
from topline.errors import StateError
from topline.live.attendant import Attendant
from topline.results import Commands as Inbox
from topline.results import StatusWriter


@pytest.fixture
def made(tmp_path: Path, postgres: Postgres) -> Iterator[World]:
    with world(tmp_path / "sales", postgres.dsn("shop"), postgres.dsn("results")) as one:
        one.open()
        yield one


@pytest.fixture
def attendant(made: World) -> Iterator[Attendant]:
    status, inbox = StatusWriter(made.results_dsn, "topline"), Inbox(made.results_dsn, "topline")
    one = Attendant(made.engine, made.commands, status, inbox, {"shop": "postgres"}, compact_rows=10**9, revive=lambda: None)
    yield one
    one.stop()


def details(made: World) -> str:
    with psycopg.connect(made.results_dsn) as connection:
        row = connection.execute("SELECT details::text FROM topline._topline_engine").fetchone()
    return str(row[0]) if row else ""


def test_a_command_that_waited_is_there_at_the_first_turn(made: World, attendant: Attendant) -> None:
    asker = Inbox(made.results_dsn, "topline")
    number = asker.submit("resync", {"target": "nowhere"})
    attendant.start()
    attendant.turn()
    answer = until(lambda: asker.answer(number))
    assert (answer.ok, "no source is named 'nowhere'" in answer.message) == (False, True)
    asker.close()


def test_a_zero_byte_in_a_message_does_not_end_the_status(made: World, attendant: Attendant) -> None:
    made.engine.holds.models["m"] = "a\0b and \\u0000 and \\\0"
    attendant.start()
    assert '"a␀b and \\\\u0000 and \\\\␀"' in until(lambda: details(made))


def test_a_lost_connection_is_made_anew(made: World, attendant: Attendant) -> None:
    attendant.start()
    until(lambda: details(made))
    made.lose_connections("topline%")
    made.engine.holds.models["later"] = "halted"
    until(lambda: "later" in details(made), what="the status is written again")
    attendant.turn()


def test_what_ends_the_attendant_ends_the_engine_too(made: World, attendant: Attendant) -> None:
    attendant.start()
    until(lambda: details(made))
    with psycopg.connect(made.results_dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE topline._topline_engine")

    def turned() -> bool:
        attendant.turn()
        return False

    with pytest.raises(StateError, match="_topline_engine"):
        until(turned, timeout=20)


def test_an_engine_whose_state_was_removed_ends(made: World, attendant: Attendant) -> None:
    attendant.start()
    until(lambda: details(made))
    (made.engine.machinery.state_dir / "engine.lock").unlink()

    def turned() -> bool:
        attendant.turn()
        return False

    with pytest.raises(StateError, match="was removed while the engine ran on it"):
        until(turned, timeout=20)
