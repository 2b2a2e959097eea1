"""Dead letters in the engine: replayed after a fix, twice changes nothing, and a replayed row goes when its file drops it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Postgres
from tests.faults.world import World, world
from topline.changes import DeadLetter, Position, SourceBatch
from topline.live.audit import truth
from topline.live.commands import REPLAY
from topline.live.why import locate, trace
from topline.log import LetterState

ROW = ("2026-03-29", "Italy", "Lazio", "Roma", "s", "Ada", "1.00", "EUR")
HEADER = b"sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\n"
ODD = b'\xff\xfe\x00,\r\n"never closed\n' + bytes(range(256)) * 5


@pytest.fixture
def made(tmp_path: Path, postgres: Postgres) -> Iterator[World]:
    with world(tmp_path / "sales", postgres.dsn("shop"), postgres.dsn("results")) as one:
        one.open()
        yield one


def kept(made: World, *sales: str) -> int:
    """A letter of old.csv, which is gone: whole, for it begins with its header."""
    raw = HEADER + b"".join(",".join((sale, *ROW)).encode() + b"\n" for sale in sales)
    return keep(made, raw)


def keep(made: World, raw: bytes) -> int:
    letter = DeadLetter("branches.sales", "sales:inbox/old.csv", Position(1, 1), raw, "broken", "inbox/old.csv:1")
    made.engine.fold([SourceBatch("branches", dead_letters=(letter,), positions={letter.partition: Position(1, 1)})])
    made.close()
    made.open()  # so that the source knows that it read the file
    return made.engine.machinery.log.letters.list(newest_first=True)[0].id


def replay(made: World, letter: int) -> str:
    told = made.commands.carry_out(REPLAY, {"letters": [letter]})
    made.turn_until(made.is_still, "all is published")
    made.require_audited()
    return told


def found(made: World) -> set[str]:
    return set(made.sales())


def test_a_letter_keeps_every_byte(made: World) -> None:
    assert made.engine.machinery.log.letters.raw(keep(made, ODD)) == ODD


def test_a_replayed_row_goes_once_its_file_is_there_again_without_it(made: World) -> None:
    letter = kept(made, "b1", "b2")
    assert replay(made, letter) == f"{letter}: applied"
    assert found(made) == {"b1", "b2"}
    made.inbox.write("old.csv", [("b2", *ROW), ("b3", *ROW)])
    made.turn_until(lambda: found(made) == {"b2", "b3"}, "the file's rows are those of the file")
    assert "already" in replay(made, letter)
    assert found(made) == {"b2", "b3"}


def test_a_replayed_row_stays_while_its_file_is_away_and_other_files_come(made: World) -> None:
    replay(made, kept(made, "b1"))
    made.inbox.write("new.csv", [("b2", *ROW)])
    made.turn_until(lambda: "b2" in found(made), "the other file is read")
    made.inbox.write("new.csv", [("b3", *ROW)])
    made.turn_until(lambda: found(made) == {"b1", "b3"}, "the other file retracts what is its own")


def test_a_restart_knows_which_letters_were_replayed_and_where_their_rows_came_from(made: World) -> None:
    letter = kept(made, "b1")
    replay(made, letter)
    made.close()
    made.open()
    assert made.engine.machinery.log.letters.get(letter).state is LetterState.REPLAYED
    assert "already" in replay(made, letter)
    assert found(made) == {"b1"}
    log, plan = made.engine.machinery.log, made.started.plan
    key = {"source": "branches", "sale_id": "b1"}
    with log.pin(), closing(truth(log, plan, log.epoch)) as connection:
        wheres = [row["where"] for part in trace(connection, plan, "sales", key)[1] for row in locate(log, plan, part, "files")]
    assert wheres == [f"dead letter {letter}"]


def test_a_letter_whose_row_was_changed_or_deleted_later_is_not_applied(made: World) -> None:
    changed = kept(made, "b1")
    made.inbox.write("new.csv", [("b1", *ROW[:6], "9.00", "EUR"), ("b2", *ROW)])
    made.turn_until(lambda: found(made) == {"b1", "b2"}, "the other file is read")
    assert replay(made, changed) == f"{changed}: not applied, its row was changed later"
    deleted = kept(made, "b2")
    made.inbox.write("new.csv", [("b1", *ROW[:6], "9.00", "EUR")])
    made.turn_until(lambda: found(made) == {"b1"}, "b2 is retracted")
    assert "not applied" in replay(made, deleted)
    assert {key: row[7] for key, row in made.sales().items()} == {"b1": "9.00"}
    assert made.engine.machinery.log.letters.get(deleted).state is LetterState.SUPERSEDED


def test_letters_of_a_file_are_done_with_once_another_version_of_it_was_read(made: World) -> None:
    """Dropped again with the same fault, it is one open letter, not two; mended, it is none; appended to, the letters stay."""
    letters = made.engine.machinery.log.letters
    made.inbox.write("a.csv", [("b1", *ROW)], broken=2)
    made.turn_until(lambda: letters.count() == 2, "two lines are kept")
    made.inbox.append("a.csv", [("b2", *ROW)])
    made.turn_until(lambda: found(made) == {"b1", "b2"}, "what was appended is read")
    assert letters.count() == 2
    for name in ("b3", "b4"):
        made.inbox.write("a.csv", [(name, *ROW)], broken=2)
        made.turn_until(lambda name=name: name in found(made), "the next version is read")  # type: ignore[misc]
        assert letters.count() == 2
    made.inbox.write("a.csv", [("b5", *ROW)])
    made.turn_until(lambda: found(made) == {"b5"}, "the mended version is read")
    assert letters.count() == 0
    kept_for_ever = letters.list(state=LetterState.SUPERSEDED)
    assert len(kept_for_ever) == 6
    assert all(letters.raw(letter.id) == b"broken,line\n" for letter in kept_for_ever)
    assert "superseded already" in replay(made, kept_for_ever[0].id)
