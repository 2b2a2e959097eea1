"""Bodies of requests: JSON, NDJSON and CSV, split into records that `values` can cast. Numbers keep their exact text."""

import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from topline.sources.files.quoted import Dialect, Splitter

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
ALLOWED = (JSON, NDJSON, CSV)
_ALIASES = {
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "application/x-jsonlines": NDJSON,
    "application/json-lines": NDJSON,
    "application/csv": CSV,
}
_CHARSETS = ("utf-8", "ascii", "utf-16", "iso8859-", "cp125")
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Content:
    """What a body is: its media type (one of ALLOWED) and its charset."""

    type: str
    charset: str = "utf-8"


def content_of(header: str) -> Content:
    """From a Content-Type (RFC 9110, 8.3). ValueError says what is allowed."""
    name, *parameters = (part.strip() for part in header.split(";"))
    kind = _ALIASES.get(name.lower(), name.lower())
    if kind not in ALLOWED:
        raise ValueError(f"Content-Type {header!r} is not taken; allowed: {', '.join(ALLOWED)}")
    pairs = (parameter.partition("=") for parameter in parameters)
    charset = next((value.strip('" ') for name, _, value in pairs if name.strip().lower() == "charset"), "utf-8")
    return Content(kind, _charset(kind, charset))


def _charset(kind: str, charset: str) -> str:
    try:
        name = codecs.lookup(charset).name
    except LookupError:
        name = ""
    if not name.startswith(_CHARSETS if kind == CSV else ("utf-8", "ascii")):
        allowed = "utf-8, utf-16, iso-8859-N, cp125N" if kind == CSV else "utf-8 (RFC 8259)"
        raise ValueError(f"charset {charset!r} is not taken for {kind}; allowed: {allowed}")
    return name


class BrokenBody(ValueError):  # noqa: N818
    """The body as a whole has no records: it is not JSON, has no header, or is in another charset."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a body: its values by field, or the fault that it has none. `start`, `end`: where it stands in it."""

    values: Mapping[str, object]
    start: int
    end: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Records:
    """What a body holds. `raw` gives a record's bytes as they came; of CSV, below the header, so that they can be read alone.

    `fields` are those that a CSV header names.
    """

    records: list[Record]
    raw: Callable[[Record], bytes]
    fields: tuple[str, ...] = ()


def read(body: bytes, content: Content) -> Records:
    """The records of a body. BrokenBody where it has none because it is broken."""
    return _READERS[content.type](body, content.charset)


class Number(str):
    """A JSON number, as its text."""

    __slots__ = ()


class _Ambiguous(dict[str, Any]):
    """An object with a member that stands twice: which one counts, nobody knows."""

    twice = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    ambiguous = _Ambiguous(found)
    ambiguous.twice = next(name for name in names if names.count(name) > 1)
    return ambiguous


def _no_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON value")


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_no_constant, object_pairs_hook=_object)
_SPACE = " \t\r\n"
_SCALARS = frozenset({str, Number, bool, type(None)})


def _read_json(body: bytes, charset: str) -> Records:  # noqa: ARG001 - JSON is UTF-8
    text = _decoded(body.removeprefix(_MARK))
    place = _skip(text, 0)
    records = list(_elements(text, place) if text.startswith("[", place) else [_element(text, place)])
    end = records[-1].end if records else text.index("]", place)
    if (rest := _skip(text, _skip(text, end) + text.startswith("[", place))) < len(text):
        raise BrokenBody(f"not JSON: more text after the end, at character {rest + 1}")
    return Records(records, lambda record: text[record.start : record.end].encode())


def _elements(text: str, place: int) -> Iterator[Record]:
    """The elements of an array that begins at `place`; its end is checked to be there."""
    place = _skip(text, place + 1)
    if text.startswith("]", place):
        return
    while True:
        record = _element(text, place)
        yield record
        place = _skip(text, record.end)
        if not text.startswith(("]", ","), place):
            raise BrokenBody(f"not JSON: `,` or `]` is expected at character {place + 1}")
        if text[place] == "]":
            return
        place = _skip(text, place + 1)


def _element(text: str, place: int) -> Record:
    try:
        value, end = _DECODER.raw_decode(text, place)
    except json.JSONDecodeError as error:
        raise BrokenBody(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise BrokenBody("not readable JSON: nested too deep") from None
    except ValueError as error:
        raise BrokenBody(str(error)) from None
    return _record(value, place, end)


def _record(value: object, start: int, end: int) -> Record:
    if not isinstance(value, dict):
        return Record({}, start, end, "a JSON object is expected, with a member a field")
    if type(value) is dict and _SCALARS.issuperset(map(type, value.values())):
        return Record(value, start, end)
    try:
        _require_clear(value)
        return Record({name: _plain(found) for name, found in value.items()}, start, end)
    except ValueError as error:
        return Record({}, start, end, str(error))
    except RecursionError:
        return Record({}, start, end, "not readable JSON: nested too deep")


def _plain(value: object) -> object:
    """As `values` takes it: nested values as their JSON, numbers in it by their exact text."""
    return _written(value) if isinstance(value, dict | list) else value


def _written(value: object) -> str:
    match value:
        case dict():
            _require_clear(value)
            return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_written(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case Number():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _require_clear(value: Mapping[str, object]) -> None:
    if isinstance(value, _Ambiguous):
        raise ValueError(f"{value.twice}: the member stands twice")


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _read_ndjson(body: bytes, charset: str) -> Records:  # noqa: ARG001 - JSON is UTF-8
    body = body.removeprefix(_MARK)
    return Records(list(_lines(body)), lambda record: body[record.start : record.end])


def _lines(body: bytes) -> Iterator[Record]:
    place = 0
    while place < len(body):
        newline = body.find(b"\n", place)
        end = len(body) if newline < 0 else newline
        line = body[place:end]
        if line.strip():
            yield _line(line, place, end)
        place = end + 1


def _line(line: bytes, start: int, end: int) -> Record:
    try:
        return _record(_DECODER.decode(_decoded(line)), start, end)
    except json.JSONDecodeError as error:
        return Record({}, start, end, f"not JSON: {error.msg} at character {error.pos + 1}")
    except RecursionError:
        return Record({}, start, end, "not readable JSON: nested too deep")
    except ValueError as error:
        return Record({}, start, end, str(error))


def _read_csv(body: bytes, charset: str) -> Records:
    """RFC 4180 with a header: an empty unquoted field is NULL, "" the empty text."""
    try:
        body = (body if charset in ("utf-8", "ascii") else body.decode(charset).encode()).removeprefix(_MARK)
    except UnicodeDecodeError as error:
        raise BrokenBody(f"not valid {charset}: {error.reason} at byte {error.start + 1}") from None
    splitter = Splitter(Dialect(max_bytes=len(body) + 1))
    start = len(body) - len(body.lstrip(b"\r\n"))
    fields, end = _header(splitter, body, start)
    header = body[start:end].rstrip(b"\r\n") + b"\n"
    records = list(_rows(splitter, body, end, fields))
    return Records(records, lambda record: header + body[record.start : record.end], fields)


def _header(splitter: Splitter, body: bytes, start: int) -> tuple[tuple[str, ...], int]:
    found = splitter.split(body, start, final=True)
    if start == len(body) or found is None or found.fault:
        raise BrokenBody(
            "the first line of CSV names the fields; " + (found.fault if found and found.fault else "there is none")
        )
    fields = tuple("" if field is None else _decoded(field) for field in found.fields)
    twice = sorted({field for field in fields if fields.count(field) > 1})
    if twice or "" in fields:
        raise BrokenBody(
            f"the header {', '.join(fields)!r} has a field " + (f"twice: {twice[0]!r}" if twice else "without a name")
        )
    return fields, found.end


def _rows(splitter: Splitter, body: bytes, place: int, fields: tuple[str, ...]) -> Iterator[Record]:
    while place < len(body):
        found = splitter.split(body, place, final=True)
        assert found is not None  # the body is whole
        if found.fault:  # where quotes are wrong, nobody knows what the lines after it mean
            line = body.count(b"\n", 0, place) + 1
            raise BrokenBody(f"line {line}: {found.fault}")
        if body[place : found.end].strip(b"\r\n"):
            yield _row(found.fields, fields, (place, found.end))
        place = found.end


def _row(cells: list[bytes | None], fields: tuple[str, ...], span: tuple[int, int]) -> Record:
    if len(cells) != len(fields):
        return Record({}, *span, f"{len(cells)} fields, but the header names {len(fields)}")
    try:
        texts = [None if cell is None else _decoded(cell) for cell in cells]
    except BrokenBody as error:
        return Record({}, *span, str(error))
    return Record(dict(zip(fields, texts, strict=True)), *span)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BrokenBody(f"not valid UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1}") from None


_READERS: Mapping[str, Callable[[bytes, str], Records]] = {JSON: _read_json, NDJSON: _read_ndjson, CSV: _read_csv}
