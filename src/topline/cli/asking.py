"""Asks the engine, the running one or the next, to read something again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topline.cli.opening import open_project
from topline.cli.output import out, print_json
from topline.config import Project
from topline.errors import UsageError
from topline.live.asking import ask
from topline.live.commands import REPLAY, RESYNC
from topline.live.start import load_plan
from topline.log import LogReader


def resync_target(folder: Path, target: str, *, as_json: bool) -> None:
    """Read a source, or a table of it, anew. UsageError where there is none of that name."""
    project = open_project(folder)
    tables = load_plan(project).tables
    if target not in tables and not any(name.startswith(f"{target}.") for name in tables):
        raise UsageError(f"there is no source or table {target!r}; the tables are {', '.join(tables)}")
    _ask(project, RESYNC, {"target": target}, as_json=as_json)


def replay_letters(folder: Path, numbers: list[int], *, as_json: bool) -> None:
    """Read letters again. UsageError for a number that is none, and without any."""
    if not numbers:
        raise UsageError("which letters? Give their numbers, as `topline dead-letters list` shows them")
    project = open_project(folder)
    with LogReader.open(project.state_dir, project.config.project) as log:
        for number in numbers:
            log.letters.get(number)
    _ask(project, REPLAY, {"letters": numbers}, as_json=as_json)


def _ask(project: Project, kind: str, arguments: Mapping[str, Any], *, as_json: bool) -> None:
    answer = ask(project, kind, arguments)
    if as_json:
        print_json({"answer": answer})
    else:
        out.print(answer, markup=False)
