"""The readers of bytes, each with an account of its own: what came in is rows or letters, counted by other means than ours.

A target takes any bytes. It raises AssertionError where something was lost in silence; whatever else it raises is a crash.
"""

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context
from topline.sources.files.content import Content
from topline.sources.files.reading import FileShape, Reading
from topline.sources.files.settings import FileTable
from topline.sources.push import Settings as PushSettings
from topline.sources.push import bodies
from topline.sources.push import create as create_push
from topline.sources.push.intake import Sorted
from topline.sources.spill import original

TABLE = TableSchema("origin.things", (Column("id", Type.TEXT), Column("value", Type.TEXT)), ("id",))
_PUSHED = TableSchema("origin.things", (*TABLE.columns, Column("units", Type.BIGINT), Column("at", Type.TIMESTAMPTZ)), ("id",))
_KEPT = tempfile.TemporaryDirectory(prefix="topline-fuzz-")  # goes with the process
_FOLDER = Path(_KEPT.name)
_LIMIT = 1024
_BLANK = re.compile(rb"[ \t\r\n\x0b\x0c]*")
HEADER = b"id,value\n"


@dataclass(frozen=True, slots=True)
class Target:
    check: Callable[[bytes], None]
    seeds: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows (line, id, value) and letters (line, bytes), each in order."""

    rows: list[tuple[int, str, str | None]]
    letters: list[tuple[int, bytes]]

    @property
    def places(self) -> list[int]:
        return sorted([*(line for line, *_ in self.rows), *(line for line, _ in self.letters)])


def read(data: bytes, kind: str, block: int = 64) -> Found:
    """As a file of this format, in small blocks."""
    path = _FOLDER / "file"
    path.write_bytes(data)
    settings = FileTable.model_validate({"path": "file", "format": kind, "max_line_bytes": _LIMIT})
    content = Content(path)
    rows: list[tuple[int, str, str | None]] = []
    letters: list[tuple[int, bytes]] = []
    for chunk in Reading(FileShape(TABLE, settings, _FOLDER, block=block), content, "file").chunks():
        ids, values = (chunk.rows[name].to_pylist() for name in ("id", "value"))
        rows += zip(chunk.lines.tolist(), ids, values, strict=True)
        letters += [(bad.line, b"".join(original(bad.raw, _FOLDER))) for bad in chunk.bad]
    content.close()
    return Found(rows, letters)


def csv_file(body: bytes) -> None:
    """Every line that is not blank is in one row or one letter, and only in one; a row is what Python's own reader sees."""
    lines = (HEADER + body).split(b"\n")
    lines = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    found = read(HEADER + body, "csv")
    places = found.places
    assert len(set(places)) == len(places), f"two records on a line: {places}"
    letters = dict(found.letters)
    rows = {line: values for line, *values in found.rows}
    between = lines[1 : (places[0] - 1 if places else len(lines))]
    for place, following in pairwise([*places, len(lines) + 1]):
        span = lines[place - 1 : following - 1]
        if place in letters:
            between += span[_lines_of(letters[place], span) :]
        else:
            between += span[_lines_of_row(rows[place], span) :]
    lost = [line for line in between if line.rstrip(b"\r\n") not in (b"", HEADER.strip())]
    assert not lost, f"neither row nor letter: {lost}"


def _lines_of(raw: bytes, span: list[bytes]) -> int:
    joined = b"".join(span)
    assert joined.startswith(raw), f"a letter is not what stood there: {raw!r}, {joined!r}"
    return raw.count(b"\n") + (0 if raw.endswith(b"\n") else 1)


def _lines_of_row(values: list[str | None], span: list[bytes]) -> int:
    """How many lines the row takes: as many as make the same fields for Python's reader, which knows no CR within a line."""
    wanted = [value or "" for value in values]
    for count in range(1, len(span) + 1):
        raw = b"".join(span[:count])
        text = re.sub(rb"\r?\n?\Z", b"", raw, count=1).decode()
        if "\r" in text or list(csv.reader(io.StringIO(text, newline=""))) == [wanted]:
            return count if "\r" not in text else len(span)
    raise AssertionError(f"a row that does not stand there: {values}, {span}")


def ndjson_file(data: bytes) -> None:
    """Each line that is not blank is a row or a letter; a letter is that line."""
    data = data if b"\n" in data or b"\r" not in data else data.replace(b"\r", b"\n")
    data = _unmarked(data)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return  # another encoding
    found = read(data, "ndjson")
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    wanted = [number for number, line in enumerate(lines, 1) if line.strip(b" \t\r\n\x0b\x0c")]
    assert found.places == wanted, (found.places, wanted)
    for place, raw in found.letters:
        assert raw == lines[place - 1], (raw, lines[place - 1])
    for place, key, _ in found.rows:
        document = _document(lines[place - 1])
        if isinstance(document, dict) and isinstance(document.get("id"), str):
            assert document["id"] == key, (document, key)


def _unmarked(data: bytes) -> bytes:
    """Without byte-order marks at its beginning, of which the reader takes one away: what it is given must not have any."""
    while data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    return data


def _document(line: bytes) -> Any:
    try:
        return json.loads(line.decode())  # bytes it would take for UTF-16 where there is a NUL
    except (ValueError, RecursionError):
        return None


def json_file(data: bytes) -> None:
    """Records are numbered without a gap; of a document that Python reads, each element is one."""
    data = _unmarked(data)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return
    found = read(data, "json")
    assert found.places == list(range(1, len(found.places) + 1)), found.places
    document = _document(data)
    if isinstance(document, list) and all(isinstance(one, dict) for one in document):
        assert len(found.places) == len(document), (len(found.places), document)
    elif document is None and data.strip(b" \t\r\n,[]"):
        assert found.places, "something that is no JSON came to nothing"


def _sorted_out(body: bytes, kind: str) -> Sorted:
    context = Context("origin", {"things": _PUSHED}, _FOLDER, _FOLDER)
    source = create_push(context, PushSettings.model_validate({"tables": {"things": {"on_invalid": "keep"}}}))
    return source.intakes[0].sort_out(body, bodies.Content(kind))


def push_ndjson(body: bytes) -> None:
    found = _sorted_out(body, bodies.NDJSON)
    body = body.removeprefix(b"\xef\xbb\xbf")
    lines = [line for line in body.split(b"\n") if line.strip()]
    assert found.records == len(lines), (found.records, lines)
    assert all(letter.raw in lines for letter in found.invalid)


def push_json(body: bytes) -> None:
    found = _sorted_out(body, bodies.JSON)
    plain = body.removeprefix(b"\xef\xbb\xbf")
    if found.records == 1 and len(found.invalid) == 1 and found.invalid[0].raw in (body, plain.strip(b" \t\r\n")):
        return  # kept whole
    document = _document(plain)
    assert document is not None, "what is no JSON was taken"
    assert found.records == (len(document) if isinstance(document, list) else 1), (found.records, document)


def push_csv(body: bytes) -> None:
    """What is not kept whole has as many records as lines, where no quote makes a line go on."""
    found = _sorted_out(body, bodies.CSV)
    if found.records == 1 and len(found.invalid) == 1 and found.invalid[0].raw == body:
        return
    lines = [line for line in body.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").split(b"\n")[1:] if line.strip(b"\r\n")]
    if b'"' not in body:
        assert found.records == len(lines), (found.records, lines)


_ROWS = (b"a,1\n", b'"b","x, y"\r\n', b'c,"two\nlines"\n', b"d,\n", b'e,"doubled "" quote"\n', "ü,ß\n".encode())
_OBJECTS = (
    b'{"id": "a", "value": "1"}',
    b'{"id": "b", "value": [1, {"c": "}"}]}',
    b'{"id":"c","value":null}',
    b'{"value": 1.10, "id": 5}',
)
_SEEDS_NDJSON = (b"\n".join(_OBJECTS) + b"\n", b"\r\n".join(_OBJECTS), _OBJECTS[0], b"")
_SEEDS_JSON = (b"[" + b",\n".join(_OBJECTS) + b"]", b"[\n  " + b",\n  ".join(_OBJECTS) + b"\n]\n", b"\n".join(_OBJECTS), b"[]")
_PUSHED_ROWS = (b'{"id": "a", "units": 3, "at": "2026-03-29T02:30:00"}', b'{"id": "b", "_deleted": true}', *_OBJECTS)

READERS: dict[str, Target] = {
    "csv": Target(csv_file, (b"".join(_ROWS), b"".join(_ROWS[:2]), _ROWS[2], b"")),
    "ndjson": Target(ndjson_file, _SEEDS_NDJSON),
    "json": Target(json_file, _SEEDS_JSON),
    "push ndjson": Target(push_ndjson, (b"\n".join(_PUSHED_ROWS), *_SEEDS_NDJSON)),
    "push json": Target(push_json, (b"[" + b",".join(_PUSHED_ROWS) + b"]", _PUSHED_ROWS[0], *_SEEDS_JSON)),
    "push csv": Target(push_csv, (b"id,value,units,at\na,1,2,2026-01-01T00:00:00Z\nb,,,\n", HEADER + b"".join(_ROWS))),
}
