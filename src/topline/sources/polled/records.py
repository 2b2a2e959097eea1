"""A page's records as changes of the table: cast, keyed, told from what was known, and the unreadable ones kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from topline.changes import DELETE, UPSERT, Ints, Ops
from topline.schema import TableSchema
from topline.sources import spill
from topline.sources.polled.feed import Record
from topline.sources.polled.known import fingerprint
from topline.sources.polled.settings import PolledTable
from topline.sources.values import table_of, text

LETTER_BYTES = 1 << 20  # more lie in a file of the state folder


class Unreadable(NamedTuple):
    """A record that is no row: its place among the records, its bytes (or the reference to them), where it stood, and why."""

    place: int
    raw: bytes
    locator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Readable records, in their order: the table's columns, what each does, the key of each as text, and its fingerprint
    (None: the row is gone)."""

    rows: pa.Table
    ops: Ops
    places: Ints
    keys: list[str]
    prints: list[bytes | None]


@dataclass(frozen=True, slots=True)
class TableShape:
    """How records become rows of one table. `state_dir` takes bytes that are too large for a letter."""

    schema: TableSchema
    settings: PolledTable
    zone: tzinfo
    state_dir: Path

    def read(self, records: Sequence[Record]) -> tuple[Rows, list[Unreadable]]:
        """`records` as rows, and those that are none."""
        good = [place for place, record in enumerate(records) if not record.fault]
        gone = [self._is_gone(records[place]) for place in good]
        values = [self._values(records[place], is_gone) for place, is_gone in zip(good, gone, strict=True)]
        table, kept, refused = table_of(self.schema, values, self.zone)
        faults = [(place, record.fault) for place, record in enumerate(records) if record.fault]
        faults += [(good[place], reason) for place, reason in refused]
        ops = np.array([DELETE if gone[place] else UPSERT for place in kept.tolist()], np.int8)
        places = np.array([good[place] for place in kept.tolist()], np.int64)
        return self._rows(table, ops, places), [self._unreadable(place, records[place], why) for place, why in sorted(faults)]

    def keys(self, records: Sequence[Record]) -> tuple[list[str], bool]:
        """The keys of records that need hold nothing else but the mark of a row that is gone, which is left out; whether each
        record had its key."""
        values = [self._key_of(record) for record in records if not (record.fault or self._is_gone(record))]
        table, _, refused = table_of(self.schema, values, self.zone)
        return _keys(self.schema, table), not (refused or any(record.fault for record in records))

    def deletes(self, keys: Sequence[str]) -> pa.Table:
        """Rows that hold these keys and nothing else."""
        values = [dict(zip(self.schema.key, _split(key), strict=True)) for key in keys]
        return table_of(self.schema, values, self.zone)[0]

    def _is_gone(self, record: Record) -> bool:
        deleted = self.settings.deleted
        if deleted is None or (value := record.values.get(deleted.field)) is None:
            return False
        return text(value) in deleted.values

    def _key_of(self, record: Record) -> dict[str, object]:
        return {name: record.values.get(name) for name in self.schema.key}

    def _values(self, record: Record, is_gone: bool) -> Mapping[str, object]:
        """Of a row that is gone, the key alone counts."""
        return self._key_of(record) if is_gone else record.values

    def _rows(self, table: pa.Table, ops: Ops, places: Ints) -> Rows:
        values = zip(*(column.to_pylist() for column in table.columns), strict=True)
        prints = [None if op == DELETE else fingerprint(row) for op, row in zip(ops.tolist(), values, strict=True)]
        return Rows(table, ops, places, _keys(self.schema, table), prints)

    def _unreadable(self, place: int, record: Record, reason: str) -> Unreadable:
        return Unreadable(place, spill.keep(record.original(), LETTER_BYTES, self.state_dir), record.place(), reason)


def _keys(schema: TableSchema, table: pa.Table) -> list[str]:
    """The key of each row as one text, from which `_split` gets its parts again."""
    columns = [table[name].to_pylist() for name in schema.key]
    if len(columns) == 1:
        return [text(value) for value in columns[0]]
    return ["\0".join(map(text, values)) for values in zip(*columns, strict=True)]


def _split(key: str) -> list[str]:
    return key.split("\0")  # no text that was cast holds one
