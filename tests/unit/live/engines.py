"""An engine without servers: its log in a folder, sources that hand over what they are told, results that are a list."""

import queue
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.polling import until
from topline.changes import DeadLetter, Part, Position, SourceBatch, TableChanges
from topline.errors import TransientError
from topline.live.checkpoint import Checkpoints
from topline.live.holds import Holds
from topline.live.loop import Engine, Machinery
from topline.live.publication import Publication
from topline.live.start import declare_tables, log_resume, rebuild
from topline.log import Log
from topline.models.plan import ProjectPlan
from topline.results import Epoch, Model, Opened, Publisher
from topline.sources.base import Fault, Progress, Resume
from topline.sources.reader import Readers

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """Stands where a module has `time`: seconds pass when the test says so, or the code sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.workers: dict[str, ByHand] = {}

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return NOON.timestamp() + self.now - 1000.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def worker(self, _most: int, thread_name_prefix: str) -> "ByHand":
        """Stands where a module has `ThreadPoolExecutor`."""
        made = self.workers[thread_name_prefix] = ByHand()
        return made


class ByHand(Executor):
    """A worker that does at once what it is given; with `waits`, when the test calls `work`."""

    def __init__(self) -> None:
        self.waits = False
        self.down = False
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, lambda: fn(*args, **kwargs)))
        if not self.waits:
            self.work()
        return future

    def work(self) -> None:
        future, task = self._waiting.popleft()
        try:
            future.set_result(task())
        except Exception as error:  # noqa: BLE001 - it is the future's
            future.set_exception(error)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.down = True


class Results(Publisher):
    """What was published, in order. `failures`: what the next tries raise; `seconds`: how long one takes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.epochs: list[Epoch] = []
        self.failures: deque[Exception] = deque()
        self.tries = 0
        self.seconds = 0.0
        self.whole: set[str] = set()  # models that are cheaper as a whole table
        self.asked: dict[str, int] = {}  # model -> changed keys, when that was asked last
        self.down = False
        self.calls: list[str] = []

    def open(self, models: Mapping[str, Model], *, epoch: int, published: Mapping[str, int], take_over: bool = False) -> Opened:
        self.calls.append(f"open at {epoch}" + (", taken over" if take_over else ""))
        self._fail()
        return Opened(0, published, frozenset(self.whole), ())

    def publish(self, epoch: Epoch) -> dict[str, int]:
        self.tries += 1
        self._clock.now += self.seconds
        self._fail()
        self.epochs.append(epoch)
        return {}

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.popleft()
        if self.down:
            raise TransientError("the results database does not answer")

    def wants_replace(self, model: str, changed: int) -> bool:
        self.asked[model] = changed
        return model in self.whole

    def give_up(self) -> None:
        self.calls.append("give up")

    def close(self) -> None:
        self.calls.append("close")


class Told:
    """A source that hands over what it is told to. `resumes`: where it was opened; `let_go`: what it was told is committed."""

    def __init__(self, name: str = "shop") -> None:
        self.name = name
        self.reads_anew = True
        self.ended = True  # what it held at the start is read
        self.shown = Progress("streaming")
        self.resumes: list[Resume] = []
        self.let_go: list[Mapping[str, Position]] = []
        self.again: TableChanges | DeadLetter | None = None
        self.faults: list[Fault] = []
        self.holds: dict[str, pa.Table] = {}
        self.asked_anew: list[str | None] = []
        self._batches: queue.SimpleQueue[SourceBatch] = queue.SimpleQueue()

    def give(self, batch: SourceBatch) -> None:
        self._batches.put(replace(batch, source=self.name))

    def check(self) -> list[Fault]:
        return self.faults

    def open(self, resume: Resume) -> None:
        self.resumes.append(resume)

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        try:
            return self._batches.get(timeout=timeout / 10)
        except queue.Empty:
            return None

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        self.let_go.append(positions)

    def reached_end(self) -> bool:
        return self.ended and self._batches.empty()

    def progress(self) -> Progress:
        return self.shown

    def current(self, table: str) -> Iterator[pa.Table]:
        yield self.holds[table]

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:
        self.asked_anew.append(table)
        return {"anew": b"1"}

    def reread(self, letter: DeadLetter) -> TableChanges | DeadLetter:
        return letter if self.again is None else self.again

    def close(self) -> None:
        pass


class Rig:
    """The engine's pieces as `topline.live.start` puts them together, over `Told` sources and `Results`."""

    def __init__(
        self, folder: Path, plan: ProjectPlan, clock: Clock, sources: Sequence[Told], batch_rows: int, interval: float
    ) -> None:
        self.clock, self.plan = clock, plan
        self.sources = {source.name: source for source in sources}
        self.results = Results(clock)
        self.log = Log.open(folder, "test")
        dataflow = rebuild(plan, self.log, lambda _table, _rows: None)
        self.publication = Publication(self.results, dataflow, plan.models)
        holds = Holds(plan, self.log.holds())
        declare_tables(plan, self.log, holds)
        self.readers = Readers(sources, log_resume(self.log), max_rows=1000, queue_rows=100_000)
        checkpoints = Checkpoints(folder, self.log, dataflow, 0.0)
        machinery = Machinery(
            plan, self.log, dataflow, self.readers, self.publication, checkpoints, batch_rows, interval, folder,
            lambda: rebuild(plan, self.log, lambda _table, _rows: None),
        )  # fmt: skip
        self.engine = Engine(machinery, holds)

    def give(self, *batches: SourceBatch, source: str = "shop") -> None:
        """The batches wait in the queue then."""
        before = self.readers.queued()
        for batch in batches:
            self.sources[source].give(batch)
        until(lambda: self.readers.queued() == before + len(batches))

    def take(self, *batches: SourceBatch, source: str = "shop") -> None:
        """One turn takes them, one more notes what was published."""
        self.give(*batches, source=source)
        self.engine.turn(0.0)
        self.engine.turn(0.0)

    def close(self) -> None:
        self.readers.stop()
        self.publication.close()
        self.engine.machinery.dataflow.close()
        self.log.close()


Rigs = Callable[..., Rig]


def batch(*parts: Part, hi: int = 1, **more: Any) -> SourceBatch:
    """Of partition `one`, which stands at `hi` then; its time is so many minutes after noon."""
    return SourceBatch("shop", parts, {"one": Position(hi, 1 << 20)}, time=NOON + timedelta(minutes=hi), **more)
