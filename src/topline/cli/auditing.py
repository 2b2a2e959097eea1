"""Compares what is published with the truth, and prints the outcome."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from topline.cli.opening import open_project
from topline.cli.output import err, out, print_json, print_table
from topline.cli.terminal import progress
from topline.config import Project
from topline.errors import WorkError
from topline.live.audit import Compared, audit_results, audit_sources
from topline.live.start import databases, load_plan
from topline.log import LogReader
from topline.models.plan import ProjectPlan
from topline.results import Snapshot
from topline.sources.registry import build


def show_audit(folder: Path, *, sources: bool, as_json: bool) -> int:
    """The exit code: 0 where all is equal, else 1."""
    project = open_project(folder)
    compared = watched_audit(project, load_plan(project), sources=sources)
    if as_json:
        print_json([asdict(one) | {"equal": one.equal} for one in compared])
    else:
        print_audit(compared)
    return 1 if any(one.differs for one in compared) else 0


def watched_audit(project: Project, plan: ProjectPlan, *, sources: bool = False) -> list[Compared]:
    """Each published model against truth and, with `sources`, each table against its source; a bar on a terminal."""
    total = sum(model.published for model in plan.models.values()) + sources * len(plan.tables)
    compared: list[Compared] = []
    with progress("auditing", err) as report:
        report(0, total)
        for one in _audit(project, plan, sources=sources):
            compared.append(one)
            report(len(compared), total)
    return compared


def _audit(project: Project, plan: ProjectPlan, *, sources: bool) -> Iterator[Compared]:
    published = {name: model.schema for name, model in plan.models.items() if model.published}
    with databases(project) as real, LogReader.open(project.state_dir, project.config.project) as log:
        with log.pin(), Snapshot(real(project.config.results.dsn), project.config.results.schema_, published) as snapshot:
            epochs = {name: epoch for name, epoch in snapshot.epochs.items() if epoch}
            missing = sorted(set(published) - set(epochs))
            if missing:
                raise WorkError(f"not published yet: {', '.join(missing)}; run `topline run --until-idle` first")
            yield from audit_results(log, plan, epochs, snapshot.rows)
        if sources:
            yield from audit_sources(log, plan, build(project, plan.tables, embedded=real.embedded), log.complete_epoch)


def print_audit(compared: list[Compared]) -> None:
    rows = [(c.name, str(c.epoch), str(c.expected), str(c.found) if c.comparable else "", _outcome(c)) for c in compared]
    print_table("", ("table", "epoch", "rows in truth", "rows found", ""), rows)
    for one in compared:
        for example in one.examples:
            out.print(f"{one.name}: {example}", markup=False)


def _outcome(one: Compared) -> str:
    return "DIFFERS" if one.differs else "equal" if one.equal else "not compared"
