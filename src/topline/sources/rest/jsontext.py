"""JSON as text: numbers keep their token, and each element of a list its own piece of the body."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, NoReturn


class Number(str):
    """A number as it stood there (`1.10`), which JMESPath compares as a number."""

    __slots__ = ()

    def _than(self, other: object) -> int | None:
        """-1, 0 or 1 against another number; None where it is none."""
        if isinstance(other, bool) or not isinstance(other, int | float | Number):
            return None
        left, right = Decimal(self), Decimal(str(other))
        return (left > right) - (left < right)

    def __eq__(self, other: object) -> bool:
        than = self._than(other)
        return than == 0 if than is not None else str.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __lt__(self, other: object) -> bool:
        return self._than(other) == -1

    def __gt__(self, other: object) -> bool:
        return self._than(other) == 1

    def __le__(self, other: object) -> bool:
        return self._than(other) in (-1, 0)

    def __ge__(self, other: object) -> bool:
        return self._than(other) in (0, 1)


def _no_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON value")


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_no_constant)
_PLAIN = re.compile(r"@|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_MARK = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}"]', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*+")
_BARE = re.compile(r"[^\s,\]}]*+")


def parse(text: str) -> Any:
    """ValueError says what is wrong and where. Of a member that stands twice, the last counts."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("not readable JSON: nested too deep") from None


def dumps(value: object) -> str:
    """JSON of what `parse` gave, or of what JMESPath made of it; numbers by their token."""
    match value:
        case Number():
            return str.__str__(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {dumps(v)}" for name, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(dumps(item) for item in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def number(value: object) -> Decimal | None:
    try:
        found = None if isinstance(value, bool) or value is None else Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def plain_path(expression: str) -> tuple[str, ...] | None:
    """The names in a JMESPath that only leads inward (`data.items`, `@`); None for any other."""
    if not _PLAIN.fullmatch(expression):
        return None
    return () if expression == "@" else tuple(expression.split("."))


class Elements(NamedTuple):
    """Where a list lies in a text, and each of its elements: `text[start:end]`."""

    start: int
    end: int
    spans: list[tuple[int, int]]


def elements(text: str, path: tuple[str, ...]) -> Elements:
    """The list at `path`. It is found by brackets and quotes alone, so that one broken element does not hide the others.
    What follows the list is not looked at.

    ValueError where there is none, or where it does not end: then nothing can be said of its elements.
    """
    place = _skip(text, 0)
    for name in path:
        place = _member(text, place, name)
    if text[place : place + 1] != "[":
        raise ValueError("there is no list")
    spans = list(_spans(text, place + 1))
    end = spans.pop()[1]
    return Elements(place, end, spans)


def _spans(text: str, place: int) -> Iterator[tuple[int, int]]:
    """Each element, then where the list ends."""
    start = place = _skip(text, place)
    end = start
    while place < len(text):
        if text[place] in ",]":
            if end > start or text[place] == ",":
                yield start, end
            if text[place] == "]":
                yield place, place + 1
                return
            start = end = place = _skip(text, place + 1)
        else:
            end = _after(text, place)
            place = _skip(text, end)
    raise ValueError("the list does not end")


def _member(text: str, place: int, wanted: str) -> int:
    """Where the value of the last member `wanted` of the object at `place` begins."""
    if text[place : place + 1] != "{":
        raise ValueError("there is no object")
    found, place = -1, _skip(text, place + 1)
    while text[place : place + 1] == '"':
        end = _after(text, place)
        name = json.loads(text[place:end], strict=False)
        place = _skip(text, end)
        if text[place : place + 1] != ":":
            break
        place = _skip(text, place + 1)
        found = place if name == wanted else found
        place = _skip(text, _after(text, place))
        if text[place : place + 1] != ",":
            break
        place = _skip(text, place + 1)
    if found < 0:
        raise ValueError(f"there is no member {wanted}")
    return found


def _after(text: str, place: int) -> int:
    """Where the value at `place` ends."""
    first = text[place : place + 1]
    if first == '"':
        match = _STRING.match(text, place)
        if match is None:
            raise ValueError("a text does not end")
        return match.end()
    if first in ("{", "["):
        return _matching(text, place)
    match = _BARE.match(text, place)
    return max(place + 1, match.end() if match else place)


def _matching(text: str, place: int) -> int:
    depth = 0
    for match in _MARK.finditer(text, place):
        if match[0] in ("{", "["):
            depth += 1
        elif match[0] in ("}", "]"):
            depth -= 1
            if depth == 0:
                return match.end()
        elif match[0] == '"':
            raise ValueError("a text does not end")
    raise ValueError("a bracket is not closed")


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place
