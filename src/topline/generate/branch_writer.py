"""Drops the branches' files into their folder: under another name first, then renamed, so that no half file is seen."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from topline.generate.events import Drop, Event

_STEP_NS = 1_000_000  # file systems keep times of different precision; a millisecond apart is told apart by all


class BranchWriter:
    """Modification times rise from file to file, also within one tick of the system's clock: readers go by them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp = 0

    def create(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stamp = max((path.stat().st_mtime_ns for path in self._folder.glob("*.csv")), default=0)

    def write(self, events: Iterable[Event]) -> None:
        for event in events:
            for drop in event.drops:
                self._drop(drop)

    def close(self) -> None:
        """Nothing is open between two files."""

    def _drop(self, drop: Drop) -> None:
        hidden = self._folder / f".{drop.name}.part"
        hidden.write_bytes(b"\n".join(drop.lines) + b"\n")
        self._stamp = max(time.time_ns() // _STEP_NS * _STEP_NS, self._stamp + _STEP_NS)
        os.utime(hidden, ns=(self._stamp, self._stamp))
        hidden.rename(self._folder / drop.name)
