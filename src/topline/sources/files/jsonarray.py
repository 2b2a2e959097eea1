"""A file of JSON objects in an array, or one after another, pretty-printed or not, in bounded memory.

Its position is the number of the object, from 1. What is no object, and what is broken, is a letter with a number of its own.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from topline.sources import spill
from topline.sources.files.coding import Recoded, Source
from topline.sources.files.elements import Neighbours, Scan, scan, sound
from topline.sources.files.jsonpath import Walk
from topline.sources.files.lines import Lines
from topline.sources.files.objects import ObjectParser
from topline.sources.files.opening import Opening, beginning
from topline.sources.files.record import Bad, Parsed, WholeFile, letter, within
from topline.sources.files.shape import FileShape

_BETWEEN = re.compile(rb"[ \t\r\n,]*+")
_JUNK = re.compile(rb"[^{\[\]]++")
_CLOSING = re.compile(rb"[ \t\r\n]*+\][ \t\r\n]*+\Z")
_SEPARATORS = b" \t\r\n,"
_BRACKET = ord("[")
_BLOCK = 1 << 20
_SMALL = 1 << 11  # bytes that are looked at at once behind a broken object, which may have been misunderstood


class JsonArray:
    """Iterate `pieces()` to its end. `end`: the number after that of the last object."""

    def __init__(self, shape: FileShape, source: Source, line: int = 1) -> None:
        self._shape, self._source = shape, source
        self._limit, self._block = shape.settings.max_line_bytes, min(shape.block, _BLOCK)
        self._stream: Recoded | None = None
        self._buffer = b""
        self._inside = self._final = self._done = self._cut = False
        self._neighbours = Neighbours()
        self.end = line

    def pieces(self) -> Iterator[Parsed]:
        """WholeFile where there is no array at `records`."""
        records = self._shape.settings.records if self._shape.opening is None else ""  # a letter holds the record alone
        self._stream = self._open()
        self._objects = ObjectParser(self._shape)
        if records:
            self._enter(self._stream, records)
        while not self._done:
            yield from self._scanned()
            if self._final:
                break
            piece = self._stream.read(self._block)
            self._final = not piece
            self._buffer += piece
        if self._inside and not self._done:
            yield self._letter(self._buffer, "the file ends within its array")

    def rest(self) -> Iterator[Parsed]:
        """What was complete was given out already."""
        return iter(())

    def _open(self) -> Recoded:
        if self._shape.opening is not None:
            return Opening(self._shape.opening.coding).stream(self._source, b"")
        begun, whole = beginning(self._source)
        opening = Opening.of(begun, self._shape.settings, whole=whole)
        if opening.coding.unsaid:
            raise WholeFile(f"no byte-order mark: say encoding: {opening.coding.name}-le, or -be")
        self._shape = self._shape.opened(opening)
        return opening.stream(self._source, begun)

    def _enter(self, stream: Recoded, path: str) -> None:
        walk = Walk(lambda: stream.read(self._block))
        walk.to_array(path.split("."))
        self._buffer, self._inside = walk.buffer, True

    def _scanned(self) -> Iterator[Parsed]:
        """All of the buffer that is complete."""
        size = len(self._buffer)
        while not self._done:
            place = _BETWEEN.match(self._buffer).end()  # type: ignore[union-attr] # it matches nothing at least
            head = self._buffer[place : place + 1]
            if not head:
                return
            before = len(self._buffer)
            if head == b"]" and self._inside:
                self._pass(place + 1)
                self._inside, self._done = False, bool(self._shape.settings.records)
            elif head == b"[" and not self._inside:
                self._pass(place + 1)
                self._inside = True
            elif head not in b"{[":
                yield from self._junk(place)
                if len(self._buffer) == before:
                    return
            else:
                yield from self._elements(place, size)
                if len(self._buffer) < before:
                    size, self._cut = _SMALL if self._cut else size * 4, False
                elif size >= before:
                    return
                else:
                    size *= 2

    def _pass(self, count: int) -> None:
        self._buffer = self._buffer[count:]

    def _junk(self, place: int) -> Iterator[Parsed]:
        """In pieces of `max_line_bytes` where it is longer."""
        match = _JUNK.match(self._buffer, place, place + self._limit)
        end = match.end() if match else place + 1
        if end < len(self._buffer) or end - place >= self._limit or self._final:
            raw = self._buffer[place:end].rstrip(_SEPARATORS)
            self._pass(end)
            yield self._letter(raw, "neither a JSON object nor what separates two")

    def _elements(self, place: int, size: int) -> Iterator[Parsed]:
        """The complete elements in `size` bytes of the buffer, up to one that is broken; the first is at `place`."""
        data = self._buffer[:size]
        found = scan(data)
        count = _side_by_side(data, found)
        if not self._inside:  # a bracket between objects opens an array
            count = next((n for n, at in enumerate(found.starts[:count].tolist()) if data[at] == _BRACKET), count)
        long = np.flatnonzero(found.ends[:count] - found.starts[:count] >= self._limit)[:1]
        if len(long) and long[0] == 0:
            yield self._unclosed(place)
        elif count:
            yield from self._parsed(data, found, int(long[0]) if len(long) else count)
        elif size >= len(self._buffer) and (self._final or len(data) - place >= self._limit):
            yield self._unclosed(place)

    def _parsed(self, data: bytes, found: Scan, count: int) -> Iterator[Parsed]:
        starts, ends = found.starts[:count], found.ends[:count]
        records = Lines(data[: ends[-1]], np.frombuffer(data, np.uint8)[: ends[-1]], starts, ends)

        def raw(place: int) -> bytes:
            return data[starts[place] : ends[place]]

        parsed = self._objects.parse(records, np.arange(self.end, self.end + count, dtype=np.int64), raw)
        cut = next((bad for bad in parsed.bad if not sound(bad.raw)), None)
        place = cut.line - self.end if cut else count
        self._cut |= cut is not None
        if place:
            parsed = parsed if cut is None else _before(parsed, cut.line)
            yield self._own(parsed)
            if len(parsed.lines):
                self._neighbours.note(raw(int(parsed.lines[0]) - self.end))
            self.end += place
            self._pass(int(ends[place - 1]))
        elif cut is not None:
            yield from self._unsound(int(starts[0]), int(ends[0]), cut.reason)

    def _unsound(self, start: int, end: int, reason: str) -> Iterator[Parsed]:
        """An element whose end cannot be relied on: it is where the next one begins, or else where its brackets close.

        The next one is looked for in `max_line_bytes`, whatever was read already, so that each reading finds the same.
        """
        resume = self._neighbours.next(self._buffer[: start + self._limit], start)
        if resume < 0 and not self._final and len(self._buffer) < start + self._limit:
            return
        if resume < 0 and not self._buffer[end:].strip(_SEPARATORS):
            yield self._last(start, reason)
            return
        resume = end if resume < 0 else resume
        raw = self._buffer[start:resume].rstrip(_SEPARATORS)
        self._pass(resume)
        yield self._letter(raw, reason)

    def _unclosed(self, start: int) -> Parsed:
        """An element that is not closed within `max_line_bytes` goes up to the next one, however far that is."""
        resume = self._neighbours.next(self._buffer, start)
        reason = f"an object that is not closed within max_line_bytes, {self._limit}"
        if resume >= 0:
            raw = self._buffer[start:resume].rstrip(_SEPARATORS)
            self._pass(resume)
            return self._letter(raw, reason)
        if self._final:
            return self._last(start, "an object that is never closed")
        coding = self._shape.coding
        most = self._shape.settings.max_unpacked_bytes if self._source.packed else None
        pieces = within(map(coding.original, self._until_next(start)), most)
        reference = spill.spill(pieces, self._shape.state_dir)
        self.end += 1
        return letter(self.end - 1, reference, reason)

    def _last(self, start: int, reason: str) -> Parsed:
        raw = self._buffer[start:]
        closing = _CLOSING.search(raw) if self._inside else None
        self._buffer, self._inside = b"", False
        return self._letter(raw[: closing.start()] if closing else raw, reason)

    def _until_next(self, start: int) -> Iterator[bytes]:
        """The bytes of what is broken, up to where the next element seems to begin."""
        assert self._stream is not None
        before, data = self._buffer[:start], self._buffer[start:]
        while (resume := self._neighbours.next(before + data, len(before)) - len(before)) < 0:
            piece = self._stream.read(self._block)
            if not piece:
                closing = _CLOSING.search(data) if self._inside else None
                self._final, self._inside, self._buffer = True, False, b""
                yield data[: closing.start()] if closing else data
                return
            keep = min(len(data), 1024)  # a separator may begin in it
            yield data[: len(data) - keep]
            data = data[len(data) - keep :] + piece
        self._buffer = data[resume:]
        yield data[:resume].rstrip(_SEPARATORS)

    def _letter(self, raw: bytes, reason: str) -> Parsed:
        self.end += 1
        return self._own(letter(self.end - 1, raw, reason))

    def _own(self, parsed: Parsed) -> Parsed:
        """Bad records in the file's own bytes."""
        coding = self._shape.coding
        if not parsed.bad or not coding.wide:
            return parsed
        return replace(parsed, bad=tuple(bad._replace(raw=coding.original(bad.raw)) for bad in parsed.bad))


def _side_by_side(data: bytes, found: Scan) -> int:
    """How many of the elements have nothing but separators before them."""
    if not len(found.starts):
        return 0
    begins = np.concatenate(([0], found.ends[:-1])).tolist()
    gaps = [data[begin:start] for begin, start in zip(begins, found.starts.tolist(), strict=True)]
    if not b"".join(gaps).strip(_SEPARATORS):
        return len(gaps)
    return next(place for place, gap in enumerate(gaps) if gap.strip(_SEPARATORS))


def _before(parsed: Parsed, line: int) -> Parsed:
    count = int(np.searchsorted(parsed.lines, line))
    bad: tuple[Bad, ...] = tuple(bad for bad in parsed.bad if bad.line < line)
    typed = {name: mask[:count] for name, mask in parsed.typed.items()}
    return replace(parsed, rows=parsed.rows.slice(0, count), lines=parsed.lines[:count], bad=bad, typed=typed)
