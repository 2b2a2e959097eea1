"""A worker of `topline ingest`: the sources that are its own for now, each in a thread, and what it says of them."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from topline.config import Project
from topline.errors import SourceHalted, SourceNotReady, TransientError, WorkError, out_of_memory
from topline.ingest.ownership import Ownership
from topline.ingest.work import Counts, Setup, Work, read_anew
from topline.kafka.client import Client
from topline.kafka.names import ingest_topic
from topline.kafka.settings import kafka_settings
from topline.kafka.topics import ensure, ensure_dead_letters, ensure_own, widen
from topline.sources.reader import Backoff, Status
from topline.sources.registry import Ingested

_POLL = 0.2  # seconds between two looks at who has what
_LOOK_AGAIN = 5.0  # seconds between two looks at what a person must mend
_ELSEWHERE = "another worker's"


@dataclass(frozen=True, slots=True)
class Told:
    """How a source stands: `state` is a word, `detail` says why."""

    state: str
    detail: str = ""


@dataclass(slots=True)
class Owned:
    """A source that is this worker's, from `begin` to `end`."""

    setup: Setup
    ingested: Ingested
    counts: Counts
    error: WorkError | None = None
    work: Work | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"ingest-{self.ingested.source.name}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Once this returns, nothing more of the source is written here."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def told(self) -> Told:
        reader = self.work.reader if self.work is not None else None
        if self.error is not None:
            return Told("halted" if isinstance(self.error, SourceHalted) else "retrying", str(self.error))
        if reader is None:
            return Told("starting")
        state = reader.state
        return Told(state.status.value, state.error or state.progress.detail)

    @property
    def is_idle(self) -> bool:
        """What the source held is committed, or it is halted."""
        work = self.work
        if isinstance(self.error, SourceHalted) or work is None:
            return self.error is not None
        return work.is_idle or (work.reader is not None and work.reader.state.status is Status.HALTED)

    def _run(self) -> None:
        attempts, backoff = 0, Backoff()
        while not self._stop.is_set():
            before = self.counts.transactions
            topic = ingest_topic(self.setup.settings.prefix, self.ingested.source.name)
            self.work = Work(self.setup, self.ingested, topic, self.counts)
            try:
                self.error = None
                self.work.run(self._stop)
            except SourceHalted as error:
                self.error = error
                self._stop.wait(_LOOK_AGAIN if isinstance(error, SourceNotReady) else None)
            except TransientError as error:
                self.error = error
                attempts = 0 if self.counts.transactions > before else attempts + 1
                self._stop.wait(backoff.seconds(attempts))
            except Exception as error:
                if (lacking := out_of_memory(error)) is None:
                    self.error = SourceHalted(f"a fault of Topline: {type(error).__name__}: {error}")
                    raise
                self.error = lacking
                self._stop.wait(backoff.seconds(attempts))


class Worker:
    """All sources of a project with `from: kafka` that nobody else brings there; those that are this worker's run."""

    def __init__(self, setup: Setup, sources: Sequence[Ingested]) -> None:
        self._setup, self._sources = setup, {one.source.name: one for one in sources}
        self.owned: dict[str, Owned] = {}
        self.counts = {name: Counts() for name in self._sources}
        self.error = ""
        self._given_once = False

    def prepare(self) -> None:
        """The topics are there. Errors as in `kafka.topics.ensure`."""
        settings, admin = self._setup.settings, self._setup.client.admin()
        topics = [topic for one in self._sources.values() for topic in one.topics.values()]
        ensure(admin, topics, settings.topics, settings.timeout)
        ensure_dead_letters(admin, topics, settings.topics, settings.timeout)
        shared = ingest_topic(settings.prefix)
        own = [shared, *(ingest_topic(settings.prefix, name) for name in self._sources)]
        ensure_own(admin, own, settings.topics, settings.timeout)
        widen(admin, shared, len(self._sources), settings.timeout)

    def read_anew(self, source: str, table: str | None) -> None:
        """Whichever worker has the source reads it anew, or one table of it. The topics are there."""
        read_anew(self._setup, self._sources[source], table, ingest_topic(self._setup.settings.prefix, source))

    def run(self, stop: Callable[[], bool], turn: Callable[[], bool]) -> None:
        """Until `stop`, or until `turn`, which is called again and again, says that it is enough."""
        with self._sharing() as ownership:
            while not stop() and not turn():
                try:
                    ownership.poll(_POLL)
                    self.error = ""
                except TransientError as error:
                    self.error = str(error)

    @property
    def is_idle(self) -> bool:
        """Whether all that this worker's sources held is committed."""
        return self._given_once and all(one.is_idle for one in self.owned.values())

    @property
    def told(self) -> Mapping[str, Told]:
        return {name: self.owned[name].told if name in self.owned else Told(_ELSEWHERE) for name in self._sources}

    @contextmanager
    def _sharing(self) -> Iterator[Ownership]:
        topic = ingest_topic(self._setup.settings.prefix)
        ownership = Ownership(self._setup.client, topic, list(self._sources), self._give, self._take)
        try:
            yield ownership
        finally:
            self._take(list(self.owned))
            ownership.close()

    def _give(self, names: Sequence[str]) -> None:
        self._given_once = True
        for name in names:
            self.owned[name] = Owned(self._setup, self._sources[name], self.counts[name])
            self.owned[name].begin()

    def _take(self, names: Sequence[str]) -> None:
        for name in names:
            if (owned := self.owned.pop(name, None)) is not None:
                owned.end()


def worker(project: Project, sources: Sequence[Ingested]) -> Worker:
    """ConfigError where the project has no cluster."""
    settings = kafka_settings(project)
    client = Client(settings, project.root, f"topline-ingest-{project.config.project}")
    return Worker(Setup(settings, client, project.root, project.config.engine.batch_rows), sources)
