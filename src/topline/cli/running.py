"""One process that runs the engine: the loop on the main thread; API, status and the terminal's view beside it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType

from topline.api import create_app, serve
from topline.config import Project
from topline.errors import WorkError
from topline.live.asking import FILE, EngineFile
from topline.live.attendant import Attendant
from topline.live.commands import Commands
from topline.live.start import Started, started
from topline.live.troubles import troubles
from topline.results import Commands as Inbox
from topline.results import Reader, StatusWriter
from topline.sources.push import intakes
from topline.sources.reader import ReaderState, Status


class Stop:
    """Set by SIGINT or SIGTERM (`signal` says which), or by the program itself."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal = 0

    def __call__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)

    @contextmanager
    def on_signals(self) -> Iterator["Stop"]:
        """The first signal stops cleanly; a second one of the same kind does what it always does."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        self._event.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


class Patience:
    """Watches for a source that does not answer for `seconds` on end; `tired` names it, once it is so."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._failing: dict[str, float] = {}
        self._next_look = clock()
        self.tired = ""

    def look(self, states: Mapping[str, ReaderState]) -> bool:
        """Called each turn; looks four times a second. True once a source is given up."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + 0.25
            retrying = {name: state for name, state in states.items() if state.status is Status.RETRYING}
            self._failing = {name: self._failing.get(name, now) for name in retrying}
            lost = [name for name, since in self._failing.items() if now - since >= self._seconds]
            self.tired = "\n".join(f"source {name} does not answer: {retrying[name].error}" for name in lost)
        return bool(self.tired)


@dataclass(frozen=True)
class Session:
    """An engine that is ready to run, its API's address, and a reader of what it publishes."""

    project: Project
    started: Started
    attendant: Attendant
    reader: Reader
    url: str

    def run(self, stop: Callable[[], bool]) -> None:
        self.started.engine.run(stop, self.attendant.turn)

    def run_until_idle(self, stop: Callable[[], bool], patience: float) -> None:
        """WorkError where work is left undone, other than by `stop`: a source or model halted, a source never answered."""
        watcher = Patience(patience)
        engine = self.started.engine
        engine.run(lambda: stop() or watcher.look(engine.machinery.readers.states), self.attendant.turn, until_idle=True)
        if watcher.tired:
            raise WorkError(watcher.tired)
        if not stop():
            self.require_healthy()

    def require_healthy(self) -> None:
        """WorkError naming each source that halted and each model that stands still: the run did not do all its work."""
        engine = self.started.engine
        states = engine.machinery.readers.states
        faults = [f"source {name} halted: {state.error}" for name, state in states.items() if state.status is Status.HALTED]
        faults += [f"model {name} halted: {reason}" for name, reason in engine.holds.models.items()]
        faults += engine.holds.tables.values()
        if not engine.caught_up():
            reason = engine.machinery.publication.last_error or "not all is published"
            faults.append(f"the results are behind the log: {reason}")
        if faults:
            raise WorkError("\n".join(faults))


@contextmanager
def session(
    project: Project, *, take_over: bool = False, on_rebuild: Callable[[str, int], None] | None = None
) -> Iterator[Session]:
    """Everything that `topline run` keeps going, closed in the reverse order at the end."""
    with ExitStack() as stack:
        begun = stack.enter_context(started(project, take_over=take_over, on_rebuild=on_rebuild))
        results = project.config.results
        reader = Reader(begun.results_dsn, results.schema_).open()
        stack.callback(reader.close)
        taken = intakes(begun.sources.values())
        for intake in taken:
            stack.callback(intake.close)
        app = create_app(reader, project.zone, intakes=taken, troubles=lambda: troubles(begun.engine))
        server = stack.enter_context(serve(app, project.config.api.host, project.config.api.port))
        attendant = _attendant(project, begun)
        EngineFile(os.getpid(), server.url, time.time()).write(project.state_dir)
        stack.callback((project.state_dir / FILE).unlink, missing_ok=True)
        attendant.start()
        stack.callback(attendant.stop)
        yield Session(project, begun, attendant, reader, server.url)


def _attendant(project: Project, begun: Started) -> Attendant:
    schema = project.config.results.schema_
    kinds = {name: str(settings.get("kind", "")) for name, settings in project.config.sources.items()}
    return Attendant(
        begun.engine,
        Commands(begun.engine, begun.sources),
        StatusWriter(begun.results_dsn, schema),
        Inbox(begun.results_dsn, schema),
        kinds,
        compact_rows=project.config.engine.compact_after_rows,
        revive=begun.databases.revive,
    )
