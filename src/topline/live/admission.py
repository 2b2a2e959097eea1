"""What of a source's batch is new: replayed prefixes are dropped here, before anything is applied."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import groupby

import numpy as np
import pyarrow as pa

from topline.changes import Part, Position, SchemaChange, SourceBatch, Sweep, TableChanges

_JOINED = 100_000  # rows: joining is for many small parts


class Admission:
    """Holds where each partition stands. A transaction that comes in parts is kept until its last part is there."""

    def __init__(self, positions: Mapping[str, Mapping[str, Position]]) -> None:
        self._positions = {source: dict(partitions) for source, partitions in positions.items()}
        self._open: dict[str, list[SourceBatch]] = {}

    def admit(self, batch: SourceBatch) -> SourceBatch | None:
        """The new part of `batch`, merged with its transaction's earlier parts; None while its transaction is open.

        Parts from before the source was opened again are dropped: the whole transaction comes again.
        """
        earlier = [part for part in self._open.pop(batch.source, []) if part.opening == batch.opening]
        if not batch.complete:
            self._open[batch.source] = [*earlier, batch]
            return None
        whole = _merge([*earlier, batch]) if earlier else batch
        stands = self._positions.setdefault(batch.source, {})
        parts = tuple(part for part in (_fresh(part, stands) for part in whole.parts) if part is not None)
        letters = tuple(letter for letter in whole.dead_letters if _is_new(letter.partition, letter.position, stands))
        ahead = {name: at for name, at in whole.positions.items() if _is_new(name, at, stands)}
        memory = {} if whole.positions and not ahead else whole.memory  # a replay must not bring old memory back
        stands.update(ahead)
        return replace(whole, parts=parts, dead_letters=letters, positions=ahead, memory=memory)

    def forget(self, source: str, positions: Mapping[str, Position]) -> None:
        """Nothing of `source` was taken after `positions`."""
        self._positions[source] = dict(positions)
        self._open.pop(source, None)


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
