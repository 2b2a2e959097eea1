"""A body cut into its records, each with its own bytes: one that cannot be read does not touch its neighbours."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import jmespath
from jmespath.exceptions import JMESPathError

from topline.sources.files.quoted import Dialect, Splitter
from topline.sources.rest.jsontext import Elements, dumps, elements, parse, plain_path
from topline.sources.rest.settings import RestTable

_BOM = b"\xef\xbb\xbf"
_ACCEPT = {
    "json": "application/json, */*;q=0.1",
    "ndjson": "application/x-ndjson, application/jsonl, */*;q=0.1",
    "csv": "text/csv, */*;q=0.1",
}


class Unreadable(Exception):  # noqa: N818 - caught within this package, which knows what was asked for
    """The body is not what it should be: nothing can be said of its records."""


class Element(NamedTuple):
    """A record: an object of JSON, or the fields of a CSV record; or `fault`, why it is none."""

    value: Any
    raw: Callable[[], bytes]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """`document`: all of a JSON body, where the next page and the like are looked up; None of other bodies."""

    elements: Sequence[Element]
    document: Any = None


class Reader(Protocol):
    """Reads the bodies of one table."""

    accept: str

    def read(self, body: bytes, charset: str) -> Body:
        """`charset`: what the answer says, '' for nothing. Unreadable where it is not in this format at all."""

    def reread(self, raw: bytes) -> Element:
        """A record from the bytes that were kept of it."""


def reader(table: RestTable) -> Reader:
    kinds: dict[str, Callable[[RestTable], Reader]] = {"json": JsonReader, "ndjson": LinesReader, "csv": CsvReader}
    return kinds[table.format](table)


class JsonReader:
    """One JSON value, and in it, at a JMESPath, the list of records."""

    accept = _ACCEPT["json"]

    def __init__(self, table: RestTable) -> None:
        self._rows, self._encoding = table.rows, table.encoding
        self._expression, self._path = jmespath.compile(table.rows), plain_path(table.rows)

    def read(self, body: bytes, charset: str) -> Body:
        text = _Text(body, self._encoding or charset)
        try:
            document = parse(text.text)
        except ValueError as error:
            return self._mended(text, str(error))
        found = self._search(document)
        pieces = _Pieces(text, self._path)
        return Body([self._element(value, pieces, place) for place, value in enumerate(found)], document)

    def reread(self, raw: bytes) -> Element:
        return _of_line(raw, self._encoding or "utf-8")

    def _search(self, document: Any) -> list[Any]:
        try:
            found = self._expression.search(document)
        except (JMESPathError, TypeError, ValueError, RecursionError) as error:
            raise Unreadable(f"rows: {self._rows!r} cannot be looked up: {_first_line(error)}") from None
        if isinstance(found, list):
            return found
        what = "nothing" if found is None else "an object" if isinstance(found, dict) else "a single value"
        remedy = f"; where it is left out for an empty list, write {self._rows} || `[]`" if found is None else ""
        raise Unreadable(f"rows: {self._rows!r} finds {what}, no list{remedy}")

    def _element(self, value: Any, pieces: "_Pieces", place: int) -> Element:
        def raw() -> bytes:
            return pieces.raw(place, value)

        if pieces.text.fault:
            try:
                raw().decode(pieces.text.encoding)
            except UnicodeDecodeError as error:
                return Element(None, raw, _not_valid(error))
        return _object(value, raw)

    def _mended(self, text: "_Text", fault: str) -> Body:
        """The body is broken JSON. Where its list can be told by brackets, and all around it is sound, only its broken elements
        are lost as rows."""
        try:
            found = elements(text.text, self._path) if self._path is not None else None
            document = None if found is None else parse(f"{text.text[: found.start]}[]{text.text[found.end :]}")
        except ValueError:
            found = None
        if found is None:
            raise Unreadable(fault)
        pieces = _Pieces(text, self._path)
        return Body([self._reparsed(text.text[start:end], pieces, n) for n, (start, end) in enumerate(found.spans)], document)

    def _reparsed(self, text: str, pieces: "_Pieces", place: int) -> Element:
        try:
            return self._element(parse(text), pieces, place)
        except ValueError as error:
            return Element(None, lambda: pieces.raw(place, None), str(error))


class _Text:
    """A JSON body as text. Bytes that are not valid in its character set stay apart, so that the rest can be read."""

    def __init__(self, body: bytes, charset: str) -> None:
        self.encoding = charset or json.detect_encoding(body)
        self.fault = ""
        try:
            self.text = body.decode(self.encoding)
        except LookupError:
            raise Unreadable(f"its character set {self.encoding!r} is not known; see encoding") from None
        except UnicodeDecodeError as error:
            if not self.ascii_based:
                raise Unreadable(_not_valid(error)) from None
            self.fault = _not_valid(error)
            self.text = body.decode(self.encoding, "surrogateescape")
        self.text = self.text.removeprefix("\ufeff")

    @property
    def ascii_based(self) -> bool:
        return not self.encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32"))

    def encode(self, text: str) -> bytes:
        """The bytes that this piece of the text was read from; of UTF-16 and UTF-32, as UTF-8."""
        return text.encode(self.encoding, "surrogateescape") if self.ascii_based else text.encode("utf-8", "surrogatepass")


class _Pieces:
    """The bytes of each element of the list, looked for when they are wanted first."""

    def __init__(self, text: _Text, path: tuple[str, ...] | None) -> None:
        self.text, self._path = text, path

    def raw(self, place: int, value: Any) -> bytes:
        """Exact where `rows` is a plain path; else the element is written anew, its numbers by their token."""
        found = self._found
        if found is None or place >= len(found.spans):
            return dumps(value).encode("utf-8", "backslashreplace")
        start, end = found.spans[place]
        return self.text.encode(self.text.text[start:end])

    @cached_property
    def _found(self) -> Elements | None:
        return None if self._path is None else elements(self.text.text, self._path)


class LinesReader:
    """NDJSON: an object a line."""

    accept = _ACCEPT["ndjson"]

    def __init__(self, table: RestTable) -> None:
        self._encoding = table.encoding

    def read(self, body: bytes, charset: str) -> Body:
        encoding = _line_encoding(self._encoding or charset)
        lines = [line for line in body.removeprefix(_BOM).splitlines(keepends=True) if line.strip()]
        return Body([_of_line(line, encoding) for line in _joined(lines)])

    def reread(self, raw: bytes) -> Element:
        return _of_line(raw, self._encoding or "utf-8")


def _joined(pieces: list[bytes]) -> Iterator[bytes]:
    """Lines end in LF alone: a bare CR is within one."""
    line = b""
    for piece in pieces:
        line += piece
        if piece.endswith(b"\n"):
            yield line
            line = b""
    if line:
        yield line


def _of_line(raw: bytes, encoding: str) -> Element:
    try:
        return _object(parse(raw.decode(encoding)), lambda: raw)
    except UnicodeDecodeError as error:
        return Element(None, lambda: raw, _not_valid(error))
    except ValueError as error:
        return Element(None, lambda: raw, str(error))


class CsvReader:
    """CSV, by the rules of `topline.sources.files`: each page has its header, unless the settings name the fields."""

    accept = _ACCEPT["csv"]

    def __init__(self, table: RestTable) -> None:
        header = table.csv.header
        self._encoding, self._named = table.encoding, not isinstance(header, bool)
        self._names: tuple[str, ...] = () if isinstance(header, bool) else header
        self._splitter = Splitter(Dialect(table.csv.delimiter.encode(), table.csv.quote.encode(), max_bytes=1 << 28))

    def read(self, body: bytes, charset: str) -> Body:
        encoding = _line_encoding(self._encoding or charset)
        records = self._records(body.removeprefix(_BOM))
        if not self._named:
            self._names = self._header(next(records, None), encoding)
        return Body([_of_fields(fields, raw, fault, self._names, encoding) for fields, raw, fault in records])

    def reread(self, raw: bytes) -> Element:
        fields, _, fault = next(self._records(raw), ([], b"", "it holds no record"))
        return _of_fields(fields, raw, fault, self._names, self._encoding or "utf-8")

    @property
    def knows_header(self) -> bool:
        return bool(self._names)

    def _header(self, found: tuple[list[bytes | None], bytes, str] | None, encoding: str) -> tuple[str, ...]:
        if found is None:
            raise Unreadable("it is empty, without a header; csv.header can name the fields")
        fields, _, fault = found
        try:
            names = tuple((field or b"").decode(encoding).strip() for field in fields)
        except UnicodeDecodeError as error:
            fault = _not_valid(error)
        if fault or len(set(names)) < len(names):
            raise Unreadable(f"its header cannot be read: {fault or 'a name stands twice'}")
        return names

    def _records(self, data: bytes) -> Iterator[tuple[list[bytes | None], bytes, str]]:
        place = 0
        while place < len(data):
            record = self._splitter.split(data, place, final=True)
            assert record is not None, "a final record is never open"
            raw = data[place : record.end]
            place = record.end
            if raw.strip(b"\r\n"):
                yield record.fields, raw, record.fault


def _of_fields(fields: list[bytes | None], raw: bytes, fault: str, names: Sequence[str], encoding: str) -> Element:
    if not fault and len(fields) != len(names):
        fault = f"{len(fields)} fields, where the header names {len(names)}"
    if fault:
        return Element(None, lambda: raw, fault)
    try:
        values = [None if field is None else field.decode(encoding) for field in fields]
    except UnicodeDecodeError as error:
        return Element(None, lambda: raw, _not_valid(error))
    return Element(dict(zip(names, values, strict=True)), lambda: raw)


def _line_encoding(name: str) -> str:
    """UTF-16 and the like cannot be cut into lines by bytes."""
    try:
        if "\n,".encode(name or "utf-8") == b"\n,":
            return name or "utf-8"
    except LookupError:
        raise Unreadable(f"its character set {name!r} is not known; see encoding") from None
    raise Unreadable(f"its character set {name!r} cannot be cut into lines by bytes; ask the origin for utf-8")


def _object(value: Any, raw: Callable[[], bytes]) -> Element:
    return Element(value, raw) if isinstance(value, dict) else Element(None, raw, "not a JSON object")


def _not_valid(error: UnicodeDecodeError) -> str:
    return f"not valid {error.encoding}: byte 0x{error.object[error.start]:02x} at byte {error.start + 1}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
