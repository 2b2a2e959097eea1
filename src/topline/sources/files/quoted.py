"""One CSV record at a time, in full: quotes, doubled quotes, escapes, fields over several lines, and what breaks them.

The rules are those of RFC 4180, and where it is silent: a quote inside an unquoted field stands for itself; an empty
unquoted field is NULL, "" is the empty text. A quoted field that is not closed within `max_bytes`, or is followed by
something else than a delimiter, makes its first line a bad record; reading goes on at the next line.
"""

import re
from dataclasses import dataclass

_UNCLOSED = "a quoted field is never closed"


@dataclass(frozen=True, slots=True)
class Dialect:
    """As bytes of the file: a delimiter of any length, quote and escape of one ASCII character each (b"" for none).

    A record of more than `max_bytes`, line end included, is bad.
    """

    delimiter: bytes = b","
    quote: bytes = b'"'
    escape: bytes = b""
    max_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """`end`: the byte after the record's line end. `fault`: why there are no fields."""

    fields: list[bytes | None]
    end: int
    fault: str = ""


class Splitter:
    def __init__(self, dialect: Dialect) -> None:
        self._delimiter, self._quote, self._limit = dialect.delimiter, dialect.quote, dialect.max_bytes
        first, delimiter = re.escape(dialect.delimiter[:1]), re.escape(dialect.delimiter)
        quote, escape = re.escape(dialect.quote), re.escape(dialect.escape)
        step = b"|" + escape + b"." if escape else b""
        # Possessive (++, *+): what was read as a doubled quote is never tried as a closing one; a match costs one pass.
        plain = b"[^" + first + escape + b"]++" + step + (step and b"|" + escape)
        if len(dialect.delimiter) > 1:
            plain += b"|(?!" + delimiter + b")" + first
        self._plain = re.compile(b"((?:" + plain + b")*+)", re.DOTALL)
        inner = b"(?:[^" + quote + escape + b"]++|" + quote + quote + step + b")*+"
        self._quoted = re.compile(quote + b"(" + inner + b")" + quote if quote else b"(?!)()", re.DOTALL)
        self._escaped = re.compile(escape + b"(.)", re.DOTALL) if escape else None
        self._escaped_or_doubled = re.compile((escape + b"(.)|" if escape else b"()") + quote + b"(" + quote + b")", re.DOTALL)

    def split(self, data: bytes, start: int, final: bool) -> Record | None:
        """The record at `start`; None where it may go on beyond `data` (never when `final`)."""
        fields: list[bytes | None] = []
        place, limit = start, min(len(data), start + self._limit)
        while True:
            if self._quote and data.startswith(self._quote, place):
                match = self._quoted.match(data, place, limit)
                if match is None:
                    open_ended = not final and limit == len(data)
                    return None if open_ended else self._broken(data, start, _UNCLOSED)
                fields.append(self._unquote(match[1]))
                place = match.end()
                content_end, end = _line_end(data, place)
                if place < content_end and not data.startswith(self._delimiter, place):
                    return self._broken(data, start, "text after a closing quote")
            else:
                content_end, end = _line_end(data, place)
                match = self._plain.match(data, place, content_end)
                assert match is not None
                fields.append(self._unescape(match[1]) or None)
                place = match.end()
            if place >= content_end:
                return self._whole(data, start, fields, end)
            place += len(self._delimiter)

    def _whole(self, data: bytes, start: int, fields: list[bytes | None], end: int) -> Record:
        if end - start > self._limit:
            return self._broken(data, start, _UNCLOSED)
        return Record(fields, end)

    def _broken(self, data: bytes, start: int, fault: str) -> Record:
        end = _line_end(data, start)[1]
        return Record([], end, f"longer than max_line_bytes, {self._limit}" if end - start > self._limit else fault)

    def _unquote(self, text: bytes) -> bytes:
        if self._escaped is None:
            return text.replace(self._quote * 2, self._quote)
        return self._escaped_or_doubled.sub(lambda match: match[1] or match[2], text)

    def _unescape(self, text: bytes) -> bytes:
        return text if self._escaped is None else self._escaped.sub(rb"\1", text)


def _line_end(data: bytes, place: int) -> tuple[int, int]:
    """Where the content of the line around `place` ends (without CR LF, LF), and where the next line begins."""
    newline = data.find(b"\n", place)
    if newline < 0:
        return (len(data) - 1 if data.endswith(b"\r", place) else len(data)), len(data)
    return (newline - 1 if newline > place and data[newline - 1] == 13 else newline), newline + 1
