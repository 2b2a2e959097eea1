"""`topline dead-letters`: what could not be read, kept byte for byte."""

import sys
from typing import Annotated

import typer

from topline.cli.options import HERE, AsJson, ProjectDir, open_project
from topline.cli.output import out, plain, print_json, print_pairs, print_table
from topline.errors import UsageError
from topline.live.commands import submit
from topline.log import LogReader, StoredLetter

app = typer.Typer(help="What could not be read: kept byte for byte, to be shown and replayed.", no_args_is_help=True)

SHOWN = 60  # characters of a letter in the list
Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER...", help="Numbers as `list` shows them.")]


@app.command("list")
def list_letters(
    project: ProjectDir = HERE,
    table: Annotated[str | None, typer.Option(help="Only of this table, such as branches.sales.")] = None,
    state: Annotated[str | None, typer.Option(help="open, replayed or superseded.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List them, newest first. Example: `topline dead-letters list --table branches.sales`"""
    loaded = open_project(project)
    with LogReader.open(loaded.state_dir, loaded.config.project) as log:
        letters = list(log.dead_letters(table=table, state=state, limit=limit))
    if as_json:
        print_json([_fields(letter) for letter in letters])
        return
    rows = [(str(x.id), x.state, x.letter.table, x.letter.locator, x.letter.reason, _start(x.letter.raw)) for x in letters]
    print_table("", ("number", "state", "table", "where", "why", "begins"), rows)


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="A number as `list` shows it.")],
    project: ProjectDir = HERE,
    raw: Annotated[bool, typer.Option("--raw", help="Write the very bytes to standard output, nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one, whole. Example: `topline dead-letters show 7 --raw > line.csv`"""
    loaded = open_project(project)
    with LogReader.open(loaded.state_dir, loaded.config.project) as log:
        letter = log.dead_letter(number)
    if letter is None:
        raise UsageError(f"there is no dead letter {number}: `topline dead-letters list` shows the numbers")
    if raw:
        sys.stdout.buffer.write(letter.letter.raw)
    elif as_json:
        print_json(_fields(letter))
    else:
        print_pairs(_fields(letter))


@app.command()
def replay(numbers: Numbers, project: ProjectDir = HERE) -> None:
    """Read them again, after a fix: each is applied unless a later change of its key was. Twice changes nothing.

    Example: `topline dead-letters replay 7 8`
    """
    out.print(submit(open_project(project), "replay", {"letters": numbers}), markup=False)


def _fields(stored: StoredLetter) -> dict[str, str]:
    letter = stored.letter
    return {
        "number": str(stored.id),
        "state": str(stored.state),
        "source": stored.source,
        "table": letter.table,
        "where": letter.locator,
        "why": letter.reason,
        "time": str(plain(stored.time)),
        "bytes": str(plain(letter.raw)),
    }


def _start(raw: bytes) -> str:
    text = str(plain(raw[: SHOWN * 4])).replace("\n", "⏎").replace("\r", "")
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
