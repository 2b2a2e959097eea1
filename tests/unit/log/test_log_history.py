"""Whatever the history, and whenever it is folded or reopened, the log's tables are what the last changes of their keys say."""

import contextlib
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.log.histories import ORDERS, PROJECT, SALES, SCHEMAS, Truth, apply, changes, order, table_of
from topline.changes import DELETE, UPSERT, TableChanges
from topline.log import CHECKPOINT, Log, LogEntry, LogReader, Pin

OPS = st.sampled_from([UPSERT, UPSERT, DELETE])
CITIES = st.sampled_from(["Rome", "Oslo", "Ürümqi", None])
PARTITIONS = st.sampled_from(["p", "q"])


@st.composite
def parts(draw: st.DrawFn) -> TableChanges:
    """A few changes of few keys, so that keys meet again."""
    cells = draw(st.lists(st.tuples(st.integers(0, 6), CITIES, OPS), min_size=1, max_size=6))
    ops, partition = [op for _, _, op in cells], draw(PARTITIONS)
    if draw(st.booleans()):
        return changes(ORDERS, [order(key, city) for key, city, _ in cells], ops=ops, partition=partition)
    return changes(SALES, [("ab"[key % 2], key // 2, city) for key, city, _ in cells], ops=ops, partition=partition)


class Histories(RuleBasedStateMachine):
    """`truths`: the tables as they were at each epoch. Epochs below the floor may be gone; all others must be right."""

    @initialize()
    def start(self) -> None:
        self.stack = contextlib.ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.log = Log.open(self.folder, PROJECT)
        self.log.declare(SCHEMAS)
        self.truths: list[Truth] = [{}]
        self.checkpoint = 0
        self.pins: list[contextlib.AbstractContextManager[Pin]] = []

    @rule(entry=st.lists(parts(), max_size=4))
    def append(self, entry: list[TableChanges]) -> None:
        truth = {name: dict(table) for name, table in self.truths[-1].items()}
        for part in entry:
            apply(truth, part)
        assert self.log.append(LogEntry(changes=entry)) == len(self.truths)
        self.truths.append(truth)

    @rule(back=st.integers(0, 3))
    def fold(self, back: int) -> None:
        self.log.compact(through=max(self.log.epoch - back, 0))

    @rule()
    def reopen(self) -> None:
        self._unpin()
        self.log.close()
        self.log = Log.open(self.folder, PROJECT)

    @rule()
    def save_a_checkpoint(self) -> None:
        self.checkpoint = self.log.epoch
        self.log.set(CHECKPOINT, str(self.checkpoint))

    @precondition(lambda self: len(self.pins) < 2)
    @rule()
    def pin(self) -> None:
        pin = self.log.pin()
        assert pin.__enter__().epoch == self.log.floor
        self.pins.append(pin)

    @precondition(lambda self: self.pins)
    @rule()
    def unpin(self) -> None:
        self.pins.pop(0).__exit__(None, None, None)

    @rule(choice=st.floats(0, 1))
    def read_some_epoch(self, choice: float) -> None:
        epoch = self.log.floor + round(choice * (self.log.epoch - self.log.floor))
        with LogReader.open(self.folder, PROJECT) as reader:
            self._check(reader, epoch)

    @rule()
    def restart_from_the_checkpoint(self) -> None:
        truth = {name: dict(table) for name, table in self.truths[self.checkpoint].items()}
        for batch in self.log.read(self.checkpoint):
            for part in batch.changes:
                apply(truth, part)
        assert _filled(truth) == _filled(self.truths[-1])

    @invariant()
    def the_latest_is_right(self) -> None:
        self._check(self.log, None)

    def _check(self, reader: LogReader, epoch: int | None) -> None:
        truth = self.truths[-1 if epoch is None else epoch]
        assert {name: table_of(reader, name, epoch) for name in SCHEMAS} == {name: truth.get(name, {}) for name in SCHEMAS}

    def _unpin(self) -> None:
        while self.pins:
            self.unpin()

    def teardown(self) -> None:
        self._unpin()
        self.log.close()
        self.stack.close()


def _filled(truth: Truth) -> Truth:
    return {name: table for name, table in truth.items() if table}


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
