"""Runs the engine for `topline run`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from topline.cli.output import counted, out, print_json
from topline.cli.running import Session, Stop, session
from topline.cli.watching import rebuild_progress, watched
from topline.config import Project

_NOUNS = {
    "changes": ("change", "s"),
    "batches": ("batch", "es"),
    "dead letters": ("dead letter", "s"),
    "epochs": ("epoch", "s"),
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to run. `patience`: seconds for which, until idle, a source may be silent."""

    until_idle: bool
    patience: float
    strict: bool
    take_over: bool
    as_json: bool


def run_engine(project: Project, wishes: Wishes) -> int:
    """The exit code: 130 after Ctrl-C; 1 with `strict` and new dead letters. WorkError where not all work was done."""
    stop = Stop()
    with stop.on_signals(), _session(project, wishes.take_over, quiet=wishes.as_json) as running:
        with watched(running, plain=wishes.as_json):
            if wishes.until_idle:
                running.run_until_idle(stop, wishes.patience)
            else:
                running.run(stop)
        summary = _summary(running)
    _report(summary, wishes.as_json)
    if stop.signal == signal.SIGINT:
        return 130
    return 1 if wishes.strict and summary["dead letters"] else 0


@contextmanager
def _session(project: Project, take_over: bool, *, quiet: bool) -> Iterator[Session]:
    with rebuild_progress(quiet=quiet) as on_rebuild, session(project, take_over=take_over, on_rebuild=on_rebuild) as running:
        on_rebuild.done()
        yield running


def _summary(running: Session) -> dict[str, int]:
    engine = running.started.engine
    return {
        "changes": engine.counts.changes,
        "batches": engine.counts.batches,
        "dead letters": engine.counts.dead_letters,
        "rejected": engine.rejected(),
        "epochs": engine.machinery.log.epoch,
    }


def _report(summary: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json(summary)
    else:
        out.print(", ".join(_told(value, name) for name, value in summary.items()))


def _told(value: int, name: str) -> str:
    return f"{value:,} {name}" if name not in _NOUNS else counted(value, *_NOUNS[name])
