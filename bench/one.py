"""One benchmark in this process: `python -m bench.one NAME small|full`. Its module has `run(scale)`, which yields figures."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module

from bench.figures import Figure, Result, keep, rows
from bench.machine import code, machine


def main(name: str, scale: str) -> None:
    run: Callable[[str], Iterator[Figure]] = import_module(f"bench.{name}").run
    began, before = time.monotonic(), machine()
    figures = []
    for figure in run(scale):
        print("   " + "  ".join(cell for cell in rows([figure])[0] if cell), file=sys.stderr, flush=True)
        figures.append(figure)
    when = datetime.now(UTC).isoformat(timespec="minutes")
    keep(Result(name, scale, code(), when, before, time.monotonic() - began, tuple(figures)))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are stopped, and folders go
    main(*sys.argv[1:])
