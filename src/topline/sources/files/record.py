"""What reading a piece of a file gives: rows with their lines, and the records that could not be read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from topline.changes import Ints
from topline.schema import TableSchema
from topline.sources.files.content import too_large
from topline.sources.files.lines import Mask

FILE, LINE = "_file", "_line"  # declared columns that the source itself fills: relative path, and line of the record


class WholeFile(Exception):  # noqa: N818 - caught within this package: what is broken is data, not the program
    """The file cannot be read, or not on. It becomes one letter, as it lies there; the message is the reason."""


class Bad(NamedTuple):
    """A record that is no row: the line where it starts (1-based), its bytes with their line end, and why."""

    line: int
    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """The records of a piece. `rows` has the table's columns; `lines` (1-based, increasing) says where each row starts.

    `consumed` bytes and `line_count` lines of the piece were used up; a record that may go on lies after them.
    `typed`, by column: values that the file itself has as numbers or times, so that no setting may take them for text.
    """

    rows: pa.Table
    lines: Ints
    bad: tuple[Bad, ...]
    consumed: int
    line_count: int
    typed: Mapping[str, Mask] = field(default_factory=dict)


def letter(line: int, raw: bytes, reason: str, consumed: int = 0, line_count: int = 0) -> Parsed:
    return Parsed(pa.table({}), np.empty(0, np.int64), (Bad(line, raw, reason),), consumed, line_count)


def within(pieces: Iterable[bytes], most: int | None) -> Iterator[bytes]:
    """The pieces of one record; WholeFile once they come to more than `most` bytes (None: however many)."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if most is not None and size > most:
            raise WholeFile(f"a record without an end: {too_large(most)}")
        yield piece


class Parser(Protocol):
    """Splits a file's bytes into records. `data` begins at a line's start and ends at a line's end, or at the file's."""

    def parse(self, data: bytes, line: int, final: bool) -> Parsed: ...


Row = tuple[int, Sequence[str | None]]


def table_of(schema: pa.Schema, rows: Sequence[Row]) -> tuple[pa.Table, Ints]:
    """Rows (line, one text or None a column) as a table and their lines."""
    lines = np.array([line for line, _ in rows], dtype=np.int64)
    columns = zip(*(values for _, values in rows), strict=True) if rows else [()] * len(schema)
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], schema=schema), lines


def text_columns(schema: TableSchema) -> list[str]:
    """The declared columns that a file has to bring, in their order."""
    return [name for name in schema.names if name not in (FILE, LINE)]
