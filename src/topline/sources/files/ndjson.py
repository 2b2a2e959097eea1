"""NDJSON: one JSON object a line. Values keep the text of their token: a number never becomes a float."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

import pyarrow as pa

from topline.sources.files.record import Bad, Parsed, Row, table_of
from topline.sources.files.shape import FileShape


def _no_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON value")


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_constant)
_PLAIN = frozenset({str, type(None)})
_SPACE = " \t\r\n"


class NdjsonParser:
    """Parses the lines of one file. A missing member and null are NULL; a nested value is its own JSON text."""

    def __init__(self, shape: FileShape) -> None:
        self._wanted, self._key = tuple(map(shape.field_of, shape.wanted)), tuple(map(shape.field_of, shape.key))
        self._coding, self._limit = shape.coding, shape.settings.max_line_bytes
        self._schema = pa.schema([(name, pa.string()) for name in shape.wanted])

    def parse(self, data: bytes, line: int, final: bool) -> Parsed:  # noqa: ARG002 - a line is whole
        rows: list[Row] = []
        bad: list[Bad] = []
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for number, raw in enumerate(lines, start=line):
            try:
                if raw.strip():
                    rows.append((number, self._row(raw)))
            except ValueError as error:
                ending = b"" if number == line + len(lines) - 1 and not data.endswith(b"\n") else b"\n"
                bad.append(Bad(number, raw + ending, str(error)))
        table, places = table_of(self._schema, rows)
        return Parsed(table, places, tuple(bad), len(data), len(lines))

    def _row(self, raw: bytes) -> list[str | None]:
        if len(raw) >= self._limit:
            raise ValueError(f"longer than max_line_bytes, {self._limit}")
        text = self._coding.decode(raw)
        values = self._values(text)
        row = [values.get(name) for name in self._wanted]
        if not _PLAIN.issuperset(map(type, row)):
            row = self._exactly(text, row)
        if "\\u" in text:
            _check_text(row)
        if None in row:
            self._check_key(values)
        return row

    def _check_key(self, values: dict[str, Any]) -> None:
        missing = [name for name in self._key if values.get(name) is None]
        if missing:
            raise ValueError(f"no key: {', '.join(missing)} is missing or null")

    def _values(self, text: str) -> dict[str, Any]:
        try:
            values = _DECODER.decode(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
        except RecursionError:
            raise ValueError("not readable JSON: nested too deep") from None
        if not isinstance(values, dict):
            raise ValueError("not a JSON object")
        return values

    def _exactly(self, text: str, row: list[Any]) -> list[str | None]:
        """The row with booleans and nested values as their text in the line."""
        tokens = _tokens(text) if any(isinstance(value, dict | list) for value in row) else {}
        return [_as_text(value, tokens.get(name, "")) for name, value in zip(self._wanted, row, strict=True)]


def _as_text(value: Any, token: str) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return token if isinstance(value, dict | list) else value


def _check_text(row: Sequence[str | None]) -> None:
    """JSON can escape what text cannot hold: NUL, and half a surrogate pair."""
    for value in row:
        if value is None:
            continue
        if "\0" in value:
            raise ValueError("an escaped NUL character; text cannot hold one")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("half of a surrogate pair; text cannot hold one") from None


def _tokens(text: str) -> dict[str, str]:
    """The members of an object (valid JSON) with the exact text of each value."""
    tokens: dict[str, str] = {}
    place = _skip(text, text.index("{") + 1)
    while text[place] != "}":
        name, place = _DECODER.raw_decode(text, place)
        start = _skip(text, _skip(text, place) + 1)
        _, place = _DECODER.raw_decode(text, start)
        tokens[name] = text[start:place]
        place = _skip(text, place)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return tokens


def _skip(text: str, place: int) -> int:
    while text[place] in _SPACE:
        place += 1
    return place
