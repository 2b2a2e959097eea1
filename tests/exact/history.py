"""Random histories of batches over some tables, as data that can be shrunk, and what the tables hold after each batch."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
import pyarrow as pa

from tests.exact.tables import Row, TableSpec
from topline.changes import DELETE, UPSERT, Part, Position, SourceBatch, Sweep, TableChanges
from topline.schema import TableSchema

Change = tuple[int, Row, int]
"""(UPSERT or DELETE, row, columns left out as unchanged: bit i for column i, where the row is there)"""


@dataclass(frozen=True)
class Event:
    """Something that happens to one table.

    kind       of what the generator thought
    changes    in order; None: there are none, only the sweep
    sweep      None; or how many of the newest positions of `partition` stay (0: only what this event writes itself)
    """

    kind: str
    table: str
    partition: str | None
    changes: tuple[Change, ...] = ()
    sweep: int | None = None


@dataclass(frozen=True)
class Delivery:
    """What a source hands over. `again`: so many of its last deliveries come once more before it, all in one where `merged`.
    `parts`: a transaction that comes in so many pieces."""

    source: str
    events: tuple[Event, ...]
    again: int = 0
    merged: bool = False
    parts: int = 1


Batch = tuple[Delivery, ...]
History = tuple[Batch, ...]


class Histories:
    """`random` decides. Batches come in moods: rows mostly come, or mostly go."""

    def __init__(self, random: Random, tables: Mapping[str, TableSpec]) -> None:
        self._random = random
        self._tables = tables
        self._sources = list(dict.fromkeys(name.partition(".")[0] for name in tables))

    def history(self, batches: int) -> History:
        return tuple(self._first() if not number else self._batch() for number in range(batches))

    def _first(self) -> Batch:
        """Enough to begin with, that joins find something."""
        return tuple(
            Delivery(source, tuple(self._rows("rows", name, max(3, spec.most // 2), 0.0) for name, spec in self._of(source)))
            for source in self._sources
        )

    def _of(self, source: str) -> list[tuple[str, TableSpec]]:
        return [(name, spec) for name, spec in self._tables.items() if name.partition(".")[0] == source]

    def _batch(self) -> Batch:
        chance, goes = self._random.random(), self._random.choice([0.1, 0.3, 0.3, 0.7])
        if chance < 0.15:
            deliveries = [Delivery(s, tuple(self._event(name, goes) for name, _ in self._of(s))) for s in self._sources]
        else:
            deliveries = [self._delivery(goes) for _ in range(self._random.choice([1, 1, 2, 3]))]
        self._random.shuffle(deliveries)
        return tuple(deliveries)

    def _delivery(self, goes: float) -> Delivery:
        source = self._random.choice(self._sources)
        names = [name for name, _ in self._of(source)]
        events = tuple(self._event(self._random.choice(names), goes) for _ in range(self._random.choice([1, 1, 2, 3])))
        again = self._random.choice([1, 2, 5]) if self._random.random() < 0.2 else 0
        return Delivery(source, events, again, self._random.random() < 0.5, self._random.choice([1, 1, 1, 2, 3]))

    def _event(self, name: str, goes: float) -> Event:
        kinds = {
            "rows": 12,
            "one": 6,
            "moved": 3,
            "corrected": 5,
            "kept": 3,
            "twice": 2,
            "copied": 2,
            "swept": 2,
            "truncated": 1,
            "many": 1,
        }
        kind = self._random.choices(list(kinds), list(kinds.values()))[0]
        if kind in {"swept", "truncated"}:
            return Event(kind, name, None if kind == "truncated" else self._partition(name), (), self._random.choice([0, 1, 3]))
        if kind == "copied":
            return replace(self._rows(kind, name, max(2, self._tables[name].most // 2), 0.0), sweep=0)
        if kind in {"moved", "twice", "kept"}:
            return getattr(self, f"_{kind}")(name)  # type: ignore[no-any-return]
        count = {"rows": self._random.choice([2, 4, 9]), "one": 1, "corrected": 3, "many": 150}[kind]
        return self._rows(kind, name, count, 0.0 if kind == "corrected" else goes)

    def _partition(self, name: str) -> str:
        return self._random.choice(self._tables[name].partitions)

    def _row(self, name: str) -> Row:
        return self._tables[name].row(self._random)

    def _rows(self, kind: str, name: str, count: int, goes: float) -> Event:
        ops = [DELETE if self._random.random() < goes else UPSERT for _ in range(count)]
        return Event(kind, name, self._partition(name), tuple((op, self._row(name), 0) for op in ops))

    def _moved(self, name: str) -> Event:
        """Rows under another key, also one that is there; sometimes two that change places."""
        old, new = self._row(name), self._row(name)
        moves: list[Change] = [(DELETE, old, 0), (UPSERT, new, 0)]
        if self._random.random() < 0.3:
            moves = [(DELETE, old, 0), (DELETE, new, 0), (UPSERT, old, 0), (UPSERT, new, 0)]
        return Event("moved", name, self._partition(name), tuple(moves))

    def _twice(self, name: str) -> Event:
        """The same change again, and a key several times with other values."""
        row = self._row(name)
        other = self._tables[name].same_key(self._random, row)
        changes: list[Change] = [(UPSERT, row, 0), (UPSERT, row, 0), (UPSERT, other, 0), (UPSERT, row, 0)]
        return Event("twice", name, self._partition(name), tuple(changes[self._random.randrange(3) :]))

    def _kept(self, name: str) -> Event:
        """Updates that leave some columns out."""
        schema = self._tables[name].schema
        bits = [1 << place for place, column in enumerate(schema.names) if column not in schema.key]
        changes = tuple(
            (UPSERT, self._row(name), sum(bit for bit in bits if self._random.random() < 0.5))
            for _ in range(self._random.choice([1, 3, 6]))
        )
        return Event("kept", name, self._partition(name), changes)


@dataclass
class Truth:
    """What the tables hold: key -> (row, partition, hi), in plain dictionaries; and what was delivered."""

    tables: Mapping[str, TableSpec]
    clock: int = 0
    held: dict[str, dict[Row, tuple[Row, str, int]]] = field(default_factory=dict)
    sent: dict[str, list[SourceBatch]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.held = {name: {} for name in self.tables}

    def batches(self, batch: Batch) -> list[SourceBatch]:
        """The batch as sources hand it over; it is applied here as well."""
        return [one for delivery in batch for one in self._deliver(delivery)]

    def _deliver(self, delivery: Delivery) -> Iterator[SourceBatch]:
        sent = self.sent.setdefault(delivery.source, [])
        again = sent[len(sent) - delivery.again :] if delivery.again else []
        self.kinds["redelivered"] += bool(again)
        parts = [part for event in delivery.events for part in self._happen(event)]
        new = SourceBatch(delivery.source, tuple(parts), positions_of(parts))
        sent.append(new)
        if again and delivery.merged:
            yield _merged([*again, new])
            return
        yield from again
        yield from _in_pieces(new, delivery.parts)

    def _happen(self, event: Event) -> Iterator[Part]:
        self.clock += 1
        self.kinds[event.kind] += 1
        if event.changes:
            yield self._change(event)
        if event.sweep is not None:
            self.clock += event.changes == ()
            yield self._sweep(event)

    def _change(self, event: Event) -> TableChanges:
        held, spec, done = self.held[event.table], self.tables[event.table], []
        partition = event.partition or ""
        for op, row, kept in event.changes:
            key = spec.key(row)
            kept = kept if op == UPSERT and key in held else 0
            if op == UPSERT:
                held[key] = (_filled(row, kept, held[key][0]) if kept else row, partition, self.clock)
            else:
                held.pop(key, None)
            done.append((op, row, kept))
        return changes_of(spec.schema, partition, self.clock, done)

    def _sweep(self, event: Event) -> Sweep:
        held = self.held[event.table]
        below = None if event.partition is None else self.clock - (event.sweep or 0)
        for key, (_, owner, hi) in list(held.items()):
            if event.partition is None or (owner == event.partition and below is not None and hi < below):
                del held[key]
        return Sweep(event.table, event.partition, below, Position(self.clock, len(event.changes)))

    def rows(self) -> dict[str, list[Row]]:
        return {name: [row for row, _, _ in held.values()] for name, held in self.held.items()}

    def arrow(self) -> dict[str, pa.Table]:
        return {name: as_arrow(self.tables[name].schema, rows) for name, rows in self.rows().items()}


def _filled(row: Row, kept: int, held: Row) -> Row:
    return tuple(old if kept >> place & 1 else new for place, (new, old) in enumerate(zip(row, held, strict=True)))


def changes_of(schema: TableSchema, partition: str, hi: int, changes: Sequence[Change]) -> TableChanges:
    """One part. Its positions are (hi, 0), (hi, 1), ..."""
    kept = np.array([mask for _, _, mask in changes], np.int64)
    ops = np.array([op for op, _, _ in changes], np.int8)
    rows = as_arrow(schema, [row for _, row, _ in changes])
    places = np.arange(len(changes), dtype=np.int64)
    return TableChanges(schema.name, partition, rows, ops, np.full(len(changes), hi), places, kept if kept.any() else None)


def as_arrow(schema: TableSchema, rows: Sequence[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema.columns)
    arrays = [pa.array(values, column.type.arrow) for values, column in zip(columns, schema.columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema.arrow)


def positions_of(parts: Iterable[Part]) -> dict[str, Position]:
    """Where these parts leave each partition."""
    positions: dict[str, Position] = {}
    for part in parts:
        if isinstance(part, Sweep):
            partition, at = part.partition or "", part.at
        elif isinstance(part, TableChanges):
            partition, at = part.partition, Position(int(part.hi[-1]), int(part.lo[-1]))
        else:
            continue
        positions[partition] = max(at, positions.get(partition, at))
    return positions


def _merged(batches: Sequence[SourceBatch]) -> SourceBatch:
    parts = tuple(part for batch in batches for part in batch.parts)
    return SourceBatch(batches[-1].source, parts, positions_of(parts))


def _in_pieces(batch: SourceBatch, count: int) -> Iterator[SourceBatch]:
    """A transaction in `count` pieces, of which only the last is complete."""
    size = max(1, len(batch.parts) // count)
    starts = [0, *range(size, size * min(count, len(batch.parts)), size)]
    for start, end in zip(starts, [*starts[1:], len(batch.parts)], strict=True):
        parts = batch.parts[start:end]
        yield replace(batch, parts=parts, positions=positions_of(parts), complete=end == len(batch.parts))
