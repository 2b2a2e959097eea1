"""JSON objects as rows. Values keep the text of their token: a number never becomes a float."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import Ints
from topline.sources.files.flat import Layout, Piece, Values
from topline.sources.files.lines import Lines, Mask
from topline.sources.files.record import Bad, Parsed, Row, table_of
from topline.sources.files.shape import FileShape


class _Number(str):
    """The text of a number, told from a string."""

    __slots__ = ()


def _no_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON value")


_DECODER = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_no_constant)
_PLAIN = frozenset({str, _Number, type(None)})
_SPACE = " \t\r\n"
_LAYOUTS = 4  # that are tried on one piece of a file
_WORTH = 64  # records that a layout must fit, at least, for the next one to be tried


@dataclass(frozen=True, slots=True)
class _Rows:
    """`places`: where each row stands among the records; `typed`, by row and spelled column: no string in the file."""

    places: Ints
    table: pa.Table
    typed: Mask


def _merged(parts: Sequence[_Rows]) -> _Rows:
    """All parts as one, in the order of the records."""
    parts = [part for part in parts if len(part.places)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    places = np.concatenate([part.places for part in parts])
    order = np.argsort(places, kind="stable")
    table = pa.concat_tables([part.table for part in parts]).take(pa.array(order))
    return _Rows(places[order], table, np.concatenate([part.typed for part in parts])[order])


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class ObjectParser:
    """A missing member and null are NULL; a nested value is its own JSON text."""

    def __init__(self, shape: FileShape) -> None:
        self._wanted, self._key = tuple(map(shape.field_of, shape.wanted)), tuple(map(shape.field_of, shape.key))
        self._coding, self._limit = shape.coding, shape.settings.max_line_bytes
        self._spelled = tuple(shape.wanted.index(name) for name in shape.spellings)
        self._schema = pa.schema([(name, pa.string()) for name in shape.wanted])
        self._fast = shape.fast and self._coding.inner == "utf-8"
        self._layouts: list[Layout] = []

    def parse(self, records: Lines, numbers: Ints, raw: Callable[[int], bytes]) -> Parsed:
        """Rows and bad records. `numbers`: the position of each record; `raw`: what to keep of a bad one, by its place."""
        parts = self._alike(records) if self._fast else []
        left = np.ones(len(records), dtype=bool)
        for part in parts:
            left[part.places] = False
        slow, bad = self._singly(records, np.flatnonzero(left))
        rows = _merged([*parts, slow])
        spelled = {self._schema.names[column]: rows.typed[:, place] for place, column in enumerate(self._spelled)}
        letters = tuple(Bad(int(numbers[place]), raw(place), reason) for place, reason in bad)
        return Parsed(rows.table, numbers[rows.places], letters, 0, 0, spelled)

    def _alike(self, records: Lines) -> list["_Rows"]:
        """The records that are laid out like others; rows without their key are left to the parser, which says so."""
        if len(records) < _WORTH:
            return []
        piece = Piece(records)
        left = np.flatnonzero(piece.unescaped() & (records.lengths < self._limit) & self._decodable(records))
        parts: list[_Rows] = []
        known = list(self._layouts)
        while len(left) >= _WORTH and len(parts) < _LAYOUTS:
            layout = known.pop(0) if known else self._layout(records, left[:_LAYOUTS])
            if layout is None:
                break
            part = self._part(*piece.alike(layout, left))
            if len(part.places) < _WORTH and layout not in self._layouts:
                break
            self._layouts = [layout, *(other for other in self._layouts if other != layout)][:_LAYOUTS]
            left = np.setdiff1d(left, part.places, assume_unique=True)
            parts.append(part)
        return parts

    def _layout(self, records: Lines, places: Ints) -> Layout | None:
        layouts = (Layout.of(records.data[records.starts[place] : records.ends[place]]) for place in places.tolist())
        return next((layout for layout in layouts if layout is not None), None)

    def _part(self, places: Ints, values: dict[bytes, Values]) -> "_Rows":
        none = Values(pa.nulls(len(places), pa.string()), np.ones(len(places), dtype=bool))
        columns = [values.get(name.encode(), none) for name in self._wanted]
        typed = (
            np.array([columns[column].typed for column in self._spelled], dtype=bool).reshape(len(self._spelled), len(places)).T
        )
        whole = np.ones(len(places), dtype=bool)
        for name in self._key:
            whole &= pc.is_valid(values.get(name.encode(), none).texts).to_numpy(zero_copy_only=False)
        table = pa.table([column.texts for column in columns], schema=self._schema)
        return _Rows(places[whole], table if whole.all() else table.filter(pa.array(whole)), typed[whole])

    def _decodable(self, records: Lines) -> Mask:
        mask = np.ones(len(records), dtype=bool)
        if _is_utf8(records.data):
            return mask
        for place in np.flatnonzero(records.holding_above(127)).tolist():
            mask[place] = _is_utf8(records.data[records.starts[place] : records.ends[place]])
        return mask

    def _singly(self, records: Lines, places: Ints) -> tuple["_Rows", list[tuple[int, str]]]:
        rows: list[Row] = []
        typed: list[list[bool]] = []
        bad: list[tuple[int, str]] = []
        for place in places.tolist():
            try:
                values = self._row(records.data[records.starts[place] : records.ends[place]])
            except ValueError as error:
                bad.append((place, str(error)))
                continue
            rows.append((place, values))
            typed.append([type(values[column]) is not str for column in self._spelled])
        table, found = table_of(self._schema, rows)
        return _Rows(found, table, np.array(typed, dtype=bool).reshape(len(rows), len(self._spelled))), bad

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
        return _Number("true" if value else "false")
    return _Number(token) if isinstance(value, dict | list) else value


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
