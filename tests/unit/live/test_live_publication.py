"""What is dirty reaches PostgreSQL once, as of one epoch; what fails is tried again, and a halted model is left out."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from tests.unit.live.engines import NOON, ByHand, Clock, Results
from tests.unit.live.histories import item, order, upserts
from tests.unit.live.plans import sums
from topline.changes import Position
from topline.errors import ModelHalted, StateError, TransientError
from topline.live import publication
from topline.live.dataflow import Dataflow
from topline.live.publication import Publication
from topline.results import Changed, Opened, RefusedError, Replace

NONE: frozenset[str] = frozenset()
DOWN = TransientError("the results database does not answer")


class Desk:
    """A publication over two orders and an item; `told`: the epochs and models that were published, `halted`: those told."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.results = Results(clock)
        self.dataflow = Dataflow(sums())
        self.publication = Publication(self.results, self.dataflow, sums().models)
        self.worker: ByHand = clock.workers["publish"]
        self.told: list[tuple[int, list[str]]] = []
        self.halted: list[tuple[str, str]] = []

    def change(self, *parts: object) -> None:
        self.publication.note(self.dataflow.apply(parts).dirty)  # type: ignore[arg-type]

    def settle(self) -> None:
        self.publication.settle(lambda epoch, models: self.told.append((epoch, models)), lambda *why: self.halted.append(why))

    def offer(self, number: int, held: frozenset[str] = NONE, times: Mapping[str, datetime] | None = None) -> bool:
        return self.publication.offer(number, times or {}, {}, held)

    def after(self, seconds: float) -> int:
        """Settle so much later; how many tries there were by then."""
        self.clock.now += seconds
        self.settle()
        return self.results.tries


@pytest.fixture
def desk(clock: Clock) -> Desk:
    return Desk(clock)


def changed(desk: Desk, model: str, at: int = -1) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    found = desk.results.epochs[at].models[model]
    assert isinstance(found, Changed)
    return found.keys.to_pylist(), found.rows.to_pylist()


def test_keys_that_changed_are_handed_over_with_the_rows_that_they_have_now(desk: Desk) -> None:
    desk.change(upserts("shop.orders", order(1, "10", "A"), order(2, "20", "B")))
    desk.change(upserts("shop.orders", order(2, "5", "A")))
    assert desk.publication.dirty()
    assert desk.publication.offer(7, {"shop": NOON}, {"shop": {"": Position(3, 4)}}, NONE)
    desk.settle()
    (epoch,) = desk.results.epochs
    assert (epoch.number, epoch.source_times, epoch.positions, epoch.held) == (
        7, {"shop": NOON}, {"shop": {"": Position(3, 4)}}, NONE,
    )  # fmt: skip
    keys, rows = changed(desk, "money")
    assert sorted(str(key["city"]) for key in keys) == ["A", "B"]
    assert [(row["city"], row["total"]) for row in rows] == [("A", 15)]
    assert desk.results.asked["money"] == 4  # each batch tells its own keys
    assert desk.told == [(7, list(epoch.models))]
    assert (desk.publication.published_epoch, desk.publication.busy, desk.publication.dirty()) == (7, False, False)


def test_an_epoch_has_what_changed_since_the_last_one(desk: Desk) -> None:
    desk.change(upserts("shop.orders", order(1, "10", "A")))
    desk.offer(1)
    desk.settle()
    desk.change(upserts("shop.items", item(1, 3)))
    desk.offer(2)
    desk.settle()
    assert [list(epoch.models) for epoch in desk.results.epochs] == [["money", "over"], ["pieces"]]


def test_a_model_that_is_held_waits_with_its_keys(desk: Desk) -> None:
    desk.change(upserts("shop.orders", order(1, "10", "A")), upserts("shop.items", item(1, 3)))
    held = frozenset({"money", "over"})
    desk.offer(1, held)
    desk.settle()
    assert list(desk.results.epochs[0].models) == ["pieces"]
    assert desk.results.epochs[0].held == held
    assert (desk.publication.dirty(held), desk.publication.dirty()) == (False, True)
    desk.offer(2)
    desk.settle()
    assert changed(desk, "money")[0] == [{"city": "A"}]


def test_whole_models_are_replaced_and_so_are_those_of_which_most_changed(desk: Desk) -> None:
    desk.change(upserts("shop.orders", order(1, "10", "A"), order(2, "20", "B")), upserts("shop.items", item(1, 3)))
    desk.publication.note_whole("pieces")
    desk.results.whole = {"money"}
    desk.offer(1)
    models = desk.results.epochs[0].models
    assert isinstance(models["over"], Changed)
    for name, count in (("money", 2), ("pieces", 1)):
        found = models[name]
        assert isinstance(found, Replace)
        assert sum(len(chunk) for chunk in found.chunks) == count


def test_keys_of_many_batches_are_handed_over_once(desk: Desk) -> None:
    for number in range(200):
        desk.change(upserts("shop.orders", order(1, str(number), "A")))
    desk.offer(1)
    assert changed(desk, "money")[0] == [{"city": "A"}]
    assert desk.results.asked["money"] <= 64


def test_keys_of_two_batches_are_handed_over_together(desk: Desk) -> None:
    desk.change(upserts("shop.orders", order(1, "10", "A")))
    desk.change(upserts("shop.orders", order(2, "10", "B")))
    desk.offer(1)
    assert sorted(str(key["city"]) for key in changed(desk, "money")[0]) == ["A", "B"]


def test_before_the_first_epoch_nothing_is_published_and_nothing_fails(desk: Desk) -> None:
    one = desk.publication
    assert (one.published_epoch, one.last_seconds, one.last_error, one.freshness_ms) == (0, 0.0, "", None)
    assert (one.opened, one.busy, one.dirty()) == (True, False, False)


def test_what_is_not_published_and_what_has_no_keys_is_not_dirty(desk: Desk) -> None:
    desk.publication.note({"staging": pa.table({"id": [1]}), "money": pa.table({"city": pa.array([], pa.string())})})
    assert not desk.publication.dirty()


def test_while_one_transaction_is_under_way_no_other_begins(desk: Desk) -> None:
    desk.worker.waits = True
    desk.change(upserts("shop.orders", order(1, "10", "A")))
    assert desk.offer(1)
    desk.change(upserts("shop.items", item(1, 3)))
    desk.settle()
    assert not desk.offer(2)
    assert (desk.publication.busy, desk.publication.dirty(), desk.worker.waiting, desk.told) == (True, True, 1, [])
    desk.worker.work()
    desk.settle()
    assert desk.told == [(1, ["money", "over"])]
    assert desk.offer(2)
    assert desk.worker.waiting == 1


def test_how_long_it_took_and_how_fresh_it_is(desk: Desk) -> None:
    desk.results.seconds = 3.0
    desk.change(upserts("shop.orders", order(1, "10", "A")))
    desk.offer(1, times={"shop": NOON - timedelta(seconds=2), "branches": NOON - timedelta(seconds=9)})
    assert desk.publication.freshness_ms is None
    desk.settle()
    assert desk.publication.last_seconds == 3.0
    assert desk.publication.freshness_ms == pytest.approx(5000)
    desk.offer(2, times={"shop": NOON})
    desk.settle()
    assert desk.publication.freshness_ms == pytest.approx(5000), "an epoch without changes makes nothing visible"


def test_a_source_ahead_of_our_clock_is_fresh(desk: Desk) -> None:
    desk.change(upserts("shop.orders", order(1, "10", "A")))
    desk.offer(1, times={"shop": NOON + timedelta(hours=1)})
    desk.settle()
    assert desk.publication.freshness_ms == 0.0


def test_freshness_is_unknown_where_no_source_tells_its_time(desk: Desk) -> None:
    desk.change(upserts("shop.orders", order(1, "10", "A")))
    desk.offer(1)
    desk.settle()
    assert desk.publication.freshness_ms is None


# failures


def test_a_passing_failure_is_tried_again_with_the_same_epoch(desk: Desk) -> None:
    desk.results.failures.append(DOWN)
    desk.change(upserts("shop.orders", order(1, "10", "A")))
    desk.offer(1)
    desk.settle()
    assert (desk.publication.last_error, desk.publication.busy, desk.told) == (str(DOWN), True, [])
    assert not desk.offer(2)
    desk.after(60)
    desk.settle()
    assert (desk.told, desk.publication.last_error, desk.publication.failing_since) == ([(1, ["money", "over"])], "", None)
    assert changed(desk, "money")[0] == [{"city": "A"}]


def test_each_failure_waits_twice_as_long_as_the_one_before_up_to_half_a_minute(desk: Desk) -> None:
    desk.results.down = True
    desk.change(upserts("shop.orders", order(1, "10", "A")))
    desk.offer(1)
    for number in range(1, 14):
        desk.settle()  # notes the failure
        longest = min(30.0, 0.2 * 2**number)
        assert desk.after(longest * 0.499) == number
        assert desk.after(longest * 0.502) == number + 1


def test_the_waits_are_drawn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that engines that lost one server do not come back all at once."""
    asked: list[tuple[float, ...]] = []

    def uniform(*between: float) -> float:
        asked.append(between)
        return 0.75

    monkeypatch.setattr("topline.live.publication.random.uniform", uniform)
    desk.results.down = True
    desk.offer(1)
    desk.settle()
    assert desk.after(0.29) == 1
    assert desk.after(0.011) == 2
    assert asked == [(0.5, 1.0)]


def _since(desk: Desk) -> datetime:
    assert desk.publication.failing_since is not None
    return desk.publication.failing_since


def test_failing_since_the_first_failure_until_one_goes_through(desk: Desk) -> None:
    assert (desk.publication.failing_for, desk.publication.failing_since) == (0.0, None)
    desk.results.failures.extend([DOWN, DOWN])
    desk.offer(1)
    desk.settle()
    since = _since(desk)
    assert abs((datetime.now(UTC) - since).total_seconds()) < 60
    assert desk.publication.failing_for == 0.0
    assert desk.after(10) == 2
    desk.settle()
    assert desk.publication.failing_for == 10
    assert _since(desk) == since
    assert desk.after(20) == 3
    desk.settle()
    assert (desk.publication.failing_for, desk.publication.failing_since) == (0.0, None)
    desk.results.failures.append(DOWN)
    desk.offer(2)
    desk.settle()
    assert desk.after(5) == 5  # waits begin anew: the first one is short
    assert desk.publication.failing_for == 5


def test_a_model_that_cannot_be_held_is_told_and_the_others_are_published_without_it(desk: Desk) -> None:
    desk.results.failures.append(ModelHalted("model money: PostgreSQL cannot hold its rows", model="money"))
    desk.change(upserts("shop.orders", order(1, "10", "A")), upserts("shop.items", item(1, 3)))
    desk.offer(1, frozenset({"over"}))
    desk.settle()
    assert desk.halted == [("money", "model money: PostgreSQL cannot hold its rows")]
    desk.settle()
    (epoch,) = desk.results.epochs
    assert (list(epoch.models), sorted(epoch.held), desk.told) == (["pieces"], ["money", "over"], [(1, ["pieces"])])


def test_what_another_try_does_not_heal_is_raised(desk: Desk) -> None:
    desk.results.failures.append(StateError("the result tables are not as the engine left them"))
    desk.offer(1)
    with pytest.raises(StateError):
        desk.settle()


# a results database that does not answer at the start


class Door:
    """What opens the results: fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0
        self.noted: list[Opened] = []

    def __call__(self) -> Opened:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return Opened(4, {}, frozenset(), ())


def test_nothing_is_published_until_the_results_are_open(desk: Desk) -> None:
    door = Door(DOWN)
    desk.publication.open_later(door, door.noted.append, DOWN)
    assert (desk.publication.opened, desk.publication.busy, desk.publication.last_error) == (False, True, str(DOWN))
    assert not desk.offer(1)
    desk.settle()
    desk.after(0.19)
    assert door.tries == 0
    desk.after(0.22)
    assert door.tries == 1
    desk.settle()  # it failed again, and waits longer
    desk.after(0.39)
    assert (door.tries, desk.publication.opened) == (1, False)
    assert desk.publication.failing_for == pytest.approx(0.8)
    desk.after(0.42)
    assert (door.tries, door.noted) == (2, [])
    desk.settle()
    assert [opened.epoch for opened in door.noted] == [4]
    assert (desk.publication.opened, desk.publication.busy, desk.publication.last_error) == (True, False, "")
    assert (desk.publication.failing_for, desk.publication.failing_since) == (0.0, None)
    assert desk.offer(1)
    desk.settle()
    assert (door.tries, desk.told) == (2, [(1, [])])


def test_while_it_is_being_opened_it_is_not_opened_again(desk: Desk) -> None:
    door = Door()
    desk.worker.waits = True
    desk.publication.open_later(door, door.noted.append, DOWN)
    desk.after(60)
    desk.after(60)
    assert (desk.worker.waiting, desk.publication.opened) == (1, False)
    desk.worker.work()
    desk.settle()
    assert (door.tries, desk.publication.opened, desk.worker.waiting) == (1, True, 0)


def test_who_is_refused_at_the_start_hears_of_it(desk: Desk) -> None:
    door = Door(RefusedError("password authentication failed"))
    desk.publication.open_later(door, door.noted.append, DOWN)
    desk.after(60)
    with pytest.raises(RefusedError):
        desk.settle()


def test_rows_come_from_the_state_that_it_follows(desk: Desk) -> None:
    anew = Dataflow(sums())
    desk.change(upserts("shop.orders", order(1, "10", "A")))
    anew.apply([upserts("shop.orders", order(1, "30", "A"))])
    desk.publication.follow(anew)
    desk.offer(1)
    assert [row["total"] for row in changed(desk, "money")[1]] == [30]


# the end


@pytest.mark.parametrize(("passed", "grace"), [(2, 3.0), (100, 0.0)], ids=["just begun", "hangs"])
def test_at_the_end_what_is_under_way_gets_five_seconds_in_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, passed: int, grace: float
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(publication, "wait", lambda _running, seconds: waited.append(seconds))
    desk.worker.waits = True
    desk.offer(1)
    desk.clock.now += passed
    desk.publication.close()
    assert waited == [grace]
    assert (desk.results.calls, desk.worker.down) == (["give up"], True)


def test_the_end_waits_for_nothing_where_nothing_is_under_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "wait", lambda *_: pytest.fail("nothing runs"))
    desk.publication.close()
    assert (desk.results.calls, desk.worker.down) == (["give up"], True)
