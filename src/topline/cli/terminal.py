"""The live view on a terminal, plain lines where there is none, the final rankings, and progress bars."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from topline.cli.view_data import CityLine, SalesmanLine, SourceLine, View
from topline.cli.view_layout import CITY, SALESMAN, Layout, Size, plain_line, ranking

__all__ = ["CityLine", "SalesmanLine", "SourceLine", "View", "final_rankings", "progress", "watch"]

_REFRESH, _PLAIN = 0.5, 5.0  # seconds between two looks: on a terminal, and elsewhere
_FINAL_ROWS = 10


def watch(read: Callable[[], View], stop: threading.Event, console: Console) -> None:
    """Show what `read` says until `stop` is set. Blocks; `read` is called from this thread alone. Ctrl-C passes through."""
    if console.is_terminal and not console.is_dumb_terminal:
        _watch_live(read, stop, console)
    else:
        _watch_plain(read, stop, console)


def _watch_live(read: Callable[[], View], stop: threading.Event, console: Console) -> None:
    layout = Layout()
    with Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False) as live:
        while True:
            live.update(layout.draw(read(), _size(console)), refresh=True)
            if stop.wait(_REFRESH):
                return


def _watch_plain(read: Callable[[], View], stop: threading.Event, console: Console) -> None:
    while not stop.wait(_PLAIN):
        console.print(plain_line(read()), soft_wrap=True, markup=False)


def final_rankings(view: View, console: Console) -> None:
    """The rankings as they stand at the end, one above the other, to stay on the terminal."""
    size = Size(min(console.width, 100), 0, console.options.ascii_only)
    cities, salesmen = view.cities[:_FINAL_ROWS], view.salesmen[:_FINAL_ROWS]
    tables = (
        ranking(f"Top cities, {view.day} ({view.currency})", CITY, cities, [""] * len(cities), size),
        ranking(f"Top salesmen, {view.day} ({view.currency})", SALESMAN, salesmen, [""] * len(salesmen), size),
    )
    console.print(Group(Text(), tables[0], Text(), tables[1], Text()), width=size.width)


def _size(console: Console) -> Size:
    return Size(console.width, console.height, console.options.ascii_only)


class Report(Protocol):
    """Says how far a piece of work is; `total` of None: nobody knows yet."""

    def __call__(self, done: int, total: int | None = None) -> None: ...


@contextmanager
def progress(what: str, console: Console) -> Iterator[Report]:
    """A bar for long work (snapshot, backlog, rebuild, audit), gone when it is done; silent where there is no terminal."""
    if not console.is_terminal:
        yield _silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield _reporter(bars, task)


def _reporter(bars: Progress, task: TaskID) -> Report:
    def report(done: int, total: int | None = None) -> None:
        bars.update(task, completed=done, total=total)

    return report


def _silent(done: int, total: int | None = None) -> None:
    """Nobody watches."""
