"""Given sources that work, fail and break, when their threads run, then the engine gets all, and each state says why not."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from tests.conformance.hostile import HostileSource, ListOrigin, Sin
from tests.conformance.ledger import Ledger
from tests.polling import until
from topline.changes import Position, SourceBatch
from topline.errors import SourceHalted, TransientError
from topline.sources.base import Resume, Source
from topline.sources.reader import Backoff, Reader, Readers, Status

SOON = Backoff(first=0.01, most=0.05)
ROWS: dict[str, str | None] = {f"k{number}": "v" for number in range(10)}


class Recorder(HostileSource):
    """The list's source; it notes what it is told, and raises `error` when it is to read."""

    def __init__(self, origin: ListOrigin, name: str = "origin") -> None:
        super().__init__(origin, Sin.NONE)
        self.name = name
        self.error: Exception | None = None
        self.acknowledged: list[Mapping[str, Position]] = []
        self.opened: list[Resume] = []
        self.closed = 0

    def open(self, resume: Resume) -> None:
        self.opened.append(resume)
        super().open(resume)

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        if self.error:
            raise self.error
        return super().read(max_rows, timeout)

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        self.acknowledged.append(positions)

    def close(self) -> None:
        self.closed += 1
        super().close()


Start = Callable[..., Readers]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Readers] = []

    def make(sources: Sequence[Source], ledger: Ledger, queue_rows: int = 1000, max_rows: int = 3) -> Readers:
        readers = Readers(sources, lambda _: ledger.resume, max_rows=max_rows, queue_rows=queue_rows, backoff=SOON)
        started.append(readers)
        readers.start()
        return readers

    yield make
    for readers in started:
        assert readers.stop() == []


def commit_all(readers: Readers, ledger: Ledger) -> None:
    while not readers.reached_end:
        if (batch := readers.get(0.05)) is not None:
            ledger.commit(batch)
            readers.acknowledge(batch.source, batch.positions)


@pytest.fixture
def origin() -> ListOrigin:
    origin = ListOrigin()
    origin.put(ROWS)
    origin.put({"last": "x"})
    return origin


def test_the_engine_gets_all_and_the_source_hears_of_commits(start: Start, origin: ListOrigin) -> None:
    source, ledger = Recorder(origin), Ledger()
    readers = start([source], ledger)
    commit_all(readers, ledger)
    assert ledger.rows == {**ROWS, "last": "x"}
    assert until(lambda: source.acknowledged[-1:] == [{"list": Position(2, 1)}])
    assert readers["origin"].state.status is Status.RUNNING


def test_an_unreachable_source_is_tried_again_and_goes_on(start: Start, origin: ListOrigin) -> None:
    source, ledger = Recorder(origin), Ledger()
    readers = start([source], ledger)
    commit_all(readers, ledger)
    origin.interrupt()
    state = until(lambda: readers["origin"].state if readers["origin"].state.attempts > 2 else None)
    assert (state.status, state.error) == (Status.RETRYING, "the list is not reachable")
    assert state.next_retry is not None
    origin.put({"new": "y"})
    origin.mend()
    batch = until(lambda: readers.get(1))
    ledger.commit(batch)
    readers.acknowledge(batch.source, batch.positions)
    assert ledger.rows["new"] == "y"
    assert source.opened[-1].positions == {"list": Position(2, 1)}
    assert readers["origin"].state.error == ""


@pytest.mark.parametrize(
    ("error", "words"), [(SourceHalted("the slot is lost"), "the slot is lost"), (KeyError("bug"), "Traceback")]
)
def test_a_source_that_halts_or_breaks_leaves_the_others_alone(
    start: Start, origin: ListOrigin, error: Exception, words: str
) -> None:
    broken, ledger = Recorder(origin, "broken"), Ledger()
    broken.error = error
    readers = start([broken, Recorder(origin)], ledger)
    commit_all(readers, ledger)
    assert ledger.rows == {**ROWS, "last": "x"}
    state = until(lambda: readers["broken"].state if readers["broken"].state.status is Status.HALTED else None)
    assert words in state.error
    assert broken.closed > 0


def test_a_paused_source_goes_on_from_the_log_even_after_a_halt(start: Start, origin: ListOrigin) -> None:
    source, ledger = Recorder(origin), Ledger()
    source.error = SourceHalted("mend me")
    readers = start([source], ledger)
    until(lambda: readers["origin"].state.status is Status.HALTED)
    with readers.paused("origin"):
        source.error = None
    until(lambda: readers["origin"].reached_end or readers.queued())
    commit_all(readers, ledger)
    assert ledger.rows == {**ROWS, "last": "x"}


def test_a_source_too_busy_to_pause_goes_on_once_it_is_free(start: Start, origin: ListOrigin) -> None:
    source, ledger = Busy(origin), Ledger()
    readers = start([source], ledger)
    until(source.reading.is_set)
    with pytest.raises(TransientError, match="busy"), readers.paused("origin", timeout=0.05):
        pass
    source.free.set()
    commit_all(readers, ledger)
    assert ledger.rows == {**ROWS, "last": "x"}


class Busy(Recorder):
    """Reads nothing until it is free."""

    def __init__(self, origin: ListOrigin) -> None:
        super().__init__(origin)
        self.reading, self.free = threading.Event(), threading.Event()

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        self.reading.set()
        self.free.wait(20)
        return super().read(max_rows, timeout)


def test_a_refused_source_halts_and_gives_nothing_more(start: Start, origin: ListOrigin) -> None:
    readers = start([Recorder(origin)], Ledger())
    until(lambda: readers.queued_rows == 11)
    readers["origin"].refuse("a NULL in the key")
    assert readers.get(0.3) is None
    state = readers["origin"].state
    assert (state.status, state.error) == (Status.HALTED, "a NULL in the key")


def test_each_opening_has_a_number_of_its_own(start: Start, origin: ListOrigin) -> None:
    ledger = Ledger()
    readers = start([Recorder(origin)], ledger)
    first = until(lambda: readers.get(1))
    with readers.paused("origin"):
        pass
    assert until(lambda: readers.get(1)).opening > first.opening > 0


def test_a_full_queue_holds_the_source_back(start: Start, origin: ListOrigin) -> None:
    for number in range(20):
        origin.put({f"more{number}": "v"})
    readers = start([Recorder(origin)], Ledger(), queue_rows=5)
    until(lambda: readers.queued_rows >= 3)
    assert readers.queued_rows <= 5
    assert not readers.reached_end


def test_a_batch_larger_than_the_queue_passes(origin: ListOrigin) -> None:
    reader = Reader(Recorder(origin), Resume, max_rows=100, queue_rows=1)
    reader.start()
    assert len(until(lambda: reader.get(1))) == 10
    assert reader.stop()


def test_sources_take_turns(start: Start) -> None:
    origins = [ListOrigin(), ListOrigin()]
    for number in range(5):
        for origin in origins:
            origin.put({f"k{number}": "v"})
    readers = start([Named(o, name) for o, name in zip(origins, ("a", "b"), strict=True)], Ledger())
    until(lambda: readers.queued() == 10)
    taken = [until(lambda: readers.get(1)).source for _ in range(10)]
    assert sorted(taken[:2]) == ["a", "b"]
    assert taken == taken[:2] * 5


class Named(HostileSource):
    """Batches under a name of its own."""

    def __init__(self, origin: ListOrigin, name: str) -> None:
        super().__init__(origin, Sin.NONE)
        self.name = name

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        batch = super().read(max_rows, timeout)
        return batch and replace(batch, source=self.name)


def test_a_retry_waits_until_the_log_has_what_was_read(start: Start, origin: ListOrigin) -> None:
    """Else the source would be opened at a place that the log is about to leave."""
    source, ledger = Recorder(origin), Ledger()
    readers = start([source], ledger)
    until(lambda: readers.queued_rows == 11)
    origin.interrupt()
    until(lambda: readers["origin"].state.status is Status.RETRYING)
    origin.mend()
    while ledger.positions.get("list") != (2, 1):
        batch = until(lambda: readers.get(1))
        ledger.commit(batch)
        readers.acknowledge(batch.source, batch.positions)
    until(lambda: readers["origin"].state.status is Status.RUNNING)
    assert source.opened[-1].positions == {"list": Position(2, 1)}


def test_backoff_grows_to_its_bound() -> None:
    seconds = [Backoff(first=1, most=10).seconds(attempt) for attempt in range(100)]
    assert all(0.5 * bound <= s <= bound for s, bound in zip(seconds, [1, 2, 4, 8, *[10] * 96], strict=True))
