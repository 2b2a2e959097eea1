"""The fast and the slow way of reading CSV give the same rows, lines and letters, wherever the file is cut into pieces."""

import csv as stdlib_csv
import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from topline.schema import Column, TableSchema, Type
from topline.sources import spill
from topline.sources.files.content import Content
from topline.sources.files.reading import FileShape, Reading
from topline.sources.files.settings import FileTable

SCHEMA = TableSchema("b.sales", tuple(Column(name, Type.TEXT) for name in ("id", "amount", "_line")), ("id",))
LIMIT = 1024

# Pieces that make a random file look like CSV just enough to reach every branch.
PIECES = [b"a", b"1", b",", b",", b'"', b'""', b"\n", b"\n", b"\r\n", b"\r", b"\0", b"\xe9", "é".encode(), b"\\", b";", b" "]
PIECES += [b"|", b"||", "§".encode(), b"#", b"\x1f"]
PIECES += [b"x,y\n", b"x||y\n", b'"p||q"||r\n', b"#x,y\n", b'"p,q",r\n', b'"m\nn",o\r\n', b"\xef\xbb\xbf", b"z" * 600]
noise = st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)
dialects = st.sampled_from(
    [
        {},
        {"quote": ""},
        {"escape": "\\"},
        {"delimiter": ";"},
        {"encoding": "cp1252"},
        {"quote": "", "escape": "\\"},
        {"delimiter": "||"},
        {"delimiter": "||", "escape": "\\"},
        {"delimiter": "|"},
        {"delimiter": "§", "encoding": "cp1252"},
        {"delimiter": "§"},
        {"comment": "#"},
        {"short": "fill"},
        {"short": "fill", "delimiter": "||", "escape": "\\"},
    ]
)
wide = st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le"])


def shape(tmp: Path, **options: Any) -> FileShape:
    table = FileTable.model_validate({"path": "in", "max_line_bytes": LIMIT, **options})
    return FileShape(SCHEMA, table, tmp)


def read(path: Path, how: FileShape) -> tuple[list[Any], list[Any], int]:
    """Rows with their lines, letters (line, original bytes, reason), and the line after the last."""
    content = Content(path)
    reading = Reading(how, content, path.name)
    rows, letters = [], []
    for chunk in reading.chunks():
        assert chunk.lines.tolist() == sorted(set(chunk.lines.tolist()))
        rows += list(zip(chunk.lines.tolist(), chunk.rows.to_pylist(), strict=True))
        letters += [(bad.line, b"".join(spill.original(bad.raw, how.state_dir)), bad.reason) for bad in chunk.bad]
    content.close()
    assert (reading.rows, reading.letters) == (len(rows), len(letters))
    return rows, letters, reading.end


@settings(max_examples=250, deadline=None)
@given(data=noise, options=dialects, block=st.sampled_from([5, 64, 1500]))
@example(data=b'"a\nb', options={}, block=64)
@example(data=b'"' + b"x" * 600 + b"\n" + b"y" * 600 + b'",1\n', options={}, block=64)
@example(data=b"1,2\r", options={}, block=64)
@example(data=b'x,y\n"m\nnn",o\n', options={}, block=5)
def test_fast_and_slow_agree(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, options: dict[str, Any], block: int
) -> None:
    tmp = tmp_path_factory.getbasetemp()
    path = tmp / "noise.csv"
    path.write_bytes(data)
    fast = shape(tmp, header=False, **options)
    slow = replace(fast, fast=False)
    expected = read(path, slow)
    assert read(path, fast) == expected
    assert read(path, replace(fast, block=block)) == expected
    assert read(path, replace(slow, block=block)) == expected


@settings(max_examples=100, deadline=None)
@given(data=noise, encoding=wide, mark=st.booleans(), cut=st.integers(0, 3), block=st.sampled_from([5, 64]))
@example(data=b"\rx,y\n", encoding="utf-16-le", mark=False, cut=0, block=5)
def test_wide_encodings_give_the_same_and_keep_their_own_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, encoding: str, mark: bool, cut: int, block: int
) -> None:
    """The same text as UTF-8 gives the same rows; of the letters, the file's own bytes are kept."""
    tmp = tmp_path_factory.getbasetemp()
    text = data.decode("utf-8", "replace").lstrip("\ufeff\0").replace("\x1f", "\U0001f600")
    narrow, path = tmp / "narrow.csv", tmp / "wide.csv"
    narrow.write_bytes(text.encode())
    raw = text.encode(encoding)
    path.write_bytes(("\ufeff".encode(encoding) if mark else b"") + raw)
    expected_rows, expected_letters, end = read(narrow, shape(tmp, header=False, delimiter="||"))
    how = replace(shape(tmp, header=False, delimiter="||", encoding="utf-8" if mark else encoding), block=block)
    rows, letters, found_end = read(path, how)
    assert (rows, found_end) == (expected_rows, end)
    assert [(line, kept.decode(encoding)) for line, kept, _ in letters] == [
        (n, kept.decode()) for n, kept, _ in expected_letters
    ]
    path.write_bytes(raw[: len(raw) - cut])
    too_many = ["id", "amount", *(f"c{n}" for n in range(200))]  # so that every record is a letter
    kept = b"".join(kept for _, kept, _ in read(path, shape(tmp, header=too_many, encoding=encoding))[1])
    assert [octet for octet in kept if octet not in b"\r\n\0"] == [
        octet for octet in raw[: len(raw) - cut] if octet not in b"\r\n\0"
    ]


@settings(max_examples=200, deadline=None)
@given(data=noise, block=st.sampled_from([5, 1 << 20]))
def test_nothing_is_lost(tmp_path_factory: pytest.TempPathFactory, data: bytes, block: int) -> None:
    """Every line of the file that is not blank is a row's, a letter's, or between the two ends of a row of several lines."""
    tmp = tmp_path_factory.getbasetemp()
    path = tmp / "noise.csv"
    path.write_bytes(data)
    rows, letters, end = read(path, replace(shape(tmp, header=False), block=block))
    starts = sorted([line for line, _ in rows] + [line for line, _, _ in letters])
    text = data.removeprefix(b"\xef\xbb\xbf")
    end_of_line = b"\r" if b"\n" not in text else b"\n"
    lines = text.split(end_of_line)
    for line, raw, _ in letters:
        assert end_of_line.join(lines[line - 1 :]).startswith(raw.rstrip(b"\r\n"))
        assert raw
    covered = {n for start, following in pairwise([*starts, end]) for n in range(start, following)}
    assert all(not lines[n - 1].strip(b"\r") for n in range(1, end) if n not in covered and n <= len(lines))
    assert end == len(lines) + (0 if not lines[-1] else 1)


cells = st.lists(st.tuples(*[st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)] * 2), max_size=20)


@settings(max_examples=100, deadline=None)
@given(
    rows=cells,
    quoting=st.sampled_from([stdlib_csv.QUOTE_ALL, stdlib_csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_others_write_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], quoting: Any, end: str
) -> None:
    tmp = tmp_path_factory.getbasetemp()
    text = io.StringIO(newline="")
    stdlib_csv.writer(text, quoting=quoting, lineterminator=end).writerows([("id", "amount"), *rows])
    path = tmp / "written.csv"
    path.write_bytes(text.getvalue().encode())
    found, letters, _ = read(path, shape(tmp, max_line_bytes=1 << 20))
    assert [(row["id"], row["amount"]) for _, row in found] == rows
    assert letters == []


def test_a_piece_that_holds_every_sign_is_read_one_by_one(tmp_path: Path) -> None:
    """No control character is left to stand for the delimiter."""
    signs = bytes([*range(1, 9), 11, 12, *range(14, 32), 127])
    path = tmp_path / "signs.csv"
    path.write_bytes(b"1||" + signs + b'\n2||"a||b"\n')
    rows, letters, _ = read(path, shape(tmp_path, header=False, delimiter="||"))
    assert [(row["id"], row["amount"]) for _, row in rows] == [("1", signs.decode()), ("2", "a||b")]
    assert letters == []


def test_delimiters_at_the_end_of_records_only_are_too_many_fields(tmp_path: Path) -> None:
    """Which column a field too much belongs to cannot be known: the record is kept as it is."""
    path = tmp_path / "trailing.csv"
    path.write_bytes(b"id,amount\n1,2,\n3,4\n")
    rows, letters, _ = read(path, shape(tmp_path))
    assert [row["id"] for _, row in rows] == ["3"]
    assert letters == [(2, b"1,2,\n", "3 fields, where the header names 2")]
