"""Row messages of one table, made into TableChanges: old rows and new, key changes, and values that TOAST left out."""

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import DELETE as DELETE_ROW
from topline.changes import UPSERT, DeadLetter, Ints, Position, TableChanges
from topline.sources.postgres import pgoutput
from topline.sources.postgres.binding import Binding
from topline.sources.postgres.lsn import format_lsn
from topline.sources.postgres.pgoutput import Bytes, Mask, Messages, Tuples, require
from topline.sources.postgres.types import cast

# (binding, key texts, column names) -> the texts that the source holds now, None when it has no such row
Lookup = Callable[[Binding, list[str], list[str]], list[str | None] | None]


@dataclass(frozen=True, slots=True)
class Placed:
    """Row messages of one table: their places in the batch, and each one's position."""

    places: Ints
    hi: Ints
    lo: Ints


@dataclass(frozen=True, slots=True)
class _Sides:
    """Where each message's rows are: `new_of` and `old_of` give a number in `new` and `old`, -1 where it has none."""

    new: Tuples
    old: Tuples
    new_of: Ints
    old_of: Ints


@dataclass(frozen=True, slots=True)
class _Out:
    """The rows to emit: the message of each, and whether it is the old row (a DELETE)."""

    message: Ints
    old: Mask


def table_changes(
    messages: Messages, binding: Binding, placed: Placed, partition: str, zone: ZoneInfo, lookup: Lookup
) -> tuple[TableChanges | None, list[DeadLetter]]:
    """The changes, in order; rows without their key become dead letters. An update that changes the key is a DELETE of
    the old key and an UPSERT of the new one."""
    sides = _sides(messages, binding, placed.places)
    out = _out(sides, _moved(messages, binding, sides))
    texts, unchanged = _texts(messages, binding, sides, out)
    _look_up(binding, out, texts, unchanged, lookup)
    arrays = [cast(t, c.type, oid, zone) for t, c, oid in zip(texts, binding.schema.columns, binding.types, strict=True)]
    rows = pa.Table.from_arrays(arrays, schema=binding.schema.arrow)
    twin = np.append(False, out.message[1:] == out.message[:-1])
    changes = TableChanges(
        binding.schema.name,
        partition,
        rows,
        np.where(out.old, DELETE_ROW, UPSERT).astype(np.int8),
        placed.hi[out.message],
        placed.lo[out.message] + twin,
        unchanged if unchanged.any() else None,
    )
    return _without_keyless(messages, binding, placed, out, changes)


def _sides(messages: Messages, binding: Binding, places: Ints) -> _Sides:
    """Split the messages into old and new rows, all columns in lockstep (INSERT: N; UPDATE: [K|O] N; DELETE: K|O)."""
    kinds, at, ends = messages.kinds[places], messages.starts[places] + pgoutput.BODY + 4, messages.ends[places]
    mark = messages.buf[at]
    has_old = (mark == pgoutput.KEY) | (mark == pgoutput.OLD)
    deleted = kinds == pgoutput.DELETE
    require((has_old | (mark == pgoutput.NEW)).all(), "a row is neither old nor new")
    require((has_old[deleted]).all() and not has_old[kinds == pgoutput.INSERT].any(), "a row does not fit its operation")
    olds, news = np.flatnonzero(has_old), np.flatnonzero(~deleted)
    old = messages.tuples(at[olds] + 1, ends[olds], binding.width)
    new_at = at.copy()
    new_at[olds] = old.after
    require((new_at[deleted] == ends[deleted]).all(), "bytes follow a deleted row")
    require(
        (new_at[news] < ends[news]).all() and (messages.buf[new_at[news]] == pgoutput.NEW).all(), "an update has no new row"
    )
    new = messages.tuples(new_at[news] + 1, ends[news], binding.width)
    require((new.after == ends[news]).all(), "bytes follow a row")
    return _Sides(new, old, _numbers(len(places), news), _numbers(len(places), olds))


def _numbers(count: int, places: Ints) -> Ints:
    numbers = np.full(count, -1, np.int64)
    numbers[places] = np.arange(len(places))
    return numbers


def _moved(messages: Messages, binding: Binding, sides: _Sides) -> Mask:
    """True for updates whose key changed: old and new key are both there and differ."""
    moved = np.zeros(len(sides.new_of), bool)
    both = np.flatnonzero((sides.new_of >= 0) & (sides.old_of >= 0))
    if not len(both):
        return moved
    old, new = sides.old.take(sides.old_of[both]), sides.new.take(sides.new_of[both])
    for key in binding.keys:
        column = binding.places[key]
        differs = pc.not_equal(messages.texts(old, column), messages.texts(new, column))
        moved[both] |= pc.fill_null(differs, False).to_numpy(zero_copy_only=False)
    return moved


def _out(sides: _Sides, moved: Mask) -> _Out:
    message = np.repeat(np.arange(len(moved)), 1 + moved)
    first = np.append(True, message[1:] != message[:-1]) if len(message) else np.zeros(0, bool)
    return _Out(message, (sides.new_of[message] < 0) | (moved[message] & first))


def _texts(messages: Messages, binding: Binding, sides: _Sides, out: _Out) -> tuple[list[pa.Array], Ints]:
    """Each column's texts, and which columns an unchanged TOAST value leaves to the replica, as bits."""
    unchanged = np.zeros(len(out.message), np.int64)
    new_of, old_of, count = sides.new_of[out.message], sides.old_of[out.message], sides.new.kind.shape[1]
    texts = []
    for number, column in enumerate(binding.places):
        from_old = out.old
        if (sides.new.kind[column] == pgoutput.UNCHANGED).any():
            left_out = ~out.old & (sides.new.kind[column][new_of] == pgoutput.UNCHANGED)
            known = left_out & _texts_there(sides.old.kind[column], old_of)
            from_old = out.old | known
            unchanged |= np.where(left_out & ~known, 1 << number, 0)
        texts.append(_choose(messages, column, sides, np.where(from_old, count + old_of, new_of)))
    return texts, unchanged


def _texts_there(kinds: Bytes, numbers: Ints) -> Mask:
    """True where the row `numbers` (-1: none) has a text."""
    there: Mask = (numbers >= 0) & (np.append(kinds, 0)[numbers] == pgoutput.TEXT)
    return there


def _choose(messages: Messages, column: int, sides: _Sides, places: Ints) -> pa.Array:
    new = messages.texts(sides.new, column)
    if not sides.old.kind.shape[1]:
        return new
    return pa.concat_arrays([new, messages.texts(sides.old, column)]).take(pa.array(places))


def _look_up(binding: Binding, out: _Out, texts: list[pa.Array], unchanged: Ints, lookup: Lookup) -> None:
    """A value that an update left out while it changed the key is nowhere in the stream, and the replica has it under the
    old key only: ask the source for its present value. Should it have changed since, the stream brings that change later."""
    twin = np.append(False, out.message[1:] == out.message[:-1])
    for row in np.flatnonzero(twin & (unchanged != 0)):
        wanted = [number for number in range(len(texts)) if unchanged[row] >> number & 1]
        key = [texts[number][int(row)].as_py() for number in binding.keys]
        found = lookup(binding, key, [binding.schema.columns[number].name for number in wanted])
        for number, value in zip(wanted, found or [None] * len(wanted), strict=True):
            mask = np.arange(len(unchanged)) == row
            texts[number] = pc.replace_with_mask(texts[number], pa.array(mask), pa.array([value], pa.string()))
        unchanged[row] = 0


def _without_keyless(
    messages: Messages, binding: Binding, placed: Placed, out: _Out, changes: TableChanges
) -> tuple[TableChanges | None, list[DeadLetter]]:
    """Rows without their key, kept byte for byte: the table lost a key column, or its replica identity is another."""
    bad = np.full(len(changes), not binding.keyed)
    for key in binding.keys:
        column = changes.rows.column(key)
        bad |= column.is_null().to_numpy() if column.null_count else False
    if not bad.any():
        return changes, []
    letters = [_letter(messages, binding, placed, out, changes, int(row)) for row in np.flatnonzero(bad)]
    good = np.flatnonzero(~bad)
    return (_take(changes, good) if len(good) else None), letters


def _letter(messages: Messages, binding: Binding, placed: Placed, out: _Out, changes: TableChanges, row: int) -> DeadLetter:
    position = Position(int(changes.hi[row]), int(changes.lo[row]))
    locator = f"{binding.target.quoted} at LSN {format_lsn(position.hi)}, change {position.lo}"
    raw = messages.raw(int(placed.places[out.message[row]]))
    return DeadLetter(binding.schema.name, changes.partition, position, raw, "the row came without its key", locator)


def _take(changes: TableChanges, rows: Ints) -> TableChanges:
    unchanged = None if changes.unchanged is None else changes.unchanged[rows]
    taken = changes.rows.take(pa.array(rows))
    return TableChanges(
        changes.table, changes.partition, taken, changes.ops[rows], changes.hi[rows], changes.lo[rows], unchanged
    )
