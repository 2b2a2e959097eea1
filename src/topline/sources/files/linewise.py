"""A file whose records are lines, or runs of lines: CSV and NDJSON. In bounded memory, whatever the lines' lengths."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from topline.sources import spill
from topline.sources.files.coding import Coding, Recoded, Source
from topline.sources.files.delimited import Columns, CsvParser
from topline.sources.files.header import before_header, names_in, places_of
from topline.sources.files.ndjson import NdjsonParser
from topline.sources.files.opening import Opening, beginning
from topline.sources.files.quoted import Splitter
from topline.sources.files.record import Bad, Parsed, Parser, letter, within
from topline.sources.files.shape import FileShape

log = logging.getLogger("topline.sources.files")


class Linewise:
    """Iterate `pieces()` to its end. `end`: the line after the last that was read."""

    def __init__(self, shape: FileShape, source: Source, name: str, line: int = 1) -> None:
        self._shape, self._source, self._name = shape, source, name
        self._limit = shape.settings.max_line_bytes
        self._stream: Recoded | None = None
        self._parser: Parser | None = None
        self._buffer = b""
        self._before = b""  # the file's own bytes before its header, which a refused header's letter begins with
        self.end = line
        self.closed = False  # at the end of the file: whether its last record ended with its line

    def pieces(self) -> Iterator[Parsed]:
        stream = self._stream = self._open()
        final = False
        while not final:
            piece = stream.read(self._shape.block)
            final = not piece
            self.closed = final and not self._buffer and self._parser is not None
            self._buffer += piece
            yield from self._parsed(final)
            tail = len(self._buffer) - self._buffer.rfind(b"\n") - 1
            if not final and tail > self._limit:
                yield from self._parsed(final=True, end=len(self._buffer) - tail)
                yield self._long_line(stream)

    def rest(self) -> Iterator[Parsed]:
        """What is there up to the last whole line, where the file cannot be read on."""
        whole = self._buffer.rfind(b"\n") + 1
        if whole:
            yield from self._parsed(final=True, end=whole)

    def _open(self) -> Recoded:
        known = self._shape.opening
        if known is not None:
            return Opening(known.coding).stream(self._source, b"")
        begun, whole = beginning(self._source)
        opening = Opening.of(begun, self._shape.settings, whole=whole)
        if opening.coding.unsaid:
            self._parser = _Refused(f"no byte-order mark: say encoding: {opening.coding.name}-le, or -be")
            opening = Opening(Coding("iso8859-1"))
        self._before = opening.own
        self.end += bool(opening.lead)
        self._shape = self._shape.opened(opening)
        return opening.stream(self._source, begun)

    def _parsed(self, final: bool, end: int | None = None) -> Iterator[Parsed]:
        """Parse the whole lines of the buffer (all of it at the file's end), and keep what may go on."""
        if end is None:
            end = len(self._buffer) if final else self._buffer.rfind(b"\n") + 1
        if end and self._parser is None:
            end -= self._begin(end, final)
        if end and self._parser is not None:
            parsed = self._parser.parse(self._buffer[:end], self.end, final)
            self._advance(parsed.consumed, parsed.line_count)
            yield self._own(parsed)

    def _own(self, parsed: Parsed) -> Parsed:
        """Bad records in the file's own bytes; a refused file from its first byte."""
        if not parsed.bad:
            return parsed
        bad = [bad._replace(raw=self._shape.coding.original(bad.raw)) for bad in parsed.bad]
        if isinstance(self._parser, _Refused) and self._before:
            bad[0] = Bad(1, self._before + bad[0].raw, bad[0].reason)
            self._before = b""
        return replace(parsed, bad=tuple(bad))

    def _advance(self, consumed: int, lines: int) -> None:
        self._buffer = self._buffer[consumed:]
        self.end += lines

    @property
    def _has_header(self) -> bool:
        return self._shape.settings.format == "csv" and self._shape.settings.header is True

    def _begin(self, end: int, final: bool) -> int:
        """Read the header and choose the parser; returns how many bytes the header took. Without one, the rest is refused."""
        shape, s = self._shape, self._shape.settings
        if s.format != "csv":
            self._parser = NdjsonParser(shape)
        elif self._has_header:
            return self._read_header(self._buffer[:end], final)
        else:
            names = tuple(map(shape.field_of, shape.wanted)) if isinstance(s.header, bool) else s.header
            self._parser = self._csv(names, shape.opening.header if shape.opening else b"")
        return 0

    def _read_header(self, data: bytes, final: bool) -> int:
        shape, before = self._shape, self._skip_before_header(data)
        record = Splitter(shape.dialect).split(data, before, final)
        if record is None or before == len(data):
            return len(data)
        raw = data[before : record.end]
        try:
            self._parser = self._csv(names_in(record.fields, record.fault, raw, shape), raw)
        except ValueError as error:
            self._parser = _Refused(str(error))
            return before
        self._advance(len(raw), max(1, raw.count(b"\n")))
        return record.end

    def _skip_before_header(self, data: bytes) -> int:
        place = before_header(data, self._shape.settings.comment)
        if len(self._before) < self._limit:
            self._before += self._shape.coding.original(data[:place])
        self._advance(place, data.count(b"\n", 0, place))
        return place

    def _csv(self, names: tuple[str, ...], header: bytes = b"") -> CsvParser:
        shape = self._shape
        fill = shape.settings.short == "fill"
        columns = Columns(len(names), places_of(names, shape), shape.key, header.rstrip(b"\r\n"), fill)
        _note_extra(shape, {name for place, name in enumerate(names) if place not in columns.places.values()}, self._name)
        comment = shape.settings.comment.encode()
        return CsvParser(columns, shape.dialect, shape.coding, comment=comment, fast=shape.fast)

    def _long_line(self, stream: Recoded) -> Parsed:
        """The unfinished line in the buffer is too long: its bytes go to a file as they come."""
        line = self.end
        if self._parser is None and not self._has_header:
            self._begin(0, final=False)
        pieces = map(self._shape.coding.original, self._rest_of_line(stream))
        before = self._before if self._parser is None or isinstance(self._parser, _Refused) else b""
        most = self._shape.settings.max_unpacked_bytes if self._source.packed else None
        reference = spill.spill(within(chain([before], pieces), most), self._shape.state_dir)
        self._advance(0, 1)
        self._before = b""
        if self._parser is None:
            self._parser = _Refused(f"the header is longer than max_line_bytes, {self._limit}")
        return letter(line, reference, f"longer than max_line_bytes, {self._limit}")

    def _rest_of_line(self, stream: Recoded) -> Iterator[bytes]:
        piece = self._buffer
        while piece and (newline := piece.find(b"\n")) < 0:
            yield piece
            piece = stream.read(self._shape.block)
        self._buffer = piece[newline + 1 :] if piece else b""
        yield piece[: newline + 1] if piece else b""


_noted: set[tuple[str, str]] = set()


def _note_extra(shape: FileShape, names: set[str], file: str) -> None:
    for name in sorted(names):
        if (shape.schema.name, name) not in _noted:
            _noted.add((shape.schema.name, name))
            log.info("%s: column %r of %s is not declared and is not read", shape.schema.name, name, file)


class _Refused:
    """The parser of a file whose header does not serve: all of it becomes dead letters, piece by piece."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def parse(self, data: bytes, line: int, final: bool) -> Parsed:  # noqa: ARG002
        lines = data.count(b"\n") + (0 if data.endswith(b"\n") else 1)
        return letter(line, data, self._reason, len(data), lines)
