"""One file read once, from its first byte to its last, in bounded memory: chunks of rows and of dead letters."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import Ints
from topline.sources import spill
from topline.sources.files.coding import Seekable
from topline.sources.files.content import BrokenContent
from topline.sources.files.jsonarray import JsonArray
from topline.sources.files.linewise import Linewise
from topline.sources.files.parquet import ParquetRows
from topline.sources.files.record import FILE, LINE, Bad, Parsed, WholeFile, letter
from topline.sources.files.shape import FileShape

__all__ = ["Chunk", "FileShape", "Reading"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows (the table's columns) with the line of each, and dead letters, both in the order of their lines."""

    rows: pa.Table
    lines: Ints
    bad: tuple[Bad, ...] = ()

    def __len__(self) -> int:
        return len(self.lines) + len(self.bad)

    @property
    def last_line(self) -> int:
        return max(int(self.lines[-1]) if len(self.lines) else 0, self.bad[-1].line if self.bad else 0)

    def after(self, line: int) -> "Chunk":
        """What stands behind `line`."""
        first = int(np.searchsorted(self.lines, line, side="right"))
        return Chunk(self.rows.slice(first), self.lines[first:], tuple(bad for bad in self.bad if bad.line > line))

    def split(self, rows: int) -> tuple["Chunk", "Chunk | None"]:
        """At most about `rows` rows with the letters among them, and the rest."""
        if len(self.lines) <= rows:
            return self, None
        line = int(self.lines[rows - 1])
        head = Chunk(self.rows.slice(0, rows), self.lines[:rows], tuple(bad for bad in self.bad if bad.line <= line))
        return head, self.after(line)


class Format(Protocol):
    """How the files of one format are read. `end`: the line (or number of the record) after the last that was read."""

    end: int

    def pieces(self) -> Iterator[Parsed]:
        """The records, to the end. BrokenContent where the file does not unpack."""

    def rest(self) -> Iterator[Parsed]:
        """What is there whole, where the file cannot be read on."""


class Reading:
    """Iterate `chunks()` to its end; then `rows` and `letters` count what was found, and `end` is the line after the last."""

    def __init__(self, shape: FileShape, content: Seekable, name: str, line: int = 1) -> None:
        self._shape, self._content, self._name = shape, content, name
        self._format = _format(shape, content, name, line)
        self.rows, self.letters = 0, 0

    @property
    def end(self) -> int:
        return self._format.end

    @property
    def closed(self) -> bool:
        """At the end: whether what is appended to the file would begin a record, so that it can be read by itself."""
        return isinstance(self._format, Linewise) and self._format.closed

    def chunks(self) -> Iterator[Chunk]:
        try:
            yield from self._chunks(self._format.pieces())
        except (BrokenContent, WholeFile) as error:
            yield from self._chunks(self._format.rest())
            yield self._chunk(self._broken(error))

    def _chunks(self, pieces: Iterator[Parsed]) -> Iterator[Chunk]:
        for parsed in pieces:
            if parsed.lines.size or parsed.bad:
                yield self._chunk(parsed)

    def _chunk(self, parsed: Parsed) -> Chunk:
        bad = tuple(self._kept(bad) for bad in parsed.bad)
        self.rows += len(parsed.lines)
        self.letters += len(bad)
        return Chunk(self._with_place(self._spelled(parsed)), parsed.lines, bad)

    def _spelled(self, parsed: Parsed) -> Parsed:
        """Numbers and times as staging casts them."""
        spellings = self._shape.spellings
        if not spellings or not len(parsed.lines):
            return parsed
        rows = parsed.rows
        for name, spelling in spellings.items():
            texts = spelling.spelled(rows[name], parsed.typed.get(name))
            rows = rows.set_column(rows.column_names.index(name), name, texts)
        return replace(parsed, rows=rows)

    def _kept(self, bad: Bad) -> Bad:
        return bad._replace(raw=spill.keep(bad.raw, self._shape.settings.max_line_bytes, self._shape.state_dir))

    def _with_place(self, parsed: Parsed) -> pa.Table:
        """The columns in the table's order, `_file` and `_line` among them where they are declared."""
        names = self._shape.schema.names
        if len(self._shape.wanted) == len(names) or not len(parsed.lines):
            return parsed.rows if len(parsed.lines) else self._shape.schema.arrow.empty_table()
        place = {
            FILE: lambda: pa.repeat(self._name, len(parsed.lines)),
            LINE: lambda: pc.cast(pa.array(parsed.lines), pa.string()),
        }
        columns = [place[name]() if name in place else parsed.rows[name] for name in names]
        return pa.table(columns, schema=self._shape.schema.arrow)

    def _broken(self, error: BrokenContent | WholeFile) -> Parsed:
        """The file as it lies there becomes a letter."""
        line = self._format.end
        self._format.end += 1
        reference = spill.spill(self._content.raw(), self._shape.state_dir)
        reason = f"does not unpack after line {line - 1}: {error}" if isinstance(error, BrokenContent) else str(error)
        return letter(line, reference, f"{reason}. The letter holds the file as it was")


def _format(shape: FileShape, content: Seekable, name: str, line: int) -> Format:
    if shape.settings.format == "json":
        return JsonArray(shape, content, line)
    if shape.settings.format == "parquet":
        return ParquetRows(shape, content, line)
    return Linewise(shape, content, name, line)
