"""Where the objects of a JSON array lie in its bytes, found by quotes and brackets alone, before anything is parsed.

What is broken is found out later, by the parser; here it must only be possible to go on behind it. An object that is not
closed, or whose quotes do not stand where strings begin and end, is taken to end where the next one begins that looks like
the others: on a line of its own with the same indentation, or after a comma with the same first member.
"""

import re
from dataclasses import dataclass
from itertools import chain

import numpy as np

from topline.changes import Ints
from topline.sources.files.lines import Octets

_OPEN, _CLOSE, _QUOTE, _BACKSLASH = b"{[", b"}]", 34, 92
_FIRST = re.compile(rb'\{[ \t\r\n]*("(?:[^"\\\x00-\x1f]|\\.)*+"[ \t\r\n]*:)')
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*+"|"')
_BEFORE, _BEHIND = b"{[,:", b"}],:"
_WHITE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Scan:
    """Complete elements (start, end) of an array, from where the scan began; `closed`: the place of the bracket that closes the
    array, -1 where it does not; `rest`: where an element begins that is not complete, or the end."""

    starts: Ints
    ends: Ints
    closed: int
    rest: int


def scan(data: bytes) -> Scan:
    """The elements in `data`, which begins within an array, between two of them."""
    octets = np.frombuffer(data, np.uint8)
    brackets, steps = _brackets(data, octets)
    depth = np.cumsum(steps)
    closing = np.flatnonzero(depth < 0)
    count = int(closing[0]) if len(closing) else len(depth)
    outer = depth[:count]
    starts = brackets[:count][(outer == 1) & (steps[:count] == 1)]
    ends = brackets[:count][(outer == 0) & (steps[:count] == -1)] + 1
    closed = int(brackets[count]) if len(closing) else -1
    rest = int(starts[len(ends)]) if len(starts) > len(ends) else (closed if closed >= 0 else len(data))
    return Scan(starts[: len(ends)], ends, closed, rest)


def _brackets(data: bytes, octets: Octets) -> tuple[Ints, Ints]:
    """The brackets and braces that are in no string, and what each does to the depth."""
    quotes = np.flatnonzero(octets == _QUOTE)
    if b"\\" in data and len(quotes):
        quotes = quotes[~_escaped(octets, quotes)]
    opening = (octets == _OPEN[0]) | (octets == _OPEN[1])
    closing = (octets == _CLOSE[0]) | (octets == _CLOSE[1])
    places = np.flatnonzero(opening | closing).astype(np.int64)
    places = places[np.searchsorted(quotes, places) % 2 == 0]
    return places, np.where(opening[places], 1, -1)


def _escaped(octets: Octets, quotes: Ints) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which quotes have an odd number of backslashes right before them."""
    others = np.flatnonzero(octets != _BACKSLASH)
    before = np.searchsorted(others, quotes) - 1
    last = np.where(before >= 0, others[np.maximum(before, 0)], -1)
    odd: np.ndarray[tuple[int], np.dtype[np.bool_]] = (quotes - last - 1) % 2 == 1
    return odd


def sound(element: bytes) -> bool:
    """Whether the end of a balanced element can be relied on, though it is no JSON: each quote stands where a string begins or
    ends, and each bracket is closed by its like."""
    end, closers = 0, []
    for match in chain(_STRING.finditer(element), [None]):
        between = element[end : match.start() if match else None].strip(_WHITE)
        if end and not (between and between[0] in _BEHIND):
            return False
        for octet in between:
            if octet in _OPEN:
                closers.append(octet + 2)  # { and }, [ and ] are two apart
            elif octet in _CLOSE and (not closers or closers.pop() != octet):
                return False
        if match and (len(match[0]) < 2 or not between or between[-1] not in _BEFORE):
            return False
        end = match.end() if match else end
    return True


class Neighbours:
    """Remembers how the first element of an array begins, to find the next one behind what is broken."""

    def __init__(self) -> None:
        self._first = b""

    def note(self, element: bytes) -> None:
        """One that was read. The first one counts."""
        if not self._first and (match := _FIRST.match(element)):
            self._first = match[1]

    def next(self, data: bytes, start: int) -> int:
        """Where a broken element at `start` ends, and the search for the next one goes on: right before its separator.

        `data` holds what separates the broken one from the one before. -1: no next one is seen.
        """
        begin = start + 1
        line = data.rfind(b"\n", 0, start)
        if line >= 0:
            return data.find(data[line:start] + b"{", begin)
        match = re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+\{[ \t\r\n]*+" + re.escape(self._first)).search(data, begin)
        return match.start() if match else -1
