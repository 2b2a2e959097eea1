"""Runs benchmarks, each in a process of its own; prints one table, keeps the results and writes docs/benchmarks.md.

`python -m bench [--scale small|full] [--resume] [NAME ...]`
"""

import argparse
import subprocess
import sys

from rich.console import Console
from rich.table import Table

from bench.figures import COLUMNS, NAMES, Result, kept, rows
from bench.machine import code
from bench.page import PAGE, render

LIMIT = {"small": 1800, "full": 3 * 3600}
"""Seconds after which a benchmark is given up."""


def main(arguments: list[str]) -> int:
    wish = _parser().parse_args(arguments)
    unknown = sorted(set(wish.names) - set(NAMES))
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    names = [name for name in NAMES if name in wish.names or not wish.names]
    failed = [name for name in names if not (wish.resume and done(name, wish.scale)) and not run(name, wish.scale)]
    results = [found for name in names if name not in failed and (found := kept(name))]
    show(results)
    PAGE.write_text(render(NAMES))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"benchmarks to run: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--scale", choices=sorted(LIMIT), default="small", help="small: a quarter of an hour; full: hours")
    parser.add_argument("--resume", action="store_true", help="leave out what was measured with this code at this scale")
    return parser


def done(name: str, scale: str) -> bool:
    """It was measured, at this scale, with the code as it is."""
    found, now = kept(name), code()
    return found is not None and bool(now) and (found.scale, found.code) == (scale, now)


def run(name: str, scale: str) -> bool:
    """In a process of its own, so that none inherits another's memory or threads; its messages go to the terminal."""
    print(f"== {name} ({scale})", file=sys.stderr, flush=True)
    command = [sys.executable, "-W", "ignore:Arrow output", "-m", "bench.one", name, scale]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            return process.wait(LIMIT[scale]) == 0
        except subprocess.TimeoutExpired:
            print(f"   given up after {LIMIT[scale]} s", file=sys.stderr)
            process.terminate()  # it stops its servers
            return False


def show(results: list[Result]) -> None:
    """All figures in one table."""
    table = Table(*COLUMNS, title="Topline's benchmarks")
    for result in results:
        table.add_section()
        for row in rows(result.figures):
            table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 180).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
