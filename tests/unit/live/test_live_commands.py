"""What is asked of the engine: a table or source read anew, a dead letter read again. Each answers with a sentence."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.polling import until
from tests.unit.live.engines import Rig, Rigs, Told, batch
from tests.unit.live.histories import order, upserts
from tests.unit.live.plans import ORDERS, sums
from topline.changes import DeadLetter, Position, SchemaChange
from topline.errors import UsageError
from topline.live.commands import REPLAY, RESYNC, Commands
from topline.log import LetterState
from topline.schema import Column, TableSchema, Type

NARROW = TableSchema("shop.orders", tuple(c for c in ORDERS.columns if c.name != "city"), ORDERS.key)
RETYPED = TableSchema("shop.orders", tuple(Column(c.name, Type.TEXT) for c in ORDERS.columns), ORDERS.key)


def commands(rig: Rig) -> Commands:
    return Commands(rig.engine, rig.sources)


def orders(rig: Rig) -> dict[int, str]:
    rows = [row for chunk in rig.log.snapshot("shop.orders") for row in chunk.to_pylist()]
    return {row["order_id"]: row["city"] for row in rows}


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("restart", {}, "unknown command 'restart'; there are replay, resync"),
        (RESYNC, {}, "resync takes a `target`, SOURCE or SOURCE.TABLE; found None"),
        (RESYNC, {"target": 3}, "found 3"),
        (RESYNC, {"target": "nowhere"}, "no source is named 'nowhere'; there are shop"),
        (RESYNC, {"target": "shop.other"}, "the source shop has no table 'other'"),
        (REPLAY, {}, "replay takes `letters`, a list of numbers; found None"),
        (REPLAY, {"letters": 1}, "found 1"),
        (REPLAY, {"letters": ["1"]}, r"found \['1'\]"),
        (REPLAY, {"letters": [True]}, r"found \[True\]"),
        (REPLAY, {"letters": [1, None]}, r"found \[1, None\]"),
        (REPLAY, {"letters": [99]}, "there is no dead letter 99"),
    ],
)
def test_what_is_no_command_is_refused(kind: str, arguments: Mapping[str, Any], message: str, rig: Rigs) -> None:
    with pytest.raises(UsageError, match=message):
        commands(rig(sums())).carry_out(kind, arguments)


def test_a_table_that_is_read_anew_is_held_no_more_and_its_source_is_opened_again(rig: Rigs) -> None:
    one = rig(sums())
    source = one.sources["shop"]
    one.take(batch(SchemaChange("shop.orders", NARROW), upserts("shop.orders", order(1, "1")), hi=3))
    until(lambda: source.resumes)
    answer = commands(one).carry_out(RESYNC, {"target": "shop.orders"})
    assert answer == "shop.orders is read anew: `topline status` shows how far it is"
    assert (source.asked_anew, one.engine.holds.tables, one.log.holds()) == (["orders"], {}, {})
    again = until(lambda: source.resumes[1:])[-1]
    assert (again.memory, again.positions) == ({"anew": b"1"}, {"one": Position(3, 1 << 20)})


def test_a_source_is_read_anew_whole(rig: Rigs) -> None:
    one = rig(sums())
    assert commands(one).carry_out(RESYNC, {"target": "shop"}).startswith("shop is read anew")
    assert one.sources["shop"].asked_anew == [None]


@pytest.mark.parametrize("target", ["shop", "shop.orders"])
def test_a_source_that_keeps_nothing_goes_on_with_what_was_kept_of_it(target: str, rig: Rigs) -> None:
    source = Told()
    source.reads_anew = False
    one = rig(sums(), source)
    one.take(batch(SchemaChange("shop.orders", RETYPED), upserts("shop.orders", order(1, "1", "A"))))
    one.engine.holds.outdated.add("shop.orders")
    answer = commands(one).carry_out(RESYNC, {"target": target})
    assert answer.startswith(f"{target} goes on. What was sent before cannot be read anew")
    assert (orders(one), one.engine.holds.tables, one.engine.holds.outdated) == ({1: "A"}, {}, set())


def test_other_tables_of_such_a_source_stay_held(rig: Rigs) -> None:
    source = Told()
    source.reads_anew = False
    one = rig(sums(), source)
    one.take(batch(SchemaChange("shop.orders", RETYPED), upserts("shop.orders", order(1, "1", "A"))))
    commands(one).carry_out(RESYNC, {"target": "shop.items"})
    assert (orders(one), list(one.engine.holds.tables)) == ({}, ["shop.orders"])


def test_what_was_kept_with_other_columns_cannot_be_taken_up(rig: Rigs) -> None:
    source = Told()
    source.reads_anew = False
    one = rig(sums(), source)
    made = upserts("shop.orders", order(1, "1", "A"))
    one.take(batch(SchemaChange("shop.orders", NARROW), replace(made, rows=made.rows.drop_columns(["city"]))))
    with pytest.raises(UsageError, match=r"^shop.orders: what was kept meanwhile has other columns"):
        commands(one).carry_out(RESYNC, {"target": "shop"})
    assert list(one.engine.holds.tables) == ["shop.orders"]


# dead letters


def letters(rig: Rigs, *sources: Told) -> Rig:
    """Two letters: of a table that the models declare at (5, 3), and of one that they do not."""
    one = rig(sums(), *sources)
    made = [
        DeadLetter(table, "one", Position(5, lo), b"1;?", "unreadable", f"line {lo}")
        for lo, table in ((3, "shop.orders"), (4, "shop.gone"))
    ]
    one.take(batch(hi=5, dead_letters=tuple(made)))
    return one


def state(rig: Rig, letter: int) -> LetterState:
    return rig.log.letters.get(letter).state


def test_a_letter_that_can_be_read_now_is_applied_where_it_stood(rig: Rigs) -> None:
    one = letters(rig)
    one.sources["shop"].again = upserts("shop.orders", order(1, "1", "A"), order(2, "2", "B"), hi=99)
    assert commands(one).carry_out(REPLAY, {"letters": [1]}) == "1: applied"
    (chunk,) = one.log.snapshot("shop.orders")
    assert (chunk["_partition"].to_pylist(), chunk["_hi"].to_pylist(), chunk["_lo"].to_pylist()) == (
        ["one"] * 2,
        [5, 5],
        [3, 3],
    )
    assert state(one, 1) is LetterState.REPLAYED
    assert one.log.resume("shop")[0] == {"one": Position(5, 1 << 20)}, "this says nothing about where the source stands"
    one.engine.turn(0.0)
    assert sorted(one.results.epochs[-1].models) == ["money", "over"]
    assert commands(one).carry_out(REPLAY, {"letters": [1]}) == "1: replayed already, nothing changed"


def test_a_letter_that_still_cannot_be_read_stays(rig: Rigs) -> None:
    one = letters(rig)
    assert commands(one).carry_out(REPLAY, {"letters": [1, 2]}) == (
        "1: still unreadable: unreadable\n2: the models no longer declare shop.gone"
    )
    assert (state(one, 1), one.log.epoch) == (LetterState.OPEN, 1)


def test_the_source_is_given_the_letter_as_it_came(rig: Rigs, monkeypatch: pytest.MonkeyPatch) -> None:
    one = letters(rig)
    given: list[DeadLetter] = []

    def reread(letter: DeadLetter) -> DeadLetter:
        given.append(letter)
        return letter

    monkeypatch.setattr(one.sources["shop"], "reread", reread)
    commands(one).carry_out(REPLAY, {"letters": [1]})
    assert given == [DeadLetter("shop.orders", "one", Position(5, 3), b"1;?", "unreadable", "line 3")]


def test_what_was_changed_later_is_not_undone(rig: Rigs) -> None:
    one = letters(rig)
    one.take(batch(upserts("shop.orders", order(1, "9", "later"), hi=6), hi=6))
    one.sources["shop"].again = upserts("shop.orders", *[order(n, "1", f"c{n}") for n in (3, 1, 2)])
    assert commands(one).carry_out(REPLAY, {"letters": [1]}) == "1: applied, but for 1 of 3 rows, which were changed later"
    assert orders(one) == {1: "later", 2: "c2", 3: "c3"}
    (_, replayed) = one.log.read(1)
    assert replayed.changes[0].rows["order_id"].to_pylist() == [3, 2], "in the order in which the source gave them"
    assert np.all(replayed.changes[0].ops == 0)


def test_a_letter_whose_rows_were_all_changed_later_is_done_with(rig: Rigs) -> None:
    one = letters(rig)
    one.take(batch(upserts("shop.orders", order(1, "9", "later"), hi=6), hi=6))
    one.sources["shop"].again = upserts("shop.orders", order(1, "1", "c1"))
    assert commands(one).carry_out(REPLAY, {"letters": [1]}) == "1: not applied, its row was changed later"
    assert (orders(one), state(one, 1)) == ({1: "later"}, LetterState.SUPERSEDED)
