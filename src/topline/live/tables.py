"""Replicated tables in memory: a batch's changes go in by key, the rows lost and gained come out."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from topline.changes import DELETE, UPSERT, Sweep, TableChanges
from topline.errors import SourceHalted, WorkError
from topline.live.arrays import NULL, Array, Arrays, Flags, Ints, group_rows, hash_columns, nest, take, unnest
from topline.live.codec import decode, encode
from topline.live.delta import Delta
from topline.live.interner import Interner
from topline.live.rowstore import RowStore
from topline.schema import TableSchema, Type

CHUNK = 1_048_576  # rows that are decoded at once


class Table:
    """Inside, the key's columns come first, the others follow, then the owner (partition) and `hi` of the last writer."""

    def __init__(self, schema: TableSchema, interner: Interner) -> None:
        self.schema = schema
        self._interner = interner
        keys = [schema.names.index(name) for name in schema.key]
        self._order = keys + [place for place in range(len(schema.columns)) if place not in keys]
        self._columns = [schema.columns[place] for place in self._order]
        self._key = len(keys)
        self._width = len(schema.columns)
        types = [column.type for column in self._columns]
        self.store = RowStore(self._width + 2, self._key, [*types, Type.TEXT])
        self.rows_read = 0

    def __len__(self) -> int:
        return len(self.store)

    def encode(self, part: TableChanges) -> list[Ints]:
        """A part's rows as int64 columns in this table's inner order. SourceHalted for a NULL in the key."""
        columns = encode(part.rows, self._columns, self._interner)
        for place in range(self._key):
            if (columns[place] == NULL).any():
                raise SourceHalted(
                    f"{self.schema.name}: a change from {part.partition} has NULL in the key column "
                    f"{self._columns[place].name}; key columns are never NULL: correct the declared key or the source"
                )
        return columns

    def require_held(self, part: TableChanges, columns: list[Ints], before: list[list[Ints]]) -> None:
        """SourceHalted where a value is left out as unchanged, and neither the table nor the parts `before` (as encoded)
        have its row."""
        assert part.unchanged is not None
        groups = group_rows(columns[: self._key], len(part))
        first = np.minimum.reduceat(groups.order, groups.starts)  # of each key the change that came first
        first = first[part.unchanged[first] != 0]
        keys = take(columns[: self._key], first)
        lacking = self.store.find(keys) < 0
        if lacking.any() and before:
            known = np.concatenate([hash_columns(others[: self._key], len(others[0])) for others in before])
            lacking &= ~np.isin(hash_columns(keys, len(first)), known)
        if lacking.any():
            places = part.unchanged[first[np.flatnonzero(lacking)[:1]]][0]
            names = ", ".join(c.name for number, c in enumerate(self.schema.columns) if places >> number & 1)
            raise SourceHalted(self._not_here(part.partition, names))

    def _not_here(self, partition: str, names: str) -> str:
        return (
            f"{self.schema.name}: a change from {partition} leaves out {names} as unchanged, but the row is not here; "
            f"copy the table again: topline resync {self.schema.name}"
        )

    def apply(self, part: TableChanges, columns: list[Ints]) -> tuple[TableChanges, Delta]:
        """Bring in one part; gives the part with unchanged values filled in, and what the table lost and gained."""
        if not len(part):
            return part, Delta.empty(self._width)
        hashes = hash_columns(columns[: self._key], len(part))
        if part.unchanged is not None and part.unchanged.any():
            part, columns = self._fill(part, columns)
        groups = group_rows(columns[: self._key], len(part), hashes)
        last = np.arange(len(part))
        if len(groups.starts) < len(part):
            last = np.maximum.reduceat(groups.order, groups.starts)
            columns, hashes = take(columns, last), hashes[last]
        owner = int(self._interner.intern(pa.array([part.partition]))[0])
        writers = [np.full(len(last), owner), part.hi[last].astype(np.int64)]
        return part, self._write([*columns, *writers], hashes, part.ops[last] == UPSERT)

    def _write(self, columns: list[Ints], hashes: Array, upsert: Flags) -> Delta:
        rows = self.store.find(columns[: self._key], hashes)
        held = np.flatnonzero(rows >= 0)
        old = self.store.take(rows[held], self._width)
        self.rows_read += len(held)
        changed = ~upsert[held]
        for place in range(self._key, self._width):
            changed |= old[place] != columns[place][held]
        gains = upsert.copy()
        gains[held] &= changed
        lost, gained = take(old, np.flatnonzero(changed)), take(columns[: self._width], np.flatnonzero(gains))
        self._store(columns, hashes, upsert, rows)
        return Delta.of(self._outward(lost), self._outward(gained), settled=True)

    def _store(self, columns: list[Ints], hashes: Array, upsert: Flags, rows: Ints) -> None:
        over = np.flatnonzero(upsert & (rows >= 0))
        for place in range(self._key, self._width + 2):
            self.store.put(place, rows[over], columns[place][over])
        self.store.remove(rows[~upsert & (rows >= 0)])
        fresh = np.flatnonzero(upsert & (rows < 0))
        self.store.add(take(columns, fresh), hashes[fresh])

    def _outward(self, columns: list[Ints]) -> list[Ints]:
        """Columns in the schema's order."""
        outward = [columns[0]] * self._width
        for place, column in zip(self._order, columns, strict=True):
            outward[place] = column
        return outward

    def _fill(self, part: TableChanges, columns: list[Ints]) -> tuple[TableChanges, list[Ints]]:
        """Unchanged values come from the key's change before in this part, or from the row that the table holds."""
        assert part.unchanged is not None
        groups = group_rows(columns[: self._key], len(part))
        order = np.lexsort([np.arange(len(part)), groups.inverse()])  # by key, then in order of arrival
        held = self.store.find(take(columns[: self._key], order))
        filled = columns[: self._key]
        for place in range(self._key, self._width):
            kept = (part.unchanged[order] >> self._order[place]) & 1 == 1
            outside = np.intersect1d(np.flatnonzero(kept), groups.starts)
            self._check_held(held[outside], place, part.partition)
            filled.append(self._fill_column(place, columns[place][order], kept, outside, held)[np.argsort(order)])
        rows = decode(self._outward(filled), self.schema.columns, self._interner)
        return replace(part, rows=rows, unchanged=None), filled

    def _check_held(self, rows: Ints, place: int, partition: str) -> None:
        if (rows < 0).any():
            raise WorkError(self._not_here(partition, self._columns[place].name))

    def _fill_column(self, place: int, values: Ints, kept: Flags, outside: Ints, held: Ints) -> Ints:
        """`values` by key, in order of arrival; what is `kept` comes from the value before or, `outside`, from the table."""
        values[outside] = self.store.get(place, held[outside])
        self.rows_read += len(outside)
        own = ~kept
        own[outside] = True
        return values[np.maximum.accumulate(np.where(own, np.arange(len(values)), 0))]

    def sweep(self, sweep: Sweep) -> tuple[TableChanges, Delta]:
        """Take out what the sweep names; gives explicit deletes and what the table lost."""
        doomed = self._swept(sweep)
        lost = self.store.take(doomed, self._width)
        self.rows_read += len(doomed)
        self.store.remove(doomed)
        blank = np.full(len(doomed), NULL)
        keys = [*lost[: self._key], *[blank] * (self._width - self._key)]
        part = TableChanges(
            table=self.schema.name,
            partition=sweep.partition or "",
            rows=decode(self._outward(keys), self.schema.columns, self._interner),
            ops=np.full(len(doomed), DELETE, np.int8),
            hi=np.full(len(doomed), sweep.at.hi),
            lo=np.full(len(doomed), sweep.at.lo),
        )
        return part, Delta.of(self._outward(lost), [column[:0] for column in lost], settled=True)

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
        return decode(self._outward(self.store.take(rows, self._width)), self.schema.columns, self._interner)

    def arrays(self) -> dict[str, Array]:
        return nest(store=self.store)

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, store=self.store)
