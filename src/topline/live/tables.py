"""Replicated tables in memory: a batch's changes go in by key, the rows lost and gained come out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from topline.changes import DELETE, UPSERT, Sweep, TableChanges
from topline.errors import SourceHalted, WorkError
from topline.live.arrays import NULL, Array, Arrays, Columns, Flags, Ints, group_rows, hash_columns, nest, take, unnest
from topline.live.codec import decode, encode
from topline.live.delta import Delta
from topline.live.interner import Interner
from topline.live.rowstore import RowStore, narrow
from topline.schema import TableSchema, Type

CHUNK = 1_048_576  # rows that are decoded at once


@dataclass(frozen=True, slots=True)
class Run:
    """Parts of one table that are applied together, in their order, as many small ones cost little more than one large.

    columns: their rows, encoded, in the table's inner order; unchanged: None where no value of theirs is left out.
    """

    parts: Sequence[TableChanges]
    columns: Columns
    unchanged: Ints | None

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def lengths(self) -> list[int]:
        return [len(part) for part in self.parts]

    @property
    def upserts(self) -> Flags:
        upserts: Flags = np.concatenate([part.ops for part in self.parts]) == UPSERT
        return upserts

    def partition(self, row: int) -> str:
        """That wrote a row."""
        return self.parts[int(np.searchsorted(np.cumsum(self.lengths), row, "right"))].partition


class Table:
    """Inside, the key's columns come first, the others follow, then the owner (partition) and `hi` of the last writer."""

    def __init__(self, schema: TableSchema, interner: Interner) -> None:
        self.schema = schema
        self._interner = interner
        keys = [schema.names.index(name) for name in schema.key]
        self._order = keys + [place for place in range(len(schema.columns)) if place not in keys]
        self._inverse = np.argsort(self._order)
        self._columns = [schema.columns[place] for place in self._order]
        self._key = len(keys)
        self._width = len(schema.columns)
        types = [column.type for column in self._columns]
        self.store = RowStore(narrow([*types, Type.TEXT, Type.BIGINT]), self._key)
        self.rows_read = 0

    def __len__(self) -> int:
        return len(self.store)

    def encode(self, parts: Sequence[TableChanges]) -> Run:
        """These parts, to be applied together. SourceHalted for a NULL in the key."""
        if all(part.rows.schema == parts[0].rows.schema for part in parts):
            rows = pa.concat_tables([part.rows for part in parts]) if len(parts) > 1 else parts[0].rows
            columns = encode(rows, self._columns, self._interner)
        else:
            columns = np.concatenate([encode(part.rows, self._columns, self._interner) for part in parts], axis=1)
        run = Run(parts, columns, _unchanged(parts))
        for place in range(self._key):
            null = np.flatnonzero(columns[place] == NULL)
            if len(null):
                raise SourceHalted(
                    f"{self.schema.name}: a change from {run.partition(int(null[0]))} has NULL in the key column "
                    f"{self._columns[place].name}; key columns are never NULL: correct the declared key or the source"
                )
        return run

    def require_held(self, run: Run, before: Sequence[Run]) -> None:
        """SourceHalted where a value is left out as unchanged, and neither the table nor the runs `before` have its row."""
        if run.unchanged is None:
            return
        groups = group_rows(run.columns[: self._key])
        first = groups.first[run.unchanged[groups.first] != 0]
        keys = take(run.columns[: self._key], first)
        lacking = self.store.find(keys) < 0
        if lacking.any() and before:
            known = np.concatenate([hash_columns(other.columns[: self._key]) for other in before])
            lacking &= ~np.isin(hash_columns(keys), known)
        if lacking.any():
            row = int(first[np.flatnonzero(lacking)[0]])
            places = int(run.unchanged[row])
            names = ", ".join(c.name for number, c in enumerate(self.schema.columns) if places >> number & 1)
            raise SourceHalted(self._not_here(run.partition(row), names))

    def _not_here(self, partition: str, names: str) -> str:
        return (
            f"{self.schema.name}: a change from {partition} leaves out {names} as unchanged, but the row is not here; "
            f"copy the table again: topline resync {self.schema.name}"
        )

    def apply(self, run: Run) -> tuple[Sequence[TableChanges], Delta]:
        """Bring in a run; gives its parts with unchanged values filled in, and what the table lost and gained."""
        if not len(run):
            return run.parts, Delta.empty(self._width)
        parts, columns = run.parts, run.columns
        if run.unchanged is not None:
            columns = self._fill(run, run.unchanged)
            parts = self._filled(run, columns)
        hashes = hash_columns(columns[: self._key])
        groups = group_rows(columns[: self._key], hashes)
        columns, upserts = np.concatenate([columns, self._writers(run)]), run.upserts
        if len(groups) < len(run):
            last = groups.last()
            columns, hashes, upserts = take(columns, last), hashes[last], upserts[last]
        return parts, self._write(columns, hashes, upserts)

    def _writers(self, run: Run) -> Columns:
        """Each row's partition and `hi`."""
        owners = self._interner.intern(pa.array([part.partition for part in run.parts]))
        return np.stack([np.repeat(owners, run.lengths), np.concatenate([part.hi for part in run.parts])])

    def _write(self, columns: Columns, hashes: Array, upsert: Flags) -> Delta:
        rows = self.store.find(columns[: self._key], hashes)
        held = np.flatnonzero(rows >= 0)
        old = self.store.take(rows[held], 0, self._width)
        self.rows_read += len(held)
        new = take(columns[: self._width], held)
        changed = ~upsert[held] | (old[self._key :] != new[self._key :]).any(axis=0)
        gains = upsert.copy()
        gains[held] &= changed
        lost, gained = take(old, np.flatnonzero(changed)), take(columns[: self._width], np.flatnonzero(gains))
        self._store(columns, hashes, upsert, rows)
        return Delta.of(lost[self._inverse], gained[self._inverse], settled=True)

    def _store(self, columns: Columns, hashes: Array, upsert: Flags, rows: Ints) -> None:
        over = np.flatnonzero(upsert & (rows >= 0))
        self.store.put(self._key, rows[over], take(columns[self._key :], over))
        self.store.remove(rows[~upsert & (rows >= 0)])
        fresh = np.flatnonzero(upsert & (rows < 0))
        if len(fresh) < len(rows):
            columns, hashes = take(columns, fresh), hashes[fresh]
        self.store.add(columns, hashes)

    def _fill(self, run: Run, unchanged: Ints) -> Columns:
        """Unchanged values come from the key's change before in this run, or from the row that the table holds."""
        order, starts = group_rows(run.columns[: self._key]).ordered()
        held = self.store.find(take(run.columns[: self._key], order))
        filled = run.columns.copy()
        for place in range(self._key, self._width):
            kept = (unchanged[order] >> self._order[place]) & 1 == 1
            outside = np.intersect1d(np.flatnonzero(kept), starts[:-1])
            lacking = outside[held[outside] < 0]
            if len(lacking):
                raise WorkError(self._not_here(run.partition(int(order[lacking[0]])), self._columns[place].name))
            filled[place, order] = self._fill_column(place, run.columns[place][order], kept, outside, held)
        return filled

    def _fill_column(self, place: int, values: Ints, kept: Flags, outside: Ints, held: Ints) -> Ints:
        """`values` by key, in order of arrival; what is `kept` comes from the value before or, `outside`, from the table."""
        values[outside] = self.store.get(place, held[outside])
        self.rows_read += len(outside)
        own = ~kept
        own[outside] = True
        return values[np.maximum.accumulate(np.where(own, np.arange(len(values)), 0))]

    def _filled(self, run: Run, columns: Columns) -> list[TableChanges]:
        """The parts with the values that they left out."""
        parts, start = [], 0
        for part in run.parts:
            if part.unchanged is not None and part.unchanged.any():
                rows = decode(columns[:, start : start + len(part)][self._inverse], self.schema.columns, self._interner)
                part = replace(part, rows=rows, unchanged=None)
            parts.append(part)
            start += len(part)
        return parts

    def sweep(self, sweep: Sweep) -> tuple[TableChanges, Delta]:
        """Take out what the sweep names; gives explicit deletes and what the table lost."""
        doomed = self._swept(sweep)
        lost = self.store.take(doomed, 0, self._width)
        self.rows_read += len(doomed)
        self.store.remove(doomed)
        keys = lost.copy()
        keys[self._key :] = NULL
        part = TableChanges(
            table=self.schema.name,
            partition=sweep.partition or "",
            rows=decode(keys[self._inverse], self.schema.columns, self._interner),
            ops=np.full(len(doomed), DELETE, np.int8),
            hi=np.full(len(doomed), sweep.at.hi),
            lo=np.full(len(doomed), sweep.at.lo),
        )
        return part, Delta.of(lost[self._inverse], lost[:, :0], settled=True)

    def _swept(self, sweep: Sweep) -> Ints:
        rows = self.store.rows()
        if sweep.partition is not None:
            owner = int(self._interner.intern(pa.array([sweep.partition]))[0])
            rows = rows[self.store.get(self._width, rows) == owner]
        if sweep.below is not None:
            rows = rows[self.store.get(self._width + 1, rows) < sweep.below]
        return rows

    def current(self) -> pa.Table:
        """All rows."""
        rows = self.store.rows()
        parts = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)] or [rows]
        return pa.concat_tables([self._decode(part) for part in parts])

    def _decode(self, rows: Ints) -> pa.Table:
        return decode(self.store.take(rows, 0, self._width)[self._inverse], self.schema.columns, self._interner)

    def arrays(self) -> dict[str, Array]:
        return nest(store=self.store)

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, store=self.store)


def _unchanged(parts: Sequence[TableChanges]) -> Ints | None:
    if not any(part.unchanged is not None and part.unchanged.any() for part in parts):
        return None
    return np.concatenate([np.zeros(len(part), np.int64) if part.unchanged is None else part.unchanged for part in parts])
