"""Values of a change event to the declared columns: as the table's own source would have given them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import tzinfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import DELETE, UPSERT, Ints, Ops
from topline.kafka.events import UNAVAILABLE, Column, Rows
from topline.pgtime import UnreadableValueError, read_times
from topline.schema import TableSchema, Type
from topline.sources.values import cast, text

_ISO = "io.debezium.time."
_KINDS = {Type.DATE: "IsoDate", Type.TIMESTAMP: "IsoTimestamp", Type.TIMESTAMPTZ: "ZonedTimestamp"}


@dataclass(frozen=True, slots=True)
class Bound:
    """Records that became rows of the table, in the columns that their schema has. `refused`: place -> why it did not."""

    schema: TableSchema
    places: npt.NDArray[np.int64]
    table: pa.Table
    ops: Ops
    unchanged: Ints | None
    refused: dict[int, str]
    deletes: bool

    def __len__(self) -> int:
        return len(self.places)

    def between(self, start: int, end: int) -> "Bound":
        """Those at places from `start` to before `end`."""
        begin, stop = np.searchsorted(self.places, [start, end])
        unchanged = None if self.unchanged is None else self.unchanged[begin:stop]
        rows = self.table.slice(begin, stop - begin)
        return Bound(self.schema, self.places[begin:stop], rows, self.ops[begin:stop], unchanged, {}, self.deletes)


def bound(rows: Rows, schema: TableSchema, zone: tzinfo) -> Bound:
    """`schema`: as declared. A deletion has its key; its other columns are NULL."""
    deleted = bool(len(rows.deleted) and rows.deleted[0])
    names = set(rows.columns)
    kept = schema if deleted else _narrowed(schema, names)
    lacking = [name for name in schema.key if name not in names]
    refused = dict.fromkeys(range(len(rows.places)), f"no key: {', '.join(lacking)} is missing") if lacking else {}
    unchanged = np.zeros(len(rows.places), np.int64)
    arrays = []
    for number, column in enumerate(kept.columns):
        if column.name not in names:
            arrays.append(pa.nulls(len(rows.places), column.type.arrow))
            continue
        given, left_out = _known(rows.columns[column.name])
        unchanged[left_out] |= 1 << number
        values, faults = _cast(given, column.type, zone)
        for place, reason in faults.items():
            refused.setdefault(place, f"{column.name}: {reason}")
        if column.name in kept.key:
            for missing in np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)).tolist():
                refused.setdefault(missing, f"no key: {column.name} is missing")
        arrays.append(values)
    table = pa.Table.from_arrays(arrays, schema=kept.arrow)
    good = np.array([place for place in range(len(rows.places)) if place not in refused], np.int64)
    taken = unchanged[good]
    return Bound(
        kept,
        rows.places[good],
        table if not refused else table.take(pa.array(good)),
        np.full(len(good), DELETE if deleted else UPSERT, np.int8),
        taken if taken.any() else None,
        {int(rows.places[place]): reason for place, reason in refused.items()},
        deleted,
    )


def _narrowed(schema: TableSchema, names: set[str]) -> TableSchema:
    """The declared columns that the records have."""
    columns = tuple(column for column in schema.columns if column.name in names)
    return TableSchema(schema.name, columns, tuple(name for name in schema.key if name in names))


def _known(column: Column) -> tuple[Column, npt.NDArray[np.bool_]]:
    """The values without those that TOAST left out, and which these are."""
    if column.values.type != pa.string():
        return column, np.zeros(len(column.values), np.bool_)
    left_out = pc.fill_null(pc.equal(column.values, UNAVAILABLE), False)
    if not pc.any(left_out).as_py():
        return column, np.zeros(len(column.values), np.bool_)
    values = pc.if_else(left_out, pa.scalar(None, pa.string()), column.values)
    return Column(values, column.meaning), left_out.to_numpy(zero_copy_only=False)


def _cast(column: Column, declared: Type, zone: tzinfo) -> tuple[pa.Array, dict[int, str]]:
    """Values in the declared type; place -> why one is none."""
    values = _spelt(column, declared) if column.values.type == pa.string() else column.values
    if declared is Type.TEXT and values.type == pa.string():
        return values, {}
    if declared is not Type.TEXT and (fast := _FAST.get((values.type, declared))) is not None:
        with suppress(pa.ArrowInvalid, UnreadableValueError):
            return fast(values), {}
    return _one_by_one(values, declared, zone)


def _spelt(column: Column, declared: Type) -> pa.Array:
    """Times of Debezium's ISO modes as PostgreSQL spells them: 2026-11-21, 2026-11-21 14:05:00.5, 2026-11-21 14:05:00.5+00.
    JSON does not say what kind of text it is; what is declared tells."""
    kind = column.meaning.removeprefix(_ISO) if column.meaning.startswith(_ISO) else ""
    kind = kind or _KINDS.get(declared, "")
    if kind in {"IsoDate", "IsoTime", "IsoTimestamp"}:
        plain = pc.replace_substring_regex(column.values, "Z$", "")
        return _without_t(plain) if kind == "IsoTimestamp" else plain
    if kind == "ZonedTimestamp":
        return pc.replace_substring_regex(_without_t(column.values), "Z( BC)?$", r"+00\1")
    return column.values


def _without_t(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, r"(\d)T(\d)", r"\1 \2")


def _one_by_one(values: pa.Array, declared: Type, zone: tzinfo) -> tuple[pa.Array, dict[int, str]]:
    found: list[object] = []
    faults: dict[int, str] = {}
    for place, value in enumerate(values.to_pylist()):
        try:
            found.append(text(value) if declared is Type.TEXT and value is not None else cast(value, declared, zone))
        except ValueError as error:
            found.append(None)
            faults[place] = str(error)
    return pa.array(found, declared.arrow), faults


def _whole(values: pa.Array) -> pa.Array:
    """The least number of 64 bits stands for NULL in the live engine: it is left to `cast`, which refuses it."""
    if pc.any(pc.equal(values, np.iinfo(np.int64).min)).as_py():
        raise pa.ArrowInvalid
    return values


_Fast = Callable[[pa.Array], pa.Array]
_FAST: Mapping[tuple[pa.DataType, Type], _Fast] = {
    (pa.int64(), Type.BIGINT): _whole,
    (pa.bool_(), Type.BOOLEAN): lambda values: values,
    (pa.string(), Type.BIGINT): lambda values: _whole(pc.cast(values, pa.int64())),
    (pa.string(), Type.DATE): lambda values: read_times(values, Type.DATE),
    (pa.string(), Type.TIMESTAMP): lambda values: read_times(values, Type.TIMESTAMP),
    (pa.string(), Type.TIMESTAMPTZ): lambda values: read_times(values, Type.TIMESTAMPTZ),
}
