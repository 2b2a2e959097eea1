"""Reads a kept dead letter again, under today's settings."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from topline.changes import UPSERT, DeadLetter, TableChanges
from topline.errors import StateError, TransientError
from topline.sources import spill
from topline.sources.files.audit import opened_as
from topline.sources.files.coding import byte_order_mark
from topline.sources.files.content import BrokenContent, Place, too_large
from topline.sources.files.jsonpath import Walk
from topline.sources.files.opening import Opening
from topline.sources.files.reading import FileShape, Reading
from topline.sources.files.record import WholeFile
from topline.sources.files.unpack import Unpacker, suffix_of


class _Held:
    """Bytes that are held already, read as a file is, and unpacked where they are a packed file."""

    def __init__(self, data: bytes) -> None:
        self._data, suffix = data, suffix_of(data)
        self.packed = bool(suffix)
        self.read = Unpacker(suffix, self._take).read if suffix else self._take

    def _take(self, size: int) -> bytes:
        piece, self._data = self._data[:size], self._data[size:]
        return piece

    def raw(self) -> Iterator[bytes]:
        yield self._data

    def seekable(self, folder: Path, most: int) -> BinaryIO:  # noqa: ARG002 - it is held already
        unpacked = BytesIO()
        while piece := self.read(1 << 20):
            if self.packed and unpacked.tell() + len(piece) > most:
                raise BrokenContent(too_large(most))
            unpacked.write(piece)
        unpacked.seek(0)
        return unpacked


def reread(letter: DeadLetter, shape: FileShape, place: Place) -> TableChanges | DeadLetter:
    """The letter's rows, or the letter with the reason why it still cannot be read.

    A record's field names are those of the file as it lies there now, in its place: the letter holds the record alone.
    """
    try:
        data = b"".join(spill.original(letter.raw, shape.state_dir))
        held = _Held(data)
        shape = shape if held.packed else _as_its_file(letter, data, shape, place)
        reading = Reading(shape, held, _file(letter), letter.position.lo)
        chunks = list(reading.chunks())
    except (StateError, TransientError, ValueError, OSError) as error:
        return replace(letter, reason=str(error))
    bad = [bad for chunk in chunks for bad in chunk.bad]
    if bad or not reading.rows:
        return replace(letter, reason=bad[0].reason if bad else "it holds no row")
    rows = pa.concat_tables([chunk.rows for chunk in chunks])
    lines = np.concatenate([chunk.lines for chunk in chunks])
    hi = np.full(len(lines), letter.position.hi, dtype=np.int64)
    return TableChanges(letter.table, letter.partition, rows, np.full(len(lines), UPSERT, np.int8), hi, lines)


def _file(letter: DeadLetter) -> str:
    return letter.partition.partition(":")[2]


def _as_its_file(letter: DeadLetter, data: bytes, shape: FileShape, place: Place) -> FileShape:
    """The shape to read the letter with: a record's is that of the file as it lies there now; one that begins at line 1
    brings its own header, as a packed file does. A row of Parquet is kept as JSON."""
    if shape.settings.format == "parquet":
        as_json = shape.settings.model_copy(update={"format": "ndjson", "encoding": "utf-8"})
        return replace(shape, settings=as_json) if data.startswith(b"{") else shape
    if shape.settings.format == "json" and _holds_array(data, shape.settings.records):
        return shape
    has_header = shape.settings.format == "csv" and shape.settings.header is True
    if (has_header and letter.position.lo == 1) or byte_order_mark(data)[0]:
        return shape
    try:
        return opened_as(place, shape)
    except FileNotFoundError:
        if has_header:
            raise ValueError(f"{_file(letter)} is gone, and with it the names of the fields") from None
        return shape.opened(Opening(shape.coding))


def _holds_array(data: bytes, path: str) -> bool:
    """Whether the letter is a whole file, which has the array, or a record of it."""
    pieces = iter([data])
    try:
        Walk(lambda: next(pieces, b"")).to_array(path.split("."))
    except WholeFile:
        return False
    return bool(path)
