"""What a source is: five methods. Threads, batching, retry, and counting live once, in `topline.sources.reader`.

The standard that each kind keeps is docs/sources/standard.md; the conformance suite in tests/conformance holds it to that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from topline.changes import DeadLetter, Position, SourceBatch, TableChanges
from topline.kafka.settings import KafkaSettings
from topline.schema import TableSchema


@dataclass(frozen=True, slots=True)
class Resume:
    """What the log knows of a source: where each partition stands, and what the source asked it to remember."""

    positions: Mapping[str, Position] = field(default_factory=dict)
    memory: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What a source is made from. `tables`: declared columns and keys by table name without the source (`orders`).

    `settings` have their secrets resolved; `root` is the project's folder; `state_dir` is the engine's, for temporary spill
    and the embedded PostgreSQL; `zone` is the source's time zone for times that carry none; `kafka`: the project's cluster.
    """

    name: str
    tables: Mapping[str, TableSchema]
    root: Path
    state_dir: Path
    kafka: KafkaSettings | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that `topline check` found. `remedy` is what to do, exactly (a GRANT, a setting, a line to write)."""

    where: str
    problem: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source is. `lag_bytes`: what lies unread at the source, where it can be known. `detail`: for people."""

    phase: str = "starting"  # starting | copying | streaming | idle
    done: int = 0
    total: int | None = None
    lag_bytes: int | None = None
    detail: str = ""


class Source(Protocol):
    """One source. All methods are called from one thread, except `check` and `current`, which stand alone.

    A method raises TransientError for what another try may heal (it is opened anew after a backoff), SourceHalted for
    what a person must mend.
    """

    name: str

    def check(self) -> list[Fault]:
        """Every fault at once, before running. Reads only."""

    def open(self, resume: Resume) -> None:
        """Connect and go to where `resume` says; also notes the source's end as it stands now (see `reached_end`)."""

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        """The next changes, at most about `max_rows`, or None when nothing came within `timeout` seconds.

        Replaying is allowed (the engine drops what is at or below a committed position); skipping never is.
        """

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """These positions are committed in the log: the source may let go of what lies before them."""

    def reached_end(self) -> bool:
        """True once all that the source held at `open` was returned by `read`."""

    def progress(self) -> Progress:
        """Where it stands, for status and progress bars. Cheap."""

    def current(self, table: str) -> Iterator[pa.Table]:
        """The rows that the source itself holds now, for `audit --sources`, in the declared columns."""

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:
        """What to commit to this source's memory so that the next `open` reads `table` (None: all) anew, whole, and
        retracts what it no longer sees. Reads nothing; the source is closed meanwhile."""

    def reread(self, letter: DeadLetter) -> TableChanges | DeadLetter:
        """Read a kept letter again under today's settings, for `dead-letters replay`: its row, or the letter with the reason
        why it still cannot be read. Stands alone; partition and positions of the row are set by the engine."""

    def close(self) -> None:
        """Let go of everything. Never raises; may be called twice and before `open`."""


def reads_anew(source: Source) -> bool:
    """Whether the origin still has what is in the log, so that it can be listed (`current`) and read again (`resync`).

    A source without it has `reads_anew = False`: what others send is gone from its inbox once it is in the log.
    """
    return bool(getattr(source, "reads_anew", True))


def is_shared(source: Source) -> bool:
    """Whether several engines may read it at once: reading moves nothing at its origin. One that can be has `shared = True`."""
    return bool(getattr(source, "shared", False))
