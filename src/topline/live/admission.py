"""What of a source's batch is new: replayed prefixes are dropped here, before anything is applied."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from topline.changes import Part, Position, SchemaChange, SourceBatch, Sweep, TableChanges
from topline.live.transaction import Transaction

_JOINED = 100_000  # rows: joining is for many small parts
_AT_ONCE_BYTES = 64 << 20  # what is larger is folded in parts, however few its rows are


@dataclass(frozen=True, slots=True)
class Large:
    """A whole transaction that is too large for one batch. The last of `batches` is complete, and has all its positions."""

    source: str
    batches: Iterator[SourceBatch]


class Admission:
    """Holds where each partition stands. A transaction that comes in parts is kept until its last part is there.

    `most`: rows of a transaction that is folded at once; `folder`: where parts wait (None: the system's temporary folder).
    """

    def __init__(
        self, positions: Mapping[str, Mapping[str, Position]], most: int = _JOINED, folder: Path | None = None
    ) -> None:
        self._positions = {source: dict(partitions) for source, partitions in positions.items()}
        self._open: dict[str, Transaction] = {}
        self._most, self._folder = most, folder
        self._large: Large | None = None

    def admit(self, batch: SourceBatch) -> SourceBatch | None:
        """The new part of `batch`, with its transaction's earlier parts; None while its transaction is open, and where it is
        a large one: `take_large` gives that, once it is whole. Nothing else may be admitted before.

        Parts from before the source was opened again are dropped: the whole transaction comes again.
        """
        transaction = self._transaction_of(batch)
        if transaction is None:
            return self._new(batch)
        transaction.add(batch)
        if not batch.complete:
            self._open[batch.source] = transaction
            return None
        if transaction.rows > self._most or transaction.size > _AT_ONCE_BYTES:
            return self._hold_large(batch.source, transaction)
        whole = _merge(list(transaction.parts()))
        transaction.close()
        return self._new(whole)

    def _transaction_of(self, batch: SourceBatch) -> Transaction | None:
        """The transaction that `batch` is a part of; None where it is one by itself."""
        begun = self._open.pop(batch.source, None)
        if begun is not None and begun.opening == batch.opening:
            return begun
        if begun is not None:
            begun.close()
        return None if batch.complete else Transaction(self._folder, batch.opening)

    def _new(self, whole: SourceBatch) -> SourceBatch:
        stands = self._positions.setdefault(whole.source, {})
        fresh = without_replayed(whole, stands)
        stands.update(fresh.positions)
        return fresh

    def take_large(self) -> Large | None:
        large, self._large = self._large, None
        return large

    def _hold_large(self, source: str, transaction: Transaction) -> SourceBatch | None:
        """Of a transaction that is a replay, nothing."""
        last = _merge(transaction.heads)
        stands = dict(self._positions.get(source, {}))
        admitted = self._new(last)
        if last.positions and not admitted.positions:
            transaction.close()
            return admitted
        self._large = Large(source, _in_parts(transaction, stands, admitted))
        return None

    def forget(self, source: str, positions: Mapping[str, Position]) -> None:
        """Nothing of `source` was taken after `positions`."""
        self._positions[source] = dict(positions)
        if (begun := self._open.pop(source, None)) is not None:
            begun.close()


def _in_parts(transaction: Transaction, stands: Mapping[str, Position], last: SourceBatch) -> Iterator[SourceBatch]:
    """Its own position goes last, with `last`: of a transaction that is cut off, all comes again."""
    for part in transaction.parts():
        fresh = without_replayed(part, stands)
        whole = last if part.complete else replace(part, positions={}, memory={}, time=None)
        yield replace(whole, parts=fresh.parts, dead_letters=fresh.dead_letters)
    transaction.close()


def without_replayed(batch: SourceBatch, stands: Mapping[str, Position]) -> SourceBatch:
    """What is new in `batch`; a replay must not bring old memory back."""
    parts = tuple(part for part in (_fresh(part, stands) for part in batch.parts) if part is not None)
    letters = tuple(letter for letter in batch.dead_letters if _is_new(letter.partition, letter.position, stands))
    ahead = {name: at for name, at in batch.positions.items() if _is_new(name, at, stands)}
    memory = {} if batch.positions and not ahead else batch.memory
    return replace(batch, parts=parts, dead_letters=letters, positions=ahead, memory=memory)


def _merge(batches: list[SourceBatch]) -> SourceBatch:
    last = batches[-1]
    return replace(
        last,
        parts=tuple(part for batch in batches for part in batch.parts),
        positions={name: at for batch in batches for name, at in batch.positions.items()},
        dead_letters=tuple(letter for batch in batches for letter in batch.dead_letters),
        memory={name: value for batch in batches for name, value in batch.memory.items()},
    )


def _is_new(partition: str, at: Position, stands: Mapping[str, Position]) -> bool:
    return partition not in stands or at > stands[partition]


def _fresh(part: Part, stands: Mapping[str, Position]) -> Part | None:
    if isinstance(part, SchemaChange):
        return part
    if isinstance(part, Sweep):
        return part if _is_new(part.partition or "", part.at, stands) else None  # a TRUNCATE belongs to partition ""
    if part.partition not in stands:
        return part
    hi, lo = stands[part.partition]
    new = (part.hi > hi) | ((part.hi == hi) & (part.lo > lo))
    if new.all():
        return part
    return _take(part, np.flatnonzero(new)) if new.any() else None


def _take(part: TableChanges, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> TableChanges:
    return TableChanges(
        part.table,
        part.partition,
        part.rows.take(pa.array(rows)),
        part.ops[rows],
        part.hi[rows],
        part.lo[rows],
        None if part.unchanged is None else part.unchanged[rows],
    )


def joined(parts: Iterable[TableChanges | Sweep]) -> list[TableChanges | Sweep]:
    """The parts with changes of one table and partition that follow each other as one. The order within a table stays;
    tables do not see each other, so that order among them means nothing."""
    lines: dict[str, list[TableChanges | Sweep]] = {}
    for part in parts:
        lines.setdefault(part.table, []).append(part)
    runs = (list(run) for line in lines.values() for _, run in groupby(line, _run_of))
    return [part for run in runs for part in _one(run)]


def _run_of(part: TableChanges | Sweep) -> tuple[bool, str | None]:
    return isinstance(part, Sweep), part.partition


def _one(run: list[TableChanges | Sweep]) -> list[TableChanges | Sweep]:
    changes = [part for part in run if isinstance(part, TableChanges)]
    if len(changes) < 2 or sum(map(len, changes)) > _JOINED:
        return run
    unchanged = None
    if any(part.unchanged is not None for part in changes):
        unchanged = np.concatenate([np.zeros(len(p), np.int64) if p.unchanged is None else p.unchanged for p in changes])
    rows = pa.concat_tables([part.rows for part in changes])
    ops, hi, lo = (np.concatenate([getattr(part, name) for part in changes]) for name in ("ops", "hi", "lo"))
    return [TableChanges(changes[0].table, changes[0].partition, rows, ops, hi, lo, unchanged)]
