"""One file read once, from its first byte to its last, in bounded memory: chunks of rows and of dead letters."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import Ints
from topline.schema import TableSchema
from topline.sources import spill
from topline.sources.files.content import BrokenContent
from topline.sources.files.delimited import Columns, CsvParser
from topline.sources.files.ndjson import NdjsonParser
from topline.sources.files.quoted import Dialect, Splitter
from topline.sources.files.record import FILE, LINE, Bad, Parsed, Parser, decode, text_columns
from topline.sources.files.settings import FileTable

log = logging.getLogger("topline.sources.files")

_BLOCK = 4 << 20
_BLANK = re.compile(rb"(?:[ \t]*\r?\n)*")
_BOM = b"\xef\xbb\xbf"


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


@dataclass(frozen=True, slots=True)
class FileShape:
    """How the files of one table are read. `state_dir` takes what is too large for a letter."""

    schema: TableSchema
    settings: FileTable
    state_dir: Path
    block: int = _BLOCK
    fast: bool = True

    @property
    def wanted(self) -> list[str]:
        return text_columns(self.schema)

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(name for name in self.schema.key if name not in (FILE, LINE))

    @property
    def dialect(self) -> Dialect:
        s = self.settings
        return Dialect(s.delimiter, s.quote, s.escape, s.max_line_bytes)


class Bytes(Protocol):
    """What a Reading reads: see Content."""

    def read(self, size: int) -> bytes: ...

    def raw(self) -> Iterator[bytes]: ...


class Reading:
    """Iterate `chunks()` to its end; then `rows` and `letters` count what was found, and `end` is the line after the last."""

    def __init__(self, shape: FileShape, content: Bytes, name: str, line: int = 1) -> None:
        self._shape, self._content, self._name = shape, content, name
        self._limit = shape.settings.max_line_bytes
        self._parser: Parser | None = None
        self._buffer = b""
        self.rows, self.letters, self.end = 0, 0, line

    def chunks(self) -> Iterator[Chunk]:
        try:
            for parsed in self._pieces():
                if parsed.lines.size or parsed.bad:
                    yield self._chunk(parsed)
        except BrokenContent as error:
            yield from self._broken(str(error))

    def _pieces(self) -> Iterator[Parsed]:
        final = False
        while not final:
            piece = self._content.read(self._shape.block)
            if self.end == 1 and self._parser is None and not self._buffer:
                piece = piece.removeprefix(_BOM)
            final = not piece
            self._buffer += piece
            yield from self._parsed(final)
            tail = len(self._buffer) - self._buffer.rfind(b"\n") - 1
            if not final and tail > self._limit:
                yield from self._parsed(final=True, end=len(self._buffer) - tail)
                yield self._long_line()

    def _parsed(self, final: bool, end: int | None = None) -> Iterator[Parsed]:
        """Parse the whole lines of the buffer (all of it at the file's end), and keep what may go on."""
        if end is None:
            end = len(self._buffer) if final else self._buffer.rfind(b"\n") + 1
        if end and self._parser is None:
            end -= self._begin(end, final)
        if end and self._parser is not None:
            parsed = self._parser.parse(self._buffer[:end], self.end, final)
            self._advance(parsed.consumed, parsed.line_count)
            yield parsed

    def _advance(self, consumed: int, lines: int) -> None:
        self._buffer = self._buffer[consumed:]
        self.end += lines

    @property
    def _has_header(self) -> bool:
        return self._shape.settings.format == "csv" and self._shape.settings.header is True

    def _begin(self, end: int, final: bool) -> int:
        """Read the header and choose the parser; returns how many bytes the header took. Without one, the rest is refused."""
        shape, s = self._shape, self._shape.settings
        if s.format == "ndjson":
            self._parser = NdjsonParser(shape.wanted, shape.key, s.encoding, s.max_line_bytes)
        elif self._has_header:
            return self._read_header(self._buffer[:end], final)
        else:
            self._parser = self._csv(tuple(shape.wanted) if isinstance(s.header, bool) else s.header)
        return 0

    def _read_header(self, data: bytes, final: bool) -> int:
        blank = _BLANK.match(data).end()  # type: ignore[union-attr] # it matches nothing at least
        self._advance(blank, data.count(b"\n", 0, blank))
        record = Splitter(self._shape.dialect).split(data, blank, final)
        if record is None or blank == len(data):
            return len(data)
        raw = data[blank : record.end]
        try:
            header = header_of(record.fields, record.fault, raw, self._shape)
        except ValueError as error:
            self._parser = _Refused(str(error))
            return blank
        self._parser = self._csv(header)
        self._advance(len(raw), max(1, raw.count(b"\n")))
        return record.end

    def _csv(self, header: tuple[str, ...]) -> CsvParser:
        shape = self._shape
        _note_extra(shape, header, self._name)
        columns = Columns(header, tuple(shape.wanted), shape.key)
        return CsvParser(columns, shape.dialect, shape.settings.encoding, shape.fast)

    def _chunk(self, parsed: Parsed) -> Chunk:
        bad = tuple(b._replace(raw=spill.keep(b.raw, self._limit, self._shape.state_dir)) for b in parsed.bad)
        self.rows += len(parsed.lines)
        self.letters += len(bad)
        return Chunk(self._with_place(parsed), parsed.lines, bad)

    def _with_place(self, parsed: Parsed) -> pa.Table:
        """The columns in the table's order, `_file` and `_line` among them where they are declared."""
        if len(self._shape.wanted) == len(self._shape.schema.names) or not len(parsed.lines):
            return parsed.rows if len(parsed.lines) else self._shape.schema.arrow.empty_table()
        place = {
            FILE: lambda: pa.repeat(self._name, len(parsed.lines)),
            LINE: lambda: pc.cast(pa.array(parsed.lines), pa.string()),
        }
        columns = [place[name]() if name in place else parsed.rows[name] for name in self._shape.schema.names]
        return pa.table(columns, schema=self._shape.schema.arrow)

    def _long_line(self) -> Parsed:
        """The unfinished line in the buffer is too long: its bytes go to a file as they come."""
        line = self.end
        if self._parser is None and not self._has_header:
            self._begin(0, final=False)
        reference = spill.spill(self._rest_of_line(), self._shape.state_dir)
        self._advance(0, 1)
        if self._parser is None:
            self._parser = _Refused(f"the header is longer than max_line_bytes, {self._limit}")
        return _letter(line, reference, f"longer than max_line_bytes, {self._limit}")

    def _rest_of_line(self) -> Iterator[bytes]:
        piece = self._buffer
        while piece and (newline := piece.find(b"\n")) < 0:
            yield piece
            piece = self._content.read(self._shape.block)
        self._buffer = piece[newline + 1 :] if piece else b""
        yield piece[: newline + 1] if piece else b""

    def _broken(self, fault: str) -> Iterator[Chunk]:
        """What unpacked is read up to its last whole line; the file as it lies on the disk becomes a letter."""
        whole = self._buffer.rfind(b"\n") + 1
        if whole:
            yield from (self._chunk(parsed) for parsed in self._parsed(final=True, end=whole))
        reference = spill.spill(self._content.raw(), self._shape.state_dir)
        reason = f"the .gz file is broken after line {self.end - 1}: {fault}. The letter holds the file as it was"
        yield self._chunk(_letter(self.end, reference, reason))
        self._advance(0, 1)


def _letter(line: int, raw: bytes, reason: str) -> Parsed:
    return Parsed(pa.table({}), np.empty(0, np.int64), (Bad(line, raw, reason),), 0, 0)


def header_of(fields: list[bytes | None], fault: str, raw: bytes, shape: FileShape) -> tuple[str, ...]:
    """The names in a header. ValueError where a declared column is not among them, or not once."""
    decode(raw, shape.settings.encoding)
    if fault:
        raise ValueError(f"the header cannot be read: {fault}")
    names = tuple((field or b"").decode(shape.settings.encoding).strip() for field in fields)
    missing = [name for name in shape.wanted if name not in names]
    if missing:
        expected = ", ".join(shape.wanted)
        raise ValueError(f"the header lacks {', '.join(missing)}: found {', '.join(names)}; expected {expected}")
    twice = [name for name in shape.wanted if names.count(name) > 1]
    if twice:
        raise ValueError(f"the header names {', '.join(twice)} twice: found {', '.join(names)}")
    return names


_noted: set[tuple[str, str]] = set()


def _note_extra(shape: FileShape, header: tuple[str, ...], file: str) -> None:
    for name in sorted(set(header) - set(shape.wanted)):
        if (shape.schema.name, name) not in _noted:
            _noted.add((shape.schema.name, name))
            log.info("%s: column %r of %s is not declared and is not read", shape.schema.name, name, file)


class _Refused:
    """The parser of a file whose header does not serve: all of it becomes dead letters, piece by piece."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def parse(self, data: bytes, line: int, final: bool) -> Parsed:  # noqa: ARG002
        lines = data.count(b"\n") + (0 if data.endswith(b"\n") else 1)
        return replace(_letter(line, data, self._reason), consumed=len(data), line_count=lines)
