"""Commands that look: status, audit, why, rejected. They work while the engine runs, and without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import psycopg
import typer
from psycopg import sql
from psycopg.rows import dict_row

from topline.cli.options import HERE, AsJson, ProjectDir, open_project
from topline.cli.output import out, print_json, print_pairs, print_table
from topline.config import Project
from topline.errors import UsageError, WorkError
from topline.live.audit import Compared, audit_results, audit_sources, truth
from topline.live.start import databases, load_plan
from topline.live.status import collect_status
from topline.live.why import explain_key, locate, trace
from topline.log import LogReader
from topline.models.plan import ProjectPlan
from topline.results import Snapshot
from topline.sources.registry import build


def register(app: typer.Typer) -> None:
    for command in (status, audit, why, rejected):
        app.command()(command)


def status(project: ProjectDir = HERE, as_json: AsJson = False) -> None:
    """Show what is now: engine, sources, models, what is kept apart.

    Example: `topline status --json`
    """
    found = collect_status(open_project(project))
    if as_json:
        print_json(asdict(found))
        return
    print_pairs(found.summary)
    out.print()
    print_table("", ("source", "kind", "state", "phase", "newest change", "error"), found.source_rows())
    out.print()
    print_table("", ("model", "epoch", "rows", "note"), found.model_rows())


def audit(
    project: ProjectDir = HERE,
    sources: Annotated[bool, typer.Option("--sources", help="Compare the tables with the sources themselves, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the rows in PostgreSQL with the models' SQL, run from scratch over the log. Exit 1 where they differ.

    Example: `topline audit --sources`
    """
    loaded = open_project(project)
    plan = load_plan(loaded)
    compared = list(run_audit(loaded, plan, sources=sources))
    if as_json:
        print_json([asdict(one) | {"equal": one.equal} for one in compared])
    else:
        print_audit(compared)
    if not all(one.equal for one in compared):
        raise typer.Exit(1)


def run_audit(project: Project, plan: ProjectPlan, *, sources: bool = False) -> Iterator[Compared]:
    """Each published model against truth and, with `sources`, each table against its source."""
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
    rows = [(c.name, str(c.epoch), str(c.expected), str(c.found), "equal" if c.equal else "DIFFERS") for c in compared]
    print_table("", ("table", "epoch", "rows in truth", "rows found", ""), rows)
    for one in compared:
        for example in one.examples:
            out.print(f"{one.name}: {example}", markup=False)


def why(
    model: Annotated[str, typer.Argument(help="A published model.")],
    key: Annotated[list[str], typer.Argument(help="The key's values in order, or NAME=VALUE pairs.")],
    project: ProjectDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Show the rows that a result is made of, each with its file and line, or table and LSN.

    Example: `topline why top_sales_by_city 2026-11-21 Italy Lazio Rome`
    """
    loaded = open_project(project)
    plan = load_plan(loaded)
    if model not in plan.models:
        raise UsageError(f"no model is named {model!r}; there are {', '.join(plan.models)}")
    with LogReader.open(loaded.state_dir, loaded.config.project) as log, log.pin():
        connection = truth(log, plan, log.complete_epoch, models=False)
        found, contributions = trace(connection, plan, model, explain_key(plan.models[model].schema, key))
        rows = {part.table: locate(log, plan, part, _kind(loaded, part.table)) for part in contributions}
    if as_json:
        print_json({"result": found.to_pylist(), "rows": rows})
        return
    if not len(found):
        out.print("there is no such row")
        raise typer.Exit(1)
    print_pairs(found.to_pylist()[0])
    for table, located in rows.items():
        if located:
            out.print()
            print_table(f"{table}: {len(located)} rows", list(located[0]), [list(row.values()) for row in located])


def _kind(project: Project, table: str) -> str:
    return str(project.config.sources.get(table.partition(".")[0], {}).get("kind", ""))


def rejected(
    project: ProjectDir = HERE,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the rejected sales: readable, but breaking a rule; with reason and original text.

    Example: `topline rejected --json`
    """
    loaded = open_project(project)
    if "rejected_sales" not in load_plan(loaded).models:
        raise UsageError("this project has no model named rejected_sales")
    with _results(loaded) as connection:
        table = sql.Identifier(loaded.config.results.schema_, "rejected_sales")
        query = sql.SQL("SELECT * FROM {} ORDER BY 1, 2, 3 LIMIT %s").format(table)
        rows: list[dict[str, Any]] = connection.execute(query, (limit,)).fetchall()
    if as_json:
        print_json(rows)
    else:
        print_table("", list(rows[0]) if rows else ("none",), [list(row.values()) for row in rows])


@contextmanager
def _results(project: Project) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with databases(project) as real:
        try:
            with psycopg.connect(real(project.config.results.dsn), row_factory=dict_row) as connection:
                yield connection
        except psycopg.Error as error:
            raise WorkError(f"the results database does not answer as it should: {str(error).strip()}") from None
