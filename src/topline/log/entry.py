"""What goes into the log in one commit, and what comes out of it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import pyarrow as pa

from topline.changes import DeadLetter, Position, Sweep, TableChanges
from topline.schema import TableSchema

HeldChange = TableChanges | Sweep


class LetterState(StrEnum):
    """What became of a dead letter. SUPERSEDED: its replay found a later change of its key, and was not applied; or another
    version of its file was read since."""

    OPEN = "open"
    REPLAYED = "replayed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One commit of the log: one epoch.

    changes       in order; explicit rows (sweeps resolved, `unchanged` filled in) in the table's logged schema, except of
                  the tables in `held`: theirs are kept as they came, sweeps too, until they are released
    positions     source -> partition -> where it stands now
    memory        source -> key -> bytes to remember, None forgets
    dead_letters  (source, letter) pairs
    replaced      source -> partition -> `hi` below which its open dead letters are superseded: it was read anew, whole
    letters       dead letter's id -> what its replay, which this entry carries, came to
    dirty         model -> its keys (the key columns) that this entry changed, to be published
    schemas       tables whose schema is new or changed, from this entry on
    source_times  source -> when its newest change was committed there (aware)
    held          tables whose changes in this entry are logged but not folded
    released      tables whose held changes go with this commit: `changes` has them, resolved, as one epoch
    complete      False: with this entry the tables stand amid a source's transaction; readers see the last complete epoch
    time          when it was committed (aware); None: now
    """

    changes: Sequence[HeldChange] = ()
    positions: Mapping[str, Mapping[str, Position]] = field(default_factory=dict)
    memory: Mapping[str, Mapping[str, bytes | None]] = field(default_factory=dict)
    dead_letters: Sequence[tuple[str, DeadLetter]] = ()
    replaced: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    letters: Mapping[int, LetterState] = field(default_factory=dict)
    dirty: Mapping[str, pa.Table] = field(default_factory=dict)
    schemas: Mapping[str, TableSchema] = field(default_factory=dict)
    source_times: Mapping[str, datetime] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    released: frozenset[str] = frozenset()
    complete: bool = True
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """The changes of one epoch, in order; of a folded stretch, the last change of each key, as of its last epoch."""

    epoch: int
    changes: tuple[TableChanges, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter as the log keeps it, without its bytes (they may be large: `Letters.raw`). `time` is UTC."""

    id: int
    source: str
    table: str
    partition: str
    position: Position
    locator: str
    reason: str
    epoch: int
    time: datetime
    state: LetterState
    size: int
