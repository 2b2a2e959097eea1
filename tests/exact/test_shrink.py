"""Given a history that fails for one change among many, when it is shrunk, then that change is what is left."""

from random import Random

from tests.exact.history import Change, Event, Histories, History
from tests.exact.shrink import shrunk
from tests.exact.tables import shop
from topline.changes import DELETE


def events(history: History) -> list[Event]:
    return [event for batch in history for delivery in batch for event in delivery.events]


def culprits(history: History) -> list[Change]:
    return [c for event in events(history) if event.table == "shop.men" for c in event.changes if c[0] == DELETE]


def test_one_change_of_one_event_of_one_batch_is_left() -> None:
    history = Histories(Random(4), shop(8)).history(9)
    assert len(culprits(history)) > 1
    small = shrunk(history, lambda candidate: bool(culprits(candidate)), tries=2000)
    assert [len(event.changes) for event in events(small)] == [1]
    assert [(d.again, d.merged, d.parts) for batch in small for d in batch] == [(0, False, 1)]
    assert len(culprits(small)) == 1


def test_what_it_takes_together_stays_together() -> None:
    """Two batches that fail only after each other."""
    history = Histories(Random(5), shop(8)).history(9)

    def fails(candidate: History) -> bool:
        tables = [event.table for event in events(candidate)]
        return "shop.lines" in tables and "branches.sales" in tables[tables.index("shop.lines") :]

    small = shrunk(history, fails, tries=2000)
    assert [event.table for event in events(small)] == ["shop.lines", "branches.sales"]
