"""Whatever the history, and whenever it is folded or reopened, the log's tables are what the last changes of their keys say."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.log.histories import ORDERS, PROJECT, SALES, SCHEMAS, Truth, apply, changes, order, table_of
from topline.changes import DELETE, UPSERT, TableChanges
from topline.log import CHECKPOINT, Log, LogEntry, LogReader, Pin

OPS = st.sampled_from([UPSERT, UPSERT, DELETE])
CITIES = st.sampled_from(["Rome", "Oslo", "Ürümqi", None])
KEYS = 12
PARTITIONS = st.sampled_from(["p", "q"])


@st.composite
def parts(draw: st.DrawFn) -> TableChanges:
    """A few changes of few keys, so that keys meet again."""
    cells = draw(st.lists(st.tuples(st.integers(0, KEYS - 1), CITIES, OPS), min_size=1, max_size=4))
    ops, partition = [op for _, _, op in cells], draw(PARTITIONS)
    if draw(st.booleans()):
        return changes(ORDERS, [order(key, city) for key, city, _ in cells], ops=ops, partition=partition)
    return changes(SALES, [("ab"[key % 2], key // 2, city) for key, city, _ in cells], ops=ops, partition=partition)


class History:
    """A log and the tables as they were at each of its epochs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = Log.open(folder, PROJECT)
        self.log.declare(SCHEMAS)
        self.truths: list[Truth] = [{}]
        self.checkpoint = 0
        self.pins: list[tuple[AbstractContextManager[Pin], int]] = []
        self._fill()

    def _fill(self) -> None:
        """Every key once, folded: so that what comes after makes smaller segments of its own."""
        orders = [order(key, "Bonn") for key in range(KEYS)]
        self.append([changes(ORDERS, orders), changes(SALES, [("ab"[key % 2], key // 2, "Bonn") for key in range(KEYS)])])
        self.fold(0)

    def append(self, entry: list[TableChanges]) -> None:
        truth = {name: dict(table) for name, table in self.truths[-1].items()}
        for part in entry:
            apply(truth, part)
        assert self.log.append(LogEntry(changes=entry)) == len(self.truths)
        self.truths.append(truth)

    def fold(self, back: int) -> None:
        self.log.compact(through=max(self.log.epoch - back, 0))
        assert all(self.log.floor <= epoch for _, epoch in self.pins)

    def reopen(self) -> None:
        self.log.close()
        self.log = Log.open(self.folder, PROJECT)
        self.pins.clear()  # of a process that is gone

    def save_a_checkpoint(self) -> None:
        self.checkpoint = self.log.epoch
        self.log.set(CHECKPOINT, str(self.checkpoint))

    def pin(self) -> None:
        pin = self.log.pin()
        self.pins.append((pin, pin.__enter__().epoch))

    def unpin(self) -> None:
        if self.pins:
            self.pins.pop(0)[0].__exit__(None, None, None)

    def check(self, choice: float) -> None:
        """The latest epoch, the oldest readable one, some one between, and the changes since the checkpoint."""
        between = self.log.floor + round(choice * (self.log.epoch - self.log.floor))
        with LogReader.open(self.folder, PROJECT) as reader:
            for epoch in {self.log.epoch, self.log.floor, between}:
                truth = self.truths[epoch]
                assert {n: table_of(reader, n, epoch) for n in SCHEMAS} == {n: truth.get(n, {}) for n in SCHEMAS}, epoch
        restarted = {name: dict(table) for name, table in self.truths[self.checkpoint].items()}
        for batch in self.log.read(self.checkpoint):
            for part in batch.changes:
                apply(restarted, part)
        assert _filled(restarted) == _filled(self.truths[-1])


def _filled(truth: Truth) -> Truth:
    return {name: table for name, table in truth.items() if table}


Step = Callable[[History], None]


def append(entry: list[TableChanges]) -> Step:
    return lambda history: history.append(entry)


def fold(back: int) -> Step:
    return lambda history: history.fold(back)


def check(choice: float) -> Step:
    return lambda history: history.check(choice)


APPENDS = st.builds(append, st.lists(parts(), max_size=2))
STEPS = st.one_of(
    APPENDS,
    APPENDS,
    st.builds(fold, st.integers(0, 2)),
    st.builds(check, st.floats(0, 1)),
    st.sampled_from([History.reopen, History.save_a_checkpoint, History.pin, History.unpin]),
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, min_size=8, max_size=20), choice=st.floats(0, 1))
def test_every_readable_epoch_is_the_truth_of_its_history(steps: list[Step], choice: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        for step in steps:
            step(history)
        history.check(choice)
        history.log.close()
