"""`topline dead-letters`: what could not be read, kept byte for byte."""

import sys
from typing import Annotated

import typer

from topline.cli.options import HERE, AsJson, ProjectDir, open_project
from topline.cli.output import out, plain, print_json, print_pairs, print_table
from topline.config import Project
from topline.errors import UsageError
from topline.live.asking import ask
from topline.log import LetterState, LogReader, StoredLetter
from topline.sources.spill import original

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
        letters = log.letters.list(table=table, state=_state(state), limit=limit, newest_first=True)
        raw = {letter.id: _begin(log.letters.raw(letter.id), loaded) for letter in letters}
    if as_json:
        print_json([_fields(letter, raw[letter.id]) for letter in letters])
        return
    rows = [(str(x.id), x.state, x.table, x.locator, x.reason, _start(raw[x.id])) for x in letters]
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
        letter, stored = log.letters.get(number), log.letters.raw(number)
    if raw:
        for piece in original(stored, loaded.state_dir):
            sys.stdout.buffer.write(piece)
    elif as_json:
        print_json(_fields(letter, b"".join(original(stored, loaded.state_dir))))
    else:
        print_pairs(_fields(letter, _begin(stored, loaded)))


@app.command()
def replay(numbers: Numbers, project: ProjectDir = HERE) -> None:
    """Read them again, after a fix: each is applied unless a later change of its key was. Twice changes nothing.

    Example: `topline dead-letters replay 7 8`
    """
    out.print(ask(open_project(project), "replay", {"letters": numbers}), markup=False)


def _begin(stored: bytes, project: Project) -> bytes:
    """The bytes, of a large letter the first piece: enough to see what it is."""
    return next(original(stored, project.state_dir), b"")


def _state(name: str | None) -> LetterState | None:
    if name is not None and name not in set(LetterState):
        raise UsageError(f"--state {name!r}: one of {', '.join(LetterState)} is expected")
    return None if name is None else LetterState(name)


def _fields(letter: StoredLetter, raw: bytes) -> dict[str, str]:
    return {
        "number": str(letter.id),
        "state": str(letter.state),
        "source": letter.source,
        "table": letter.table,
        "where": letter.locator,
        "why": letter.reason,
        "time": str(plain(letter.time)),
        "bytes": str(plain(raw)),
    }


def _start(raw: bytes) -> str:
    text = str(plain(raw[: SHOWN * 4])).replace("\n", "⏎").replace("\r", "")
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
