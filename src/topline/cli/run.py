"""Runs the engine for `topline run`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from topline.cli.output import counted, err, out, print_json
from topline.cli.running import Interrupted, Session, Stop, session
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
    stand_by: bool
    as_json: bool


def run_engine(project: Project, wishes: Wishes) -> int:
    """The exit code: 130 after Ctrl-C; 1 with `strict` and new dead letters. WorkError where not all work was done."""
    stop = Stop()
    try:
        with stop.on_signals():
            return _run(project, wishes, stop)
    except Interrupted:  # nothing was begun yet
        return stop.exit_code


def _run(project: Project, wishes: Wishes, stop: Stop) -> int:
    with _session(project, wishes, stop) as running:
        with watched(running, plain=wishes.as_json):
            if wishes.until_idle:
                running.run_until_idle(stop, wishes.patience)
            else:
                running.run(stop)
        summary = _summary(running)
    _report(summary, wishes.as_json)
    return stop.exit_code or (1 if wishes.strict and summary["dead letters"] else 0)


@contextmanager
def _session(project: Project, wishes: Wishes, stop: Stop) -> Iterator[Session]:
    with ExitStack() as stack:
        on_rebuild = stack.enter_context(rebuild_progress(quiet=wishes.as_json))
        begun = session(
            project,
            take_over=wishes.take_over,
            on_rebuild=on_rebuild,
            patient=not wishes.until_idle,
            stand_by=wishes.stand_by,
            droppable=stop.droppable,
        )
        running = stack.enter_context(begun)
        on_rebuild.done()
        if error := running.started.engine.machinery.publication.last_error:
            err.print(f"{error}; it is tried again, and what is read meanwhile is kept", markup=False, soft_wrap=True)
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
