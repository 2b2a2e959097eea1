"""One process that runs the engine: the loop on the main thread; API, status and the terminal's view beside it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
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

_SWITCH = 0.001  # seconds after which a thread that computes lets others go on: publishing and the API have little to do, often
_DEBT = 4  # times what a log holds before it is folded
_LOOK = 0.05  # seconds
_LEAVE_VIEW = b"\x1b[?1049l\x1b[?25h"  # a terminal's other screen goes, its cursor comes


class Interrupted(BaseException):
    """A signal came amid work that may be dropped at any instant. As KeyboardInterrupt, it is no fault of that work."""


class Stop:
    """Set by SIGINT or SIGTERM (`signal` says which), or by the program itself."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._droppable = False
        self.signal = 0

    @property
    def exit_code(self) -> int:
        """As a shell has it: 130 after Ctrl-C; one that is told to end by SIGTERM, and does, has done what it was told."""
        return 130 if self.signal == signal.SIGINT else 0

    def __call__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)

    @contextmanager
    def on_signals(self) -> Iterator["Stop"]:
        """The first signal stops cleanly; a second one ends the process at once, as a crash would, which loses nothing."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def droppable(self) -> Iterator[None]:
        """A signal raises Interrupted amid the work inside. What the work makes of that (DuckDB: an error of its own) is not
        the fault, once it was stopped."""
        self._droppable = True
        try:
            self._drop_if_stopped()
            yield
        except Exception:
            self._drop_if_stopped()
            raise
        finally:
            self._droppable = False

    def _drop_if_stopped(self) -> None:
        if self.signal:
            raise Interrupted

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal:
            _end_at_once(number)
        self.signal = number
        self._event.set()
        if self._droppable:
            raise Interrupted


def _end_at_once(number: int) -> None:
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _LEAVE_VIEW)
    os._exit(128 + number)


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
        self._fold_log(stop)
        if not stop():
            self.require_healthy()

    def _fold_log(self, stop: Callable[[], bool]) -> None:
        """Runs of a moment never come to an end with it: one waits, now and then, so that the log does not grow for ever."""
        log = self.started.engine.machinery.log
        if log.pending > _DEBT * self.project.config.engine.compact_after_rows:
            log.compact_in_background()
            while log.compacting and not stop():
                time.sleep(_LOOK)

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
    project: Project,
    *,
    take_over: bool = False,
    on_rebuild: Callable[[str, int], None] | None = None,
    patient: bool = False,
    stand_by: bool = False,
    droppable: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[Session]:
    """Everything that `topline run` keeps going, closed in the reverse order at the end. For the arguments see `started`."""
    sys.setswitchinterval(_SWITCH)
    with ExitStack() as stack:
        begun = stack.enter_context(
            started(
                project, take_over=take_over, on_rebuild=on_rebuild, patient=patient, stand_by=stand_by, droppable=droppable
            )
        )
        results = project.config.results
        replicas = [begun.databases(dsn) for dsn in results.replicas]
        reader = Reader(begun.results_dsn, results.schema_, replicas=replicas).open()
        stack.callback(reader.close)
        taken = intakes(begun.sources.values())
        for intake in taken:
            stack.callback(intake.close)
        app = create_app(reader, project.zone, plan=begun.plan, intakes=taken, troubles=lambda: troubles(begun.engine))
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
