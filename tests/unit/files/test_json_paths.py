"""JSON objects cut apart many at once, and parsed one by one, give the same rows, letters and types."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from topline.schema import Column, TableSchema, Type
from topline.sources import spill
from topline.sources.files import objects
from topline.sources.files.content import Content
from topline.sources.files.flat import Layout
from topline.sources.files.reading import FileShape, Reading
from topline.sources.files.settings import FileTable

SCHEMA = TableSchema("b.sales", tuple(Column(name, Type.TEXT) for name in ("id", "amount", "note", "_line")), ("id",))


def shape(tmp: Path, **options: Any) -> FileShape:
    table = FileTable.model_validate(
        {"path": "in", "format": "ndjson", "max_line_bytes": 1024, "columns": {"amount": {"decimal": ","}}, **options}
    )
    return FileShape(SCHEMA, table, tmp)


def read(path: Path, how: FileShape) -> tuple[list[Any], list[Any], int]:
    """Rows with their positions, letters (position, original bytes, reason), and the position after the last."""
    content = Content(path)
    reading = Reading(how, content, path.name)
    rows, letters = [], []
    for chunk in reading.chunks():
        assert chunk.lines.tolist() == sorted(set(chunk.lines.tolist()))
        rows += list(zip(chunk.lines.tolist(), chunk.rows.to_pylist(), strict=True))
        letters += [(bad.line, b"".join(spill.original(bad.raw, how.state_dir)), bad.reason) for bad in chunk.bad]
    content.close()
    return rows, letters, reading.end


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_WORTH", 1)


TOKENS = [
    '"a"',
    '"é"',
    '""',
    '"1,5"',
    '"1.5"',
    "1.5",
    "-0",
    "1e400",
    "01",
    "1.",
    "null",
    "true",
    "false",
    "nul",
    "NaN",
    '"x',
    "x",
]
TOKENS += ['"\\n"', '"\\u0000"', '"\\ud800"', "[1.0, 2]", '{"id": 3}', '"\t"', '"\x7f"', " 1 ", "", '"},{"', '"a":1']
tokens = st.sampled_from(TOKENS)
names = st.sampled_from(['"id"', '"amount"', '"note"', '"other"', '"id"', "id", '"no\\u0074e"', '"i"'])
colons = st.sampled_from([": ", ":", " : ", ":\t"])
commas = st.sampled_from([", ", ",", ", ", " ,", ",,"])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Lines of one writer, with what may go wrong."""
    colon, comma = draw(colons), draw(commas)
    usual = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    text = []
    for _ in range(draw(st.integers(0, 12))):
        members = draw(st.sampled_from([usual, usual, usual, [*usual, '"note"'], usual[::-1], usual[:-1]]))
        body = comma.join(f"{name}{colon}{draw(tokens)}" for name in members)
        text.append(draw(st.sampled_from(["{%s}", "{%s}", "{%s}", "{ %s }", "{%s", "%s}", "{%s} x", " {%s}", "{%s}\r"])) % body)
    raw = draw(st.sampled_from([b"\n", b"\n\n", b"\n  \n"])).join(line.encode() for line in text)
    return raw + draw(st.sampled_from([b"", b"\n", b"\xff\n", b'{"id": "\xff"}\n']))


@settings(max_examples=250, deadline=None)
@given(data=lines(), block=st.sampled_from([64, 1 << 20]))
@example(data=b'{"id":"1"}\n{"id":"2}\n{"id":"3"}\n', block=1 << 20)
@example(data=b'{"id":1,"amount":"1,5"}\n{"id":2,"amount":1.5}\n{"id":3,"amount":"1.5"}', block=1 << 20)
def test_fast_and_slow_agree(tmp_path_factory: pytest.TempPathFactory, data: bytes, block: int) -> None:
    tmp = tmp_path_factory.getbasetemp()
    path = tmp / "noise.ndjson"
    path.write_bytes(data)
    fast = replace(shape(tmp), block=block)
    assert read(path, fast) == read(path, replace(fast, fast=False))


values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(values, values), max_size=20), separators=st.sampled_from([(",", ":"), (", ", ": ")]))
def test_what_python_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, Any]], separators: tuple[str, str]
) -> None:
    tmp = tmp_path_factory.getbasetemp()
    path = tmp / "written.ndjson"
    records = [{"id": str(n), "amount": a, "note": b} for n, (a, b) in enumerate(rows)]
    lines = [json.dumps(record, ensure_ascii=False, separators=separators) for record in records]
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass", newline="\n")
    found, letters, _ = read(path, shape(tmp, columns={}))
    good = [record for record in records if not any(isinstance(v, str) and "\0" in v for v in record.values())]
    assert [row for _, row in found] == [
        {name: v if isinstance(v, str) or v is None else json.dumps(v) for name, v in record.items()} | {"_line": str(line)}
        for record, (line, _) in zip(good, found, strict=True)
    ]
    assert len(letters) == len(records) - len(good)


def test_records_written_alike_are_cut_apart() -> None:
    layout = Layout.of(b'{"id": 1, "a": "x"}\r')
    assert layout == Layout((b"id", b"a"), (b'{"id": ', b', "a": ', b"}\r"))
    assert all(
        Layout.of(raw) is None for raw in (b"{}", b'{"a": [1]}', b'{"a": "\\n"}', b'{"a": 1, "a": 2}', b'{"a": 1', b',"a": 1}')
    )
