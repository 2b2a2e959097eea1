"""`topline debezium`: the connectors that bring PostgreSQL sources to Kafka."""

from typing import Annotated

import typer

from topline.cli.options import HERE, AsJson, ProjectDir

app = typer.Typer(help="The connectors in Kafka Connect that bring PostgreSQL sources to Kafka.", no_args_is_help=True)

Source = Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="Only of this source.")]


@app.command()
def apply(source: Source = None, project: ProjectDir = HERE, as_json: AsJson = False) -> None:
    """Make the connectors as topline.yml says, or change them, and wait until they run.

    Example: `topline debezium apply shop`
    """
    from topline.cli.debezium import apply_connectors

    apply_connectors(project, source, as_json=as_json)


@app.command()
def status(source: Source = None, project: ProjectDir = HERE, as_json: AsJson = False) -> None:
    """Show how the connectors stand, and where their settings are others than topline.yml says. Exit code 1 where one does
    not run as it should.

    Example: `topline debezium status`
    """
    from topline.cli.debezium import show_connectors

    show_connectors(project, source, as_json=as_json)


@app.command()
def signal(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source.")],
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help="Its tables, by their short names.")],
    project: ProjectDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Have tables read again while changes go on: all their rows come to their topics once more.

    Example: `topline debezium signal shop orders order_items`
    """
    from topline.cli.debezium import signal_connector

    signal_connector(project, source, tables, as_json=as_json)


@app.command()
def remove(
    source: Source = None,
    project: ProjectDir = HERE,
    forget: Annotated[
        bool, typer.Option("--forget", help="Also how far they were: applied again, they copy their tables anew.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """End the connectors. Their topics stay, as do slot and publication in the source: they are named.

    Example: `topline debezium remove shop`
    """
    from topline.cli.debezium import remove_connectors

    remove_connectors(project, source, forget=forget, as_json=as_json)
