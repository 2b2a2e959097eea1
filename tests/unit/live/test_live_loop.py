"""Given batches of sources, when the loop turns, then each is in the log once, and its rows are published when it is due."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.polling import until
from tests.unit.live.engines import NOON, Rig, Rigs, Told, batch
from tests.unit.live.histories import item, order, upserts
from tests.unit.live.plans import ITEMS, ORDERS, pick, plan, scan, sums
from tests.unit.live.seen import NARROW, let_go, logged_orders, money, published
from topline.changes import DeadLetter, Position, SchemaChange, SourceBatch
from topline.errors import ModelHalted, TransientError
from topline.results import Replace

DOWN = TransientError("the results database does not answer")


# a turn


def test_a_batch_is_in_the_log_told_to_its_source_and_published_in_one_turn(rig: Rigs) -> None:
    one = rig(sums())
    assert one.engine.turn(0.0) is False
    letter = DeadLetter("shop.orders", "one", Position(3, 9), b"?", "unreadable", "line 9")
    one.give(batch(money(1, hi=3), money(2, hi=3), hi=3, dead_letters=(letter,), memory={"k": b"v"}))
    assert one.engine.turn(0.0) is True
    assert (one.log.epoch, logged_orders(one), let_go(one)) == (1, [1, 2], Position(3, 1 << 20))
    assert one.log.resume("shop") == ({"one": Position(3, 1 << 20)}, {"k": b"v"})
    assert one.log.letters.count() == 1
    (_, epoch) = one.results.epochs
    assert (epoch.number, sorted(epoch.models), epoch.held) == (1, ["money", "over"], frozenset())
    assert epoch.source_times == {"shop": NOON + timedelta(minutes=3)} == one.log.source_times() == one.engine.source_times
    assert epoch.positions == {"shop": {"one": Position(3, 1 << 20)}}
    counts = one.engine.counts
    assert (counts.batches, counts.changes, counts.dead_letters, dict(counts.by_source)) == (1, 2, 1, {"shop": 2})
    assert counts.rows_read == one.engine.machinery.dataflow.rows_read
    assert not one.engine.caught_up()
    assert one.engine.turn(0.0) is False
    assert one.log.published_epochs() == {"money": 1, "over": 1}
    assert one.engine.caught_up()


def test_what_the_log_has_is_not_taken_again_after_a_restart(rig: Rigs) -> None:
    rig(sums()).take(batch(money(1, hi=3), hi=3))
    again = rig(sums())
    assert until(lambda: again.sources["shop"].resumes)[-1].positions == {"one": Position(3, 1 << 20)}
    again.take(batch(money(7, hi=3), hi=3), batch(money(2, hi=4), hi=4))
    assert (logged_orders(again), again.engine.counts.changes) == ([1, 2], 1)
    assert again.engine.source_times == {"shop": NOON + timedelta(minutes=4)}


def test_the_time_of_a_source_that_tells_none_stays(rig: Rigs) -> None:
    one = rig(sums())
    one.take(batch(money(1)))
    one.take(replace(batch(money(2, hi=2), hi=2), time=None))
    assert one.engine.source_times == {"shop": NOON + timedelta(minutes=1)}


def test_batches_that_wait_are_taken_at_once_up_to_the_size_of_a_batch(rig: Rigs) -> None:
    one = rig(sums(), batch_rows=3)
    one.give(*[batch(money(n, hi=n), hi=n) for n in range(1, 6)])
    one.engine.turn(0.0)
    assert (one.log.epoch, logged_orders(one), one.readers.queued()) == (1, [1, 2, 3], 2)
    assert one.engine.counts.batches == 1
    one.engine.turn(0.0)
    assert (one.log.epoch, logged_orders(one)) == (2, [1, 2, 3, 4, 5])


def test_changes_of_tables_that_no_model_reads_are_not_kept(rig: Rigs) -> None:
    one = rig(sums())
    other = replace(money(2), table="shop.other")
    one.take(batch(other, money(1)))
    assert (logged_orders(one), set(one.log.schemas())) == ([1], set(sums().tables))


def test_a_batch_that_changes_no_result_is_told_as_an_epoch_all_the_same(rig: Rigs) -> None:
    one = rig(sums())
    one.take(batch(money(1)))
    one.take(batch(money(1, hi=2), hi=2))
    assert published(one)[-1] == (2, [])
    tries = one.results.tries
    one.engine.turn(0.0)
    assert one.results.tries == tries, "and then there is nothing to tell"


def test_rejected_sales_are_counted_where_the_project_has_them(rig: Rigs) -> None:
    assert rig(sums()).engine.rejected() == 0
    refused = plan({"rejected_sales": pick(scan(ORDERS), "order_id")}, {"rejected_sales": ("order_id",)})
    one = rig(refused)
    one.take(batch(money(1), money(2)))
    assert one.engine.rejected() == 2
    hidden = replace(refused, models={n: replace(m, published=False) for n, m in refused.models.items()})
    assert rig(hidden).engine.rejected() == 0


# when it is published


def test_without_a_backlog_each_batch_is_published_at_once(rig: Rigs) -> None:
    one = rig(sums(), batch_rows=100, interval=5.0)
    for number in range(1, 4):
        one.take(batch(money(number, hi=number), hi=number))
    assert [number for number, _ in published(one)][-3:] == [1, 2, 3]


def backlog(rig: Rigs, *sources: Told, interval: float = 0.0) -> Rig:
    """Two batches of 30 rows are taken at a time, and a tenth of that is a backlog."""
    one = rig(sums(), *sources, batch_rows=30, interval=interval)
    one.engine.turn(0.0)
    one.engine.turn(0.0)
    one.results.epochs.clear()
    one.clock.now += 100  # publishing is due
    return one


def rows(first: int, count: int) -> SourceBatch:
    return batch(upserts("shop.orders", *[order(n, "1") for n in range(first, first + count)], hi=first), hi=first)


def test_a_tenth_of_a_batch_that_waits_is_a_backlog(rig: Rigs) -> None:
    one = backlog(rig, interval=4.0)
    one.give(rows(1, 30), rows(101, 3))
    one.engine.turn(0.0)
    assert published(one) == [(1, ["money", "over"])]
    one.give(rows(201, 30), rows(301, 3))
    one.engine.turn(0.0)  # takes the three, and 30 more
    assert (one.log.epoch, one.readers.queued_rows) == (2, 3)
    one.clock.now += 3.9
    one.engine.turn(0.0)
    assert (one.log.epoch, len(one.results.epochs)) == (3, 2), "what waits no more is published at once"


def test_less_than_a_tenth_that_waits_is_none(rig: Rigs) -> None:
    one = backlog(rig, interval=4.0)
    for number in (1, 3):
        one.give(rows(100 * number, 28), rows(100 * number + 100, 2), rows(100 * number + 150, 2))
        one.engine.turn(0.0)
        one.engine.turn(0.0)
    assert len(one.results.epochs) == 4


def test_in_a_backlog_it_waits_for_the_interval(rig: Rigs) -> None:
    one = backlog(rig, interval=4.0)
    one.give(*[rows(100 * n, 30) for n in range(1, 8)])
    for seconds, epoch in ((0.0, 1), (0.0, 1), (3.9, 1), (0.2, 4), (0.0, 4), (3.9, 4), (0.0, 7)):
        one.clock.now += seconds
        one.engine.turn(0.0)
        assert one.results.epochs[-1].number == epoch, "the last one is no backlog"


@pytest.mark.parametrize(
    ("seconds", "old", "rest"),
    [(1.0, False, 5.0), (1.0, True, 20.0), (1.7, True, 30.0), (8.0, True, 40.0), (0.1, False, 2.0), (0.2, True, 4.0)],
)
def test_in_a_backlog_publishing_takes_a_part_of_the_time(rig: Rigs, seconds: float, old: bool, rest: float) -> None:
    """A fifth; a twentieth while sales from before are read, if those then wait no longer than half a minute. Here the
    interval is two seconds, which is the least."""
    source = Told()
    source.ended = not old
    one = backlog(rig, source, interval=2.0)
    if not old:
        until(lambda: one.readers.reached_end)
    one.give(*[rows(100 * n, 30) for n in range(1, 7)])
    one.results.seconds = seconds
    began = one.clock.now + seconds  # the fake takes that long at once
    one.engine.turn(0.0)
    one.engine.turn(0.0)  # notes how long it took
    one.results.seconds = 0.0
    assert len(one.results.epochs) == 1
    one.clock.now = began + rest - 0.01
    one.engine.turn(0.0)
    assert len(one.results.epochs) == 1
    one.clock.now = began + rest + 0.01
    one.engine.turn(0.0)
    assert len(one.results.epochs) == 2


def test_while_the_results_do_not_answer_sources_are_read_on(rig: Rigs) -> None:
    one = rig(sums())
    one.results.down = True
    one.take(batch(money(1)))
    one.take(batch(money(2, hi=2), hi=2))
    assert (one.log.epoch, published(one), one.engine.caught_up()) == (2, [], False)
    one.results.down = False
    for _ in range(3):
        one.clock.now += 60
        one.engine.turn(0.0)
    assert [number for number, _ in published(one)][-1] == 2
    assert one.engine.caught_up()


# the end of a run


def test_a_run_until_idle_takes_all_that_sources_held_and_publishes_it(rig: Rigs) -> None:
    turns: list[bool] = []
    another = Told()
    for number in range(1, 4):
        another.give(batch(money(number, hi=number), hi=number))
    one = rig(sums(), another, start=False)
    one.engine.run(lambda: False, lambda: turns.append(one.readers.reached_end), until_idle=True)
    assert turns[-1]
    assert logged_orders(one) == [1, 2, 3]
    assert one.results.epochs[-1].number == one.log.epoch
    assert one.log.published_epochs()["money"] == one.log.epoch
    assert (one.log.get("checkpoint_epoch"), one.engine.caught_up()) == (str(one.log.epoch), True)
    assert another.let_go[-1] == {"one": Position(3, 1 << 20)}


def stopped(one: Rig, *, until_idle: bool = False) -> float:
    """Run with one order in the queue, and stop once it is folded; how many seconds stopping took."""
    one.sources["shop"].give(batch(money(1)))
    ends: list[float] = []

    def stop() -> bool:
        if one.log.epoch and not ends:
            ends.append(one.clock.now)
        return bool(ends) and not until_idle

    one.engine.run(stop, lambda: None, until_idle=until_idle)
    return one.clock.now - ends[0] if ends else one.clock.now


def test_a_run_that_is_stopped_publishes_what_is_folded(rig: Rigs) -> None:
    one = rig(sums(), start=False)
    assert stopped(one) < 1.0
    assert one.results.epochs[-1].number == 1
    assert one.log.published_epochs() == {"money": 1, "over": 1}
    assert one.log.get("checkpoint_epoch") == "1"


def test_stopping_waits_two_seconds_for_results_that_do_not_answer(rig: Rigs) -> None:
    one = rig(sums(), start=False)
    one.results.down = True
    assert stopped(one) == pytest.approx(2.0, abs=0.1)
    assert one.log.get("checkpoint_epoch") == "1", "the log has it, and the next run publishes it"


def test_stopping_waits_fifteen_seconds_for_results_that_are_slow(rig: Rigs) -> None:
    one = rig(sums(), start=False)
    one.clock.workers["publish"].waits = True
    assert stopped(one) == pytest.approx(15.0, abs=0.1)


def test_a_run_until_idle_gives_results_that_do_not_answer_fifteen_seconds(rig: Rigs) -> None:
    one = rig(sums(), start=False)
    one.results.down = True
    before = one.clock.now
    one.sources["shop"].give(batch(money(1)))
    one.engine.run(lambda: False, lambda: None, until_idle=True)
    assert one.clock.now - before == pytest.approx(15.0, abs=0.2)


def test_a_run_waits_for_changes_longer_once_all_is_published(rig: Rigs, monkeypatch: pytest.MonkeyPatch) -> None:
    one = rig(sums(), start=False)
    waits: list[tuple[bool, float]] = []
    turn = one.engine.turn

    def watched(timeout: float) -> bool:
        waits.append((one.engine.caught_up(), timeout))
        return turn(timeout)

    monkeypatch.setattr(one.engine, "turn", watched)
    one.engine.run(lambda: len(waits) > 3, lambda: None)
    assert dict(waits) == {False: 0.002, True: 0.05}


# what a source brings that cannot be taken


def test_a_source_whose_row_no_table_can_take_halts_and_the_others_go_on(rig: Rigs) -> None:
    shop, branches = Told("shop"), Told("branches")
    one = rig(sums(), shop, branches)
    one.take(batch(money(1)))
    one.give(batch(upserts("shop.salesmen", ("Ana", None, None), hi=2), money(2, hi=2), hi=2))
    one.give(batch(hi=5, memory={"k": b"v"}), source="branches")
    one.engine.turn(0.0)
    state = one.readers.states["shop"]
    until(lambda: one.readers.states["shop"].status == "halted")
    assert "NULL in the key column salesman_id" in state.error
    assert one.log.resume("branches") == ({"one": Position(5, 1 << 20)}, {"k": b"v"})
    assert (one.log.resume("shop")[0], logged_orders(one)) == ({"one": Position(1, 1 << 20)}, [1])
    with one.readers.paused("shop"):
        pass
    one.take(batch(money(2, hi=2), hi=2))
    assert logged_orders(one) == [1, 2], "what was refused is admitted once the source sends it right"


def test_a_source_is_not_blamed_for_the_rows_of_another_one(rig: Rigs) -> None:
    tables = {**sums().tables, "branches.items": replace(ITEMS, name="branches.items")}
    one = rig(replace(sums(), tables=tables), Told("shop"), Told("branches"))
    one.give(batch(upserts("shop.salesmen", ("Ana", None, None))))
    one.give(batch(replace(upserts("shop.items", item(1, 5)), table="branches.items")), source="branches")
    one.engine.turn(0.0)
    until(lambda: one.readers.states["shop"].status == "halted")
    assert (one.readers.states["branches"].error, one.log.epoch) == ("", 1)


def test_a_batch_that_is_refused_holds_nothing_that_it_told(rig: Rigs) -> None:
    """Its new columns and its copy come again with it."""
    one = rig(sums())
    bad = batch(SchemaChange("shop.orders", NARROW), upserts("shop.salesmen", ("Ana", None, None)), copying=True)
    one.give(bad)
    one.engine.turn(0.0)
    assert (one.engine.holds.tables, one.engine.holds.copying) == ({}, set())


# models that stand still


def test_while_a_source_is_copied_its_models_are_held_over_restarts_too(rig: Rigs) -> None:
    one = rig(sums())
    one.take(batch(money(1), copying=True))
    assert published(one)[-1] == (1, [])
    assert one.results.epochs[-1].held == {"money", "over", "pieces"}
    assert one.engine.caught_up()
    again = rig(sums())
    again.publication.note_whole("money")
    again.engine.turn(0.0)
    assert again.results.epochs[-1].held == {"money", "over", "pieces"}
    again.take(batch(money(2, hi=2), hi=2))
    assert published(again)[-1] == (2, ["money", "over"])
    assert isinstance(again.results.epochs[-1].models["money"], Replace)
    assert rig(sums()).engine.holds.copying == set()


def test_a_model_that_halts_is_held_and_remembered_as_stale_until_it_is_published(rig: Rigs) -> None:
    one = rig(sums())
    one.take(batch(money(1, "99999999999999"), money(2, "99999999999999"), upserts("shop.items", item(1, 5))))
    assert set(one.engine.holds.models) == {"money", "over"}
    assert published(one)[-1] == (1, ["pieces"])
    assert one.log.get("stale_models") == '["money", "over"]'
    again = rig(sums())
    assert again.log.get("stale_models") == '["money", "over"]'
    again.engine.holds.models.clear()
    again.publication.note({"money": again.engine.machinery.dataflow.table("shop.orders").select([])})
    again.engine._published(2, ["money"])
    assert again.log.get("stale_models") == '["over"]'


def test_a_model_that_postgresql_refuses_is_held_from_then_on(rig: Rigs) -> None:
    one = rig(sums())
    one.results.failures.append(ModelHalted("model money: PostgreSQL cannot hold its rows", model="money"))
    one.take(batch(money(1), upserts("shop.items", item(1, 5))))
    one.engine.turn(0.0)
    assert one.engine.holds.models == {"money": "PostgreSQL cannot hold its rows", "over": "it reads money, which is halted"}
    one.take(batch(money(2, hi=2), hi=2))
    assert published(one)[-1] == (2, [])
    assert one.engine.caught_up()
