"""The generator: plans, writes to all sources, and keeps the ledger, in a thread of its own or in the caller's."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from topline.generate.branch_writer import BranchWriter
from topline.generate.events import SOURCES, Event, Kind, Source
from topline.generate.ledger import Ledger
from topline.generate.options import BULK_FILE_ROWS, STREAM_FILE_ROWS, Options, Plan
from topline.generate.partner_writer import PartnerWriter
from topline.generate.planner import Planner
from topline.generate.shop_writer import ShopWriter

_TICK = 0.05  # seconds between two looks at the clock
_CHUNK = 20_000  # steps that are written together at full speed
_FLUSH_FACTS, _FLUSH_SECONDS = 50_000, 2.0


class Writer(Protocol):
    """Brings events to their source. To write the same ones once more changes nothing."""

    def create(self) -> None:
        """Make what is missing."""

    def write(self, events: Sequence[Event]) -> None: ...

    def close(self) -> None: ...


class Generator:
    """`prepare`, then `start` and `stop` (or `run`, in the foreground); `kinds` and `written` may be read all the while.

    After `stop` the ledger says exactly what was written to the sources.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._kinds: dict[str, Counter[Kind]] = {source: Counter() for source in SOURCES if source in options.sharing()}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._flushed = 0.0
        self.written = 0
        self._writers: dict[Source, Writer] = {
            "shop": ShopWriter(options.shop_dsn),
            "branches": BranchWriter(options.folder),
            **({"partner": PartnerWriter(options.partner)} if options.partner else {}),
        }
        self._ledger = Ledger(options.ledger_dsn)
        self._planner: Planner | None = None
        self._began = 0.0
        self._ended = False

    def prepare(self) -> None:
        """Create tables, folder, book and ledger, and write master data and history: the first load of who reads them."""
        for writer in self._writers.values():
            writer.create()
        options = self._options
        run = self._ledger.open(options.seed, options.time_zone)
        self._planner = Planner(_plan(options, run))
        self._write_all(self._planner.history(0 if options.count is not None else options.history))
        self._ledger.flush()

    def start(self) -> None:
        """Go on in a thread until `stop`, or until count or duration is reached. One start a generator."""
        self._thread = threading.Thread(target=self._guarded, name="generator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Drop what waits, close the ledger. Raises what ended the thread, if anything did. May be called twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._planner is not None and not self._ended:  # prepared, never started
            self._end()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def run(self) -> None:
        """The stream in the caller's thread, until `ask_to_stop`, count or duration."""
        if self._planner is None:
            self.prepare()
        try:
            self._stream()
        except BaseException:
            self._close()
            raise
        self._end()

    def ask_to_stop(self) -> None:
        """Let `run` come to its end soon; safe from a signal handler or another thread."""
        self._stopping.set()

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def kinds(self) -> dict[str, Counter[Kind]]:
        """How often each kind was written, per source."""
        return {source: Counter(kinds) for source, kinds in self._kinds.items()}

    def _guarded(self) -> None:
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001 - the edge of a thread: `stop` raises it
            self._error = error

    def _stream(self) -> None:
        self._began = time.monotonic()
        if self._options.count is not None:
            self._at_full_speed(self._options.count)
        else:
            self._with_the_clock()
        self._write_all(self._plan().finish(self._elapsed()))

    def _end(self) -> None:
        try:
            self._ledger.finish()
        finally:
            self._close()

    def _close(self) -> None:
        self._ended = True
        self._ledger.close()
        for writer in self._writers.values():
            writer.close()

    def _with_the_clock(self) -> None:
        """Steps that have become due since the last look, then a short rest."""
        steps, period = 0, 1 / self._options.rate
        while not self._stopping.wait(_TICK) and not self._over():
            due = int(self._elapsed() * self._options.rate)
            self._write_all(event for step in range(steps, due) for event in self._plan().step((step + 1) * period))
            steps = max(steps, due)

    def _at_full_speed(self, count: int) -> None:
        planner = self._plan()
        while planner.created < count and not self._stopping.is_set() and not self._over():
            events: list[Event] = []
            for _ in range(min(_CHUNK, count - planner.created)):
                events += planner.step(0.0)
            self._write_all(events)

    def _write_all(self, events: Iterable[Event]) -> None:
        """Files at once, they are large; what goes into a database together."""
        together: dict[Source, list[Event]] = {}
        for event in events:
            if event.source == "branches":
                self._write("branches", [event])
            else:
                together.setdefault(event.source, []).append(event)
        for source, some in together.items():
            self._write(source, some)
        if self._ledger.waiting > _FLUSH_FACTS or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._ledger.flush()
            self._flushed = time.monotonic()

    def _write(self, source: Source, events: Sequence[Event]) -> None:
        self._writers[source].write(events)
        for event in events:
            self._note(event)

    def _note(self, event: Event) -> None:
        self._ledger.note(event.facts)
        if event.kinds:  # master data is there whether the shop sells or not
            self._kinds[event.source] += event.kinds
        self.written += event.kinds.total()

    def _plan(self) -> Planner:
        if self._planner is None:
            raise RuntimeError("prepare() comes first")
        return self._planner

    def _over(self) -> bool:
        return self._options.duration is not None and self._elapsed() >= self._options.duration

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


def _plan(options: Options, run: int) -> Plan:
    bulk = options.count is not None
    return Plan(
        start=options.start or datetime.now(UTC),
        seed=options.seed,
        zone=options.time_zone,
        currency=options.currency,
        days=options.days,
        run=run,
        bulk=bulk,
        file_rows=BULK_FILE_ROWS if bulk else STREAM_FILE_ROWS,
        shares=options.sharing(),
    )
