"""`topline dead-letters`: what could not be read, kept byte for byte."""

from typing import Annotated

import typer

from topline.cli.options import HERE, AsJson, ProjectDir
from topline.errors import UsageError

app = typer.Typer(help="What could not be read: kept byte for byte, to be shown and replayed.", no_args_is_help=True)

Numbers = Annotated[list[int] | None, typer.Argument(metavar="NUMBER...", help="Numbers as `list` shows them.")]


@app.command("list")
def list_letters(
    project: ProjectDir = HERE,
    table: Annotated[str | None, typer.Option(help="Only of this table, such as branches.sales.")] = None,
    state: Annotated[str | None, typer.Option(help="open, replayed or superseded.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List them, newest first.

    Example: `topline dead-letters list --table branches.sales`
    """
    from topline.cli.letters import show_letters

    show_letters(project, table=table, state=state, limit=limit, as_json=as_json)


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="A number as `list` shows it.")],
    project: ProjectDir = HERE,
    raw: Annotated[bool, typer.Option("--raw", help="Write the very bytes to standard output, nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one, whole.

    Example: `topline dead-letters show 7 --raw > line.csv`
    """
    from topline.cli.letters import show_letter, write_bytes

    if raw:
        write_bytes(project, number)
    else:
        show_letter(project, number, as_json=as_json)


@app.command()
def topics(
    project: ProjectDir = HERE,
    table: Annotated[str | None, typer.Option(help="Only of this table, such as branches.sales.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what lies in the tables' topics of dead letters: of Flink, of `topline ingest` and of Kafka Connect.

    Example: `topline dead-letters topics --table shop.orders`
    """
    from topline.cli.letter_topics import show_topics

    show_topics(project, table=table, as_json=as_json)


@app.command()
def replay(
    numbers: Numbers = None,
    project: ProjectDir = HERE,
    engine: Annotated[
        str, typer.Option(help="live: those of the log, by number; flink: all, as the job reads all anew.")
    ] = "live",
    as_json: AsJson = False,
) -> None:
    """Read them again, after a fix: each is applied unless a later change of its key was. Twice changes nothing.

    Example: `topline dead-letters replay 7 8`
    """
    from topline.cli.asking import replay_letters

    if engine == "flink":
        from topline.cli.letter_topics import replay_on_flink  # Kafka's client comes with an extra

        replay_on_flink(project, numbers or [], as_json=as_json)
    elif engine == "live":
        replay_letters(project, numbers or [], as_json=as_json)
    else:
        raise UsageError(f"--engine {engine!r}: live or flink is expected; each run on Spark reads all anew")
