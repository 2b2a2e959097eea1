"""Drives a source without threads: reads, commits, kills, reopens."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.conformance.ledger import Ledger, Rows
from tests.conformance.origin import Origin
from tests.polling import until
from topline.changes import Position, SourceBatch
from topline.errors import TransientError
from topline.sources.base import Resume, Source

SECONDS = 20.0  # until a source has given what is there


@contextmanager
def opened(origin: Origin, resume: Resume) -> Iterator[Source]:
    """A source as a new process opens it: one that is not let in at once tries again."""
    source = origin.source()
    try:
        until(lambda: _tried(source, resume), timeout=SECONDS, what="the source opens")
        yield source
    finally:
        source.close()


def _tried(source: Source, resume: Resume) -> bool:
    try:
        source.open(resume)
    except TransientError:
        source.close()
        return False
    return True


def batches(source: Source, max_rows: int, enough: Callable[[], bool]) -> Iterator[SourceBatch]:
    """Batches until `enough()` and nothing more comes. Positions of a partition never go back within one opening."""
    stands: dict[str, Position] = {}
    deadline = time.monotonic() + SECONDS
    while True:
        batch = source.read(max_rows, 0.05)
        if batch is not None:
            _assert_forward(batch, stands)
            yield batch
        elif enough():
            return
        assert time.monotonic() < deadline, f"the source did not give all of it within {SECONDS} s"


def _assert_forward(batch: SourceBatch, stands: dict[str, Position]) -> None:
    for partition, position in batch.positions.items():
        before = stands.get(partition, position)
        assert position >= before, f"{partition} went back from {before} to {position}"
        stands[partition] = position


def read_to_end(source: Source, ledger: Ledger, max_rows: int = 1000) -> None:
    """Commit all that the source held when it was opened."""
    for batch in batches(source, max_rows, source.reached_end):
        ledger.commit(batch)


def read_until(source: Source, ledger: Ledger, truth: Rows, max_rows: int = 1000) -> None:
    """Commit until the ledger holds `truth`; then nothing may change it any more."""
    deadline = time.monotonic() + SECONDS
    while ledger.rows != truth and time.monotonic() < deadline:
        batch = source.read(max_rows, 0.05)
        if batch is not None:
            ledger.commit(batch)
    for _ in range(3):
        batch = source.read(max_rows, 0.05)
        if batch is not None:
            ledger.commit(batch)
    assert ledger.rows == truth
