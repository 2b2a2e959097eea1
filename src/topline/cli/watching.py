"""Feeds the terminal: what a running session did and published, as the plain values that the view shows."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from topline.cli import terminal
from topline.cli.output import err, out
from topline.cli.running import Session
from topline.cli.terminal import CityLine, Report, SalesmanLine, SourceLine, View
from topline.errors import TransientError
from topline.live.status import disk_troubles
from topline.live.troubles import of_results, of_source
from topline.results import Page
from topline.results.questions import Days, top_cities, top_salesmen
from topline.sources.reader import ReaderState, Status

SHOWN = 20


class Rebuild:
    """The progress bar of a rebuild from the log; `done` takes it off the terminal."""

    def __init__(self, report: Report | None, done: Callable[[], None]) -> None:
        self._report = report
        self._rows = 0
        self.done = done

    def __call__(self, _table: str, rows: int) -> None:
        self._rows += rows
        if self._report is not None:
            self._report(self._rows)


@contextmanager
def rebuild_progress(*, quiet: bool = False) -> Iterator[Rebuild]:
    with ExitStack() as bar:
        yield Rebuild(None if quiet else bar.enter_context(terminal.progress("reading the log", err)), bar.close)


@contextmanager
def watched(running: Session, *, plain: bool = False) -> Iterator[None]:
    """Show the session on the terminal meanwhile, in a thread; nothing with `plain` (JSON goes to standard output)."""
    if plain:
        yield
        return
    if not out.is_terminal:  # where the view would show it
        err.print(f"the API is at {running.url}", markup=False)
    stop = threading.Event()
    source = ViewSource(running)
    thread = threading.Thread(target=terminal.watch, args=(source.read, stop, out), name="terminal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)


def final_rankings(running: Session) -> None:
    terminal.final_rankings(ViewSource(running).read(), out)


class ViewSource:
    """Rankings come from PostgreSQL, so that nobody sees here what was not published."""

    def __init__(self, running: Session) -> None:
        self._running = running
        self._began = time.monotonic()
        self._last = (self._began, 0)
        self._rate = 0.0

    def read(self) -> View:
        engine = self._running.started.engine
        config = self._running.project.config
        today = datetime.now(self._running.project.zone).date()
        notes: list[str] = []
        cities, salesmen = self._rankings(today, notes)
        counts, publication = engine.counts, engine.machinery.publication
        notes += [f"model {name} halted: {why}" for name, why in engine.holds.models.items()]
        notes += engine.holds.tables.values()
        notes += [f"results: {text}" for text in of_results(publication)]
        notes += disk_troubles(engine)
        return View(
            day=today,
            currency=config.currency,
            elapsed=time.monotonic() - self._began,
            epoch=publication.published_epoch,
            cities=tuple(_line(CityLine, row) for row in cities.rows) if cities else (),
            salesmen=tuple(_line(SalesmanLine, row) for row in salesmen.rows) if salesmen else (),
            sources=tuple(self._source(name, state) for name, state in engine.machinery.readers.states.items()),
            rate=self._rate_of(counts.changes),
            events=counts.changes,
            freshness_ms=publication.freshness_ms,
            backlog=engine.machinery.readers.queued_rows,
            rejected=engine.rejected(),
            dead_letters=engine.machinery.log.letters.count(),
            api=self._running.url,
            notes=tuple(notes),
        )

    def _rankings(self, today: date, notes: list[str]) -> "tuple[Page | None, Page | None]":
        models = self._running.started.plan.models
        if not {"top_sales_by_city", "top_salesmen"} <= models.keys():
            return None, None
        try:
            reader = self._running.reader
            day = Days.one(today)
            return reader.page(top_cities(day), SHOWN), reader.page(top_salesmen(day), SHOWN)
        except TransientError as error:
            notes.append(f"results: {error}")
            return None, None

    def _source(self, name: str, state: ReaderState) -> SourceLine:
        progress = state.progress
        failed = state.status in (Status.RETRYING, Status.HALTED)
        return SourceLine(
            name=name,
            phase=state.status.value if failed else progress.phase,
            events=self._running.started.engine.counts.by_source.get(name, 0),
            done=progress.done,
            total=progress.total,
            detail=(of_source(state).strip().splitlines() or [""])[-1] if failed else progress.detail,
            failed=failed,
        )

    def _rate_of(self, changes: int) -> float:
        then, before = self._last
        seconds = time.monotonic() - then
        if seconds >= 1.0:
            self._rate = (changes - before) / seconds
            self._last = (time.monotonic(), changes)
        return self._rate


def _line(kind: Any, row: Any) -> Any:
    """A row of the ranking as the view's line: money from its text."""
    return kind(**{f.name: Decimal(row[f.name]) if f.type is Decimal else row[f.name] for f in fields(kind)})
