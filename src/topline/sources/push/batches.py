"""From requests in the inbox to batches: several small requests together, a large one in parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from topline.changes import DeadLetter, Ints, Ops, Position, SourceBatch, TableChanges
from topline.schema import TableSchema
from topline.sources import spill
from topline.sources.push.outlet import Request
from topline.sources.push.stored import Rows, decode, fitted

PARTITION = "inbox"
_LETTER_BYTES = 1 << 20  # a longer one lies in a file of the state folder
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shape:
    """What requests are read as: the tables that are declared now, by full name, and where large letters go."""

    source: str
    tables: Mapping[str, TableSchema]
    zone: ZoneInfo
    state_dir: Path


@dataclass(slots=True)
class _Collected:
    """Rows of one table out of several requests."""

    rows: list[pa.Table] = field(default_factory=list)
    ops: list[Ops] = field(default_factory=list)
    hi: list[Ints] = field(default_factory=list)
    lo: list[Ints] = field(default_factory=list)

    def add(self, request: Request, rows: Rows) -> None:
        self.rows.append(rows.table)
        self.ops.append(rows.ops)
        self.hi.append(np.full(len(rows), request.generation, dtype=np.int64))
        self.lo.append(rows.places + request.first)

    def changes(self, table: str) -> TableChanges:
        rows = pa.concat_tables(self.rows).combine_chunks()
        ops, hi, lo = np.concatenate(self.ops), np.concatenate(self.hi), np.concatenate(self.lo)
        return TableChanges(table, PARTITION, rows, ops, hi, lo)


def batch_of(requests: Sequence[Request], shape: Shape) -> SourceBatch:
    """Whole requests as one batch."""
    tables: dict[str, _Collected] = {}
    letters: list[DeadLetter] = []
    for request in requests:
        rows, unfit = fitted(decode(request.data), shape.tables.get(request.table), shape.zone)
        if len(rows):
            tables.setdefault(request.table, _Collected()).add(request, rows)
        letters += _letters(request, unfit, shape.state_dir)
    return SourceBatch(
        shape.source,
        tuple(collected.changes(table) for table, collected in tables.items()),
        {PARTITION: requests[-1].at},
        tuple(letters),
        time=_EPOCH + timedelta(microseconds=requests[-1].time),
    )


def _letters(request: Request, unfit: Sequence[tuple[int, bytes, str]], state_dir: Path) -> Iterator[DeadLetter]:
    stored = [(letter.place, letter.raw, letter.reason, letter.locator) for letter in request.letters]
    stored += [(place, raw, reason, _locator(place)) for place, raw, reason in unfit]
    for place, raw, reason, locator in sorted(stored, key=lambda one: one[0]):
        at = Position(request.generation, request.first + place)
        raw = spill.keep(raw, _LETTER_BYTES, state_dir)
        yield DeadLetter(request.table, PARTITION, at, raw, reason, f"{locator}, number {at.lo}")


def _locator(place: int) -> str:
    return f"record {place + 1} of a body (application/json, utf-8)"


def slices(batch: SourceBatch, max_rows: int) -> Iterator[SourceBatch]:
    """The batch in parts of at most `max_rows` rows; all but the last are not complete."""
    if len(batch) <= max_rows:
        yield batch
        return
    pieces = [
        (part, start, min(max_rows, len(part) - start))
        for part in batch.parts
        if isinstance(part, TableChanges)
        for start in range(0, len(part), max_rows)
    ]
    for number, (part, start, count) in enumerate(pieces, start=1):
        one = (_piece(part, start, count),)
        if number < len(pieces):
            yield SourceBatch(batch.source, one, complete=False)
        else:
            yield replace(batch, parts=one)


def _piece(part: TableChanges, start: int, count: int) -> TableChanges:
    chosen = slice(start, start + count)
    rows = part.rows.slice(start, count)
    return TableChanges(part.table, part.partition, rows, part.ops[chosen], part.hi[chosen], part.lo[chosen])
