"""The first load and the events as files, as branches would drop them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq

from bench.events.content import COLUMNS, Fields, sale_ids, table, text_table
from bench.events.stream import Flags, Ints, Kind, Stream

ROWS = 250_000
SPOILT = "12.x5"
"""The amount of a broken row that can be read."""
WITHDRAWN = "withdrawn"
"""Files of this name hold the sales that are deleted: a file has no other way to say so than to go away."""


def write_load(stream: Stream, folder: Path, suffix: str, rounds: int = 1) -> None:
    """The sales of the first load, those that are deleted in a round of the events in files of their own."""
    stays = np.ones(stream.load, np.bool_)
    stays[stream.doomed] = False
    _write_sales(stream, folder / f"load.{suffix}", np.flatnonzero(stays))
    for number in range(rounds):
        _write_sales(stream, folder / f"{WITHDRAWN}-{number}.{suffix}", np.sort(_deleted(stream, number, rounds)))


def write_events(stream: Stream, folder: Path, suffix: str, number: int = 0, rounds: int = 1) -> None:
    """One round of the events; its deletes are files that go away."""
    events = stream.round(number, rounds)
    _write_rows(stream, folder / f"events-{number}.{suffix}", events[stream.kind[events] != Kind.DELETE])
    for path in folder.glob(f"{WITHDRAWN}-{number}-*"):
        path.unlink()


def _deleted(stream: Stream, number: int, rounds: int) -> Ints:
    events = stream.round(number, rounds)
    sales: Ints = stream.sale[events[stream.kind[events] == Kind.DELETE]]
    return sales


def _write_sales(stream: Stream, path: Path, sales: Ints) -> None:
    for part, chunk in _parts(path, sales):
        _write(part, stream.fields(chunk, np.zeros(len(chunk), np.int64)), np.zeros(len(chunk), np.bool_))


def _write_rows(stream: Stream, path: Path, events: Ints) -> None:
    for part, chunk in _parts(path, events):
        _write(part, stream.fields(stream.sale[chunk], stream.version[chunk]), stream.kind[chunk] == Kind.BROKEN)


def _parts(path: Path, numbers: Ints) -> Iterator[tuple[Path, Ints]]:
    for part, begin in enumerate(range(0, len(numbers), ROWS)):
        yield path.with_name(f"{path.stem}-{part:04d}{path.suffix}"), numbers[begin : begin + ROWS]


def _write(path: Path, rows: Fields, broken: Flags) -> None:
    if path.suffix == ".parquet":
        pq.write_table(_broken_cells(table(rows), rows, broken), path)
        return
    lines = csv_lines(rows, broken) if path.suffix == ".csv" else _ndjson(rows, broken)
    path.write_bytes(b"".join([_header(path), joined(lines)]))


def letters(sale: Ints, broken: Flags) -> Flags:
    """Every second broken row does not split into fields; of the others the amount is not a number."""
    found: Flags = broken & (sale % 2 == 0)
    return found


def csv_lines(rows: Fields, broken: Flags, *, letters_too: bool = True) -> pa.Array:
    """One text a row, with its line end. Without `letters_too` a broken row has all its fields."""
    columns = spoilt(text_table(rows), broken)
    torn = letters(rows.sale, broken) if letters_too else np.zeros_like(broken)
    ends = pc.if_else(pa.array(torn), ",one,too many\n", "\n")
    return _whole(pc.binary_join_element_wise(pc.binary_join_element_wise(*columns.columns, ","), ends, ""))


def _whole(lines: pa.ChunkedArray | pa.Array) -> pa.Array:
    return lines.combine_chunks() if isinstance(lines, pa.ChunkedArray) else lines


def _ndjson(rows: Fields, broken: Flags) -> pa.Array:
    columns = spoilt(text_table(rows), broken)
    pieces: list[object] = []
    for number, name in enumerate(columns.column_names):
        pieces += [('{"' if number == 0 else '", "') + name + '": "', columns[name]]
    ends = pc.if_else(pa.array(letters(rows.sale, broken)), "\n", '"}\n')
    return _whole(pc.binary_join_element_wise(*pieces, ends, ""))


def spoilt(columns: pa.Table, broken: Flags) -> pa.Table:
    """With an amount that is no number in the broken rows."""
    amounts = pc.if_else(pa.array(broken), SPOILT, columns["amount"])
    return columns.set_column(columns.column_names.index("amount"), "amount", amounts)


def _broken_cells(typed: pa.Table, rows: Fields, broken: Flags) -> pa.Table:
    """A broken row of Parquet has no key, or no amount."""
    lost = letters(rows.sale, broken)
    ids = pc.if_else(pa.array(lost), pa.scalar(None, pa.string()), sale_ids(rows.sale))
    amounts = pc.if_else(pa.array(broken), pa.scalar(None, pa.decimal128(18, 2)), typed["amount"])
    names = typed.column_names
    return typed.set_column(0, "sale_id", ids).set_column(names.index("amount"), "amount", amounts)


def _header(path: Path) -> bytes:
    return (",".join(COLUMNS) + "\n").encode() if path.suffix == ".csv" else b""


def joined(lines: pa.Array) -> bytes:
    """The texts of an array, one behind the other: just what its buffer holds."""
    ends = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return bytes(lines.buffers()[2][int(ends[0]) : int(ends[-1])])
