"""Walks into a JSON document up to an array that it holds, in bounded memory whatever lies before it."""

import json
import re
from collections.abc import Callable, Sequence

from topline.sources.files.record import WholeFile

_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]]|[^"{}\[\]]++', re.DOTALL)
_SCALAR = re.compile(rb"[^,{}\[\]\s]++")
_LONGEST = 64 << 20


class Walk:
    """`read` gives more of the document, b"" at its end."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read, self._buffer, self._at = read, b"", 0

    @property
    def buffer(self) -> bytes:
        """What was read and not passed yet."""
        return self._buffer[self._at :]

    def to_array(self, names: Sequence[str]) -> None:
        """Pass everything up to the bracket that opens the array to which `names` lead. WholeFile where there is none."""
        for place, name in enumerate(names):
            if not self._passes(b"{") or not self._to_member(name):
                raise WholeFile(f"there is no {'.'.join(names[: place + 1])} in this document")
        if not self._passes(b"["):
            raise WholeFile(f"{'.'.join(names)} is no array")

    def _to_member(self, name: str) -> bool:
        while not self._passes(b"}"):
            found = self._take(_STRING)
            if found is None or not self._passes(b":"):
                return False
            if _text(found) == name:
                return True
            if not self._skip_value():
                return False
            self._passes(b",")
        return False

    def _skip_value(self) -> bool:
        head = self._head()
        if head not in (b"{", b"["):
            return self._take(_STRING if head == b'"' else _SCALAR) is not None
        depth = 0
        while (token := self._take(_TOKEN)) is not None:
            depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
            if depth == 0:
                return True
        return False

    def _passes(self, character: bytes) -> bool:
        passes = self._head() == character
        self._at += passes
        return passes

    def _head(self) -> bytes:
        """The character that comes next, behind spaces; b"" at the end."""
        while True:
            self._at = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr] # it matches nothing at least
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def _take(self, token: re.Pattern[bytes]) -> bytes | None:
        """The token that comes next. One that reaches the end of what was read may go on behind it."""
        while True:
            match = token.match(self._buffer, self._at)
            if match is not None and match.end() < len(self._buffer):
                self._at = match.end()
                return match[0]
            if len(self._buffer) - self._at > _LONGEST:
                raise WholeFile(f"a text before the records is longer than {_LONGEST} bytes")
            if not self._more():
                return None

    def _more(self) -> bool:
        piece = self._read()
        self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(piece)


def _text(string: bytes) -> str:
    try:
        return str(json.loads(string))
    except ValueError:
        return ""
