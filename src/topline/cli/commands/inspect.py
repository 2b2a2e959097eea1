"""Commands that look: status, show, audit, why, rejected. They work while the engine runs, and without it."""

from datetime import datetime
from typing import Annotated

import typer

from topline.cli.options import HERE, AsJson, ProjectDir


def register(app: typer.Typer) -> None:
    for command in (status, show, audit, why, rejected):
        app.command()(command)


def status(project: ProjectDir = HERE, as_json: AsJson = False) -> None:
    """Show what is now: engine, sources, models, what is kept apart.

    Exit 1 where the results database does not answer. Example: `topline status --json`
    """
    from topline.cli.inspecting import show_status

    raise typer.Exit(show_status(project, as_json=as_json))


def show(
    model: Annotated[str, typer.Argument(help="A published model's name.")],
    project: ProjectDir = HERE,
    day: Annotated[datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Only this business day.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show a published model's rows: the newest day first, then the greatest amounts.

    Example: `topline show top_sales_by_city --date 2026-11-21`
    """
    from topline.cli.inspecting import show_rows

    show_rows(project, model, day.date() if day else None, limit, as_json=as_json)


def audit(
    project: ProjectDir = HERE,
    sources: Annotated[bool, typer.Option("--sources", help="Compare the tables with the sources themselves, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the rows in PostgreSQL with the models' SQL, run from scratch over the log. Exit 1 where they differ.

    Example: `topline audit --sources`
    """
    from topline.cli.auditing import show_audit

    raise typer.Exit(show_audit(project, sources=sources, as_json=as_json))


def why(
    model: Annotated[str, typer.Argument(help="A model's name, published or not.")],
    key: Annotated[list[str], typer.Argument(help=r"The key's values in order, or NAME=VALUE pairs; \N is NULL.")],
    project: ProjectDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Show the rows that a result is made of, each with its file and line, or table and LSN. Exit 1 where there is none.

    Example: `topline why top_sales_by_city 2026-11-21 Italy Lazio Roma`
    """
    from topline.cli.inspecting import show_why

    raise typer.Exit(show_why(project, model, key, as_json=as_json))


def rejected(
    project: ProjectDir = HERE,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the rejected sales: readable, but breaking a rule; with reason and original text.

    Example: `topline rejected --json`
    """
    from topline.cli.inspecting import show_rejected

    show_rejected(project, limit, as_json=as_json)
