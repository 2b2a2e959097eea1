"""Commands that run things: run, serve, resync."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from topline.api import create_app, serve
from topline.cli.options import HERE, AsJson, Overrides, ProjectDir, open_project
from topline.cli.output import err, out, print_json
from topline.cli.running import Session, Stop, session
from topline.cli.watching import rebuild_progress, watched
from topline.config import Project
from topline.errors import UsageError
from topline.live.asking import ask
from topline.live.commands import RESYNC
from topline.live.start import databases, load_plan
from topline.results import Reader


def register(app: typer.Typer) -> None:
    for command in (run, serve_api, resync):
        app.command(name="serve" if command is serve_api else None)(command)


def run(
    project: ProjectDir = HERE,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End once all that the sources hold now is published (backfills, cron).")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="With dead letters in this run, exit 1.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Become the writer of result tables that another state wrote; republish all.")
    ] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Keep the models exact until stopped (Ctrl-C or SIGTERM); serves the API too.

    Example: `topline run --until-idle --strict`
    """
    loaded = open_project(project, overrides)
    stop = Stop()
    with stop.on_signals(), _session(loaded, take_over, quiet=as_json) as running:
        with watched(running, plain=as_json):
            running.run(stop, until_idle=until_idle)
        summary = _summary(running)
        if until_idle and not stop():
            running.require_healthy()
    _report(summary, as_json)
    if stop.signal == signal.SIGINT:
        raise typer.Exit(130)
    if strict and summary["dead letters"]:
        raise typer.Exit(1)


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
        out.print(", ".join(f"{value:,} {name}" for name, value in summary.items()))


def serve_api(project: ProjectDir = HERE, overrides: Overrides = None) -> None:
    """Serve the REST API alone, beside an engine or without one; until stopped.

    Example: `topline serve --set api.port=9000`
    """
    loaded = open_project(project, overrides)
    with Stop().on_signals() as stop, databases(loaded) as real:
        reader = Reader(real(loaded.config.results.dsn), loaded.config.results.schema_).open()
        with serve(create_app(reader, loaded.zone), loaded.config.api.host, loaded.config.api.port) as server:
            err.print(f"serving {server.url} until stopped", markup=False)
            while not stop.wait(1.0):
                pass
        reader.close()
    if stop.signal == signal.SIGINT:
        raise typer.Exit(130)


def resync(
    target: Annotated[str, typer.Argument(metavar="SOURCE[.TABLE]", help="What to read anew.")], project: ProjectDir = HERE
) -> None:
    """Read a source, or one table of it, anew; what it no longer holds is retracted.

    Example: `topline resync shop.orders`
    """
    loaded = open_project(project)
    tables = load_plan(loaded).tables
    if target not in tables and not any(name.startswith(f"{target}.") for name in tables):
        raise UsageError(f"there is no source or table {target!r}; the tables are {', '.join(tables)}")
    out.print(ask(loaded, RESYNC, {"target": target}), markup=False)
