"""A change, its position, and the batches in which changes travel from a source to the log and the live engine."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from topline.schema import TableSchema

Ints = npt.NDArray[np.int64]
Ops = npt.NDArray[np.int8]

UPSERT, DELETE = 0, 1


class Position(NamedTuple):
    """Where a partition of a source stands; monotone, compared as a pair.

    PostgreSQL: (commit LSN, sequence in the transaction). Files: (generation of the file, line), each re-read being a
    new generation. Pulled sources: (poll, row). Kafka: (topic generation, 2 x offset).
    """

    hi: int
    lo: int


@dataclass(frozen=True, slots=True)
class TableChanges:
    """Changes of one table from one partition, in the order in which they happened.

    rows       columns and types exactly as the table's schema; of a DELETE only the key columns count
    ops        UPSERT or DELETE, one a row
    hi, lo     the position of each row, one a row, not decreasing
    unchanged  optional, one a row: bit i set means "column i keeps the value that the table holds" (unchanged TOAST)
    """

    table: str
    partition: str
    rows: pa.Table
    ops: Ops
    hi: Ints
    lo: Ints
    unchanged: Ints | None = None

    def __len__(self) -> int:
        return len(self.ops)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Retract rows of `table`: those that `partition` still owns (it wrote them last) from positions with hi < `below`.

    So a re-read file, a full list or a re-copied table retracts what it did not see. Without a partition (TRUNCATE):
    every row that the table holds at this point of the batch. `at` is the position that the retraction takes.
    """

    table: str
    partition: str | None
    below: int | None
    at: Position


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """From this point of the batch on, the source's table has these columns (DDL, a new header)."""

    table: str
    schema: TableSchema


Part = TableChanges | Sweep | SchemaChange


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Raw bytes that do not split into fields, or a row without its key: kept byte for byte.

    `locator` tells a person where it stood (file and line, table and LSN); `position` orders it against its key's changes.
    """

    table: str
    partition: str
    position: Position
    raw: bytes
    reason: str
    locator: str


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """What a source hands over at once. All of it, with its positions and memory, is committed in one local transaction.

    positions  partition -> where it stands after this batch; a change at or below the committed one is dropped
    memory     what the source must remember beside its positions: key -> bytes, None forgets
    complete   False: a part of a larger transaction; it becomes visible with the part that is complete
    copying    True while a first copy is not consistent yet: models over this source's tables are not published
    time       when the newest change was committed at the source (UTC), for freshness
    replaced   partition -> what stood there below this `hi` was read anew, whole: open dead letters from before are done with
    opening    set by the reader, another each time that the source is opened: parts of one transaction have the same
    """

    source: str
    parts: tuple[Part, ...] = ()
    positions: dict[str, Position] = field(default_factory=dict)
    dead_letters: tuple[DeadLetter, ...] = ()
    memory: dict[str, bytes | None] = field(default_factory=dict)
    complete: bool = True
    copying: bool = False
    time: datetime | None = None
    opening: int = 0
    replaced: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts if isinstance(part, TableChanges))
