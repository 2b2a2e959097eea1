"""Commands on a project's files: init, check, test, explain, version."""

from pathlib import Path
from typing import Annotated

import typer

from topline.cli.options import HERE, AsJson, Overrides, ProjectDir


def register(app: typer.Typer) -> None:
    for command in (init, check, run_examples, explain, version):
        app.command(name="test" if command is run_examples else None)(command)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ORIGIN",
            help="Look at a source, and write a project over it: postgres://..., another database's URL, a file, a WSDL.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a project in DIR: models, macros, and a commented topline.yml. Without --from, a copy of the shipped one.

    Example: `topline init shop --from postgres://reader@db.example.org/shop && cd shop && topline check`
    """
    from topline.cli.making import init_from, init_project

    if origin is None:
        init_project(folder, as_json=as_json)
    else:
        init_from(folder, origin, as_json=as_json)


def check(project: ProjectDir = HERE, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Find every fault before running: configuration, models, connections, privileges.

    Exit 2 where there is one. Example: `topline check --json`
    """
    from topline.cli.checking import show_faults

    raise typer.Exit(show_faults(project, overrides, as_json=as_json))


def run_examples(
    project: ProjectDir = HERE,
    model: Annotated[str | None, typer.Option(help="Only the examples of this model.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the models on their examples (dbt unit tests): in one batch, row by row, shuffled, redelivered.

    Exit 1 where one fails. Example: `topline test --model top_sales_by_city`
    """
    from topline.cli.checking import show_examples

    raise typer.Exit(show_examples(project, model, as_json=as_json))


def explain(
    model: Annotated[str | None, typer.Argument(help="A model's name; without it, all are listed.")] = None,
    project: ProjectDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Show how a model is kept: its plan, key, column lineage, and the SQL for each engine.

    Example: `topline explain top_salesmen`
    """
    from topline.cli.explaining import show_model, show_models

    if model is None:
        show_models(project, as_json=as_json)
    else:
        show_model(project, model, as_json=as_json)


def version(as_json: AsJson = False) -> None:
    """Print the version, and what it runs on.

    Example: `topline version --json`
    """
    from topline.cli.making import show_version

    show_version(as_json=as_json)
