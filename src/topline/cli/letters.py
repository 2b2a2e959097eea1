"""Shows what could not be read: kept byte for byte."""

import sys
from pathlib import Path

from topline.cli.opening import open_project
from topline.cli.output import plain, print_json, print_pairs, print_table
from topline.config import Project
from topline.errors import UsageError
from topline.log import LetterState, LogReader, StoredLetter
from topline.sources.spill import original

SHOWN = 60  # characters of a letter in the list


def show_letters(folder: Path, *, table: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """Newest first, those of a table or state only. UsageError where there is no such state."""
    loaded = open_project(folder)
    with LogReader.open(loaded.state_dir, loaded.config.project) as log:
        letters = log.letters.list(table=table, state=_state(state), limit=limit, newest_first=True)
        raw = {letter.id: _begin(log.letters.raw(letter.id), loaded) for letter in letters}
    if as_json:
        print_json([_fields(letter, raw[letter.id]) for letter in letters])
        return
    rows = [(str(x.id), x.state, x.table, x.locator, x.reason, start(raw[x.id])) for x in letters]
    print_table("", ("number", "state", "table", "where", "why", "begins"), rows)


def show_letter(folder: Path, number: int, *, as_json: bool) -> None:
    loaded = open_project(folder)
    with LogReader.open(loaded.state_dir, loaded.config.project) as log:
        letter, stored = log.letters.get(number), log.letters.raw(number)
    if as_json:
        print_json(_fields(letter, b"".join(original(stored, loaded.state_dir))))
    else:
        print_pairs(_fields(letter, _begin(stored, loaded)))


def write_bytes(folder: Path, number: int) -> None:
    """The very bytes to standard output, a large letter piece by piece."""
    loaded = open_project(folder)
    with LogReader.open(loaded.state_dir, loaded.config.project) as log:
        stored = log.letters.raw(number)
    for piece in original(stored, loaded.state_dir):
        sys.stdout.buffer.write(piece)


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


def start(raw: bytes) -> str:
    """The first characters, in a line."""
    text = str(plain(raw[: SHOWN * 4])).replace("\n", "⏎").replace("\r", "")
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
