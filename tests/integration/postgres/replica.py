"""A replica as the live engine keeps one, but plain and slow: what a source's batches come to, applied by the book."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from topline.changes import DELETE, DeadLetter, Position, SchemaChange, SourceBatch, Sweep, TableChanges
from topline.schema import TableSchema
from topline.sources.base import Resume, Source

Row = tuple[Any, ...]
_STEPS = 2000


@dataclass
class Replica:
    """`rows`: table -> key -> (row, partition, hi). A change at or below its partition's committed position is dropped."""

    schemas: dict[str, TableSchema]
    rows: dict[str, dict[Row, tuple[Row, str, int]]] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    memory: dict[str, bytes] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    batches: list[SourceBatch] = field(default_factory=list)
    waiting: list[SourceBatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.declared = dict(self.schemas)
        self.rows = {name: {} for name in self.schemas}

    @property
    def resume(self) -> Resume:
        return Resume(dict(self.positions), dict(self.memory))

    def table(self, name: str) -> list[Row]:
        return [self.rows[name][key][0] for key in sorted(self.rows[name])]

    def apply(self, batch: SourceBatch) -> None:
        self.batches.append(batch)
        self.waiting.append(batch)
        if batch.complete:
            for part in self.waiting:
                self._commit(part)
            self.waiting = []

    def _commit(self, batch: SourceBatch) -> None:
        for part in batch.parts:
            if isinstance(part, SchemaChange):
                self.schemas[part.table] = part.schema
            elif isinstance(part, Sweep):
                self._sweep(part)
            else:
                self._change(part)
        self.letters += batch.dead_letters
        self.positions |= batch.positions
        for key, value in batch.memory.items():
            if value is None:
                self.memory.pop(key, None)
            else:
                self.memory[key] = value

    def _sweep(self, sweep: Sweep) -> None:
        if sweep.at <= self.positions.get(sweep.partition or "", Position(-1, 0)):
            return
        self.rows[sweep.table] = {
            key: kept
            for key, kept in self.rows[sweep.table].items()
            if (sweep.partition is not None and kept[1] != sweep.partition)
            or (sweep.below is not None and kept[2] >= sweep.below)
        }

    def _change(self, part: TableChanges) -> None:
        schema, table = self.schemas[part.table], self.rows[part.table]
        assert part.rows.schema == schema.arrow
        assert all(np.diff(part.hi) >= 0)
        committed = self.positions.get(part.partition, Position(-1, 0))
        columns = [_plain(part.rows.column(name)) for name in schema.names]
        places = [schema.names.index(name) for name in schema.key]
        for number, row in enumerate(zip(*columns, strict=True)):
            if (part.hi[number], part.lo[number]) <= committed:
                continue
            key = tuple(row[place] for place in places)
            if part.ops[number] == DELETE:
                table.pop(key, None)
                continue
            bits = 0 if part.unchanged is None else int(part.unchanged[number])
            values = tuple(table[key][0][i] if bits >> i & 1 else value for i, value in enumerate(row))
            table[key] = (values, part.partition, int(part.hi[number]))


def _plain(column: Any) -> list[Any]:
    """Times as their integers: an infinite one is no Python date."""
    kind = str(column.type)
    if kind.startswith("timestamp"):
        return list(pc.cast(column, "int64").to_pylist())
    return list(pc.cast(column, "int32").to_pylist() if kind.startswith("date") else column.to_pylist())


def follow(source: Source, replica: Replica, until: Callable[[], bool], most: int = 1000, confirm: bool = True) -> None:
    """Read, apply, acknowledge, until it is true."""
    for _ in range(_STEPS):
        if until():
            return
        batch = source.read(most, 0.05)
        if batch is not None:
            replica.apply(batch)
            if confirm:
                source.acknowledge(replica.positions)
    raise AssertionError(f"not reached in {_STEPS} steps: {source.progress()}, {replica.positions}")


def catch_up(source: Source, replica: Replica, most: int = 1000) -> None:
    """Open the source where the replica stands, follow it to its end, and leave it open."""
    source.open(replica.resume)
    follow(source, replica, source.reached_end, most)


def ids(replica: Replica, table: str = "shop.orders") -> list[int]:
    return [row[0] for row in replica.table(table)]


def copied_tables(replica: Replica) -> list[str]:
    parts = [part for batch in replica.batches if batch.copying for part in batch.parts]
    return sorted({part.table for part in parts if isinstance(part, TableChanges)})
