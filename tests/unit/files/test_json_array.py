"""Given JSON arrays, whole and broken, cut anywhere, when they are read, then every object counts that can be told apart."""

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.files.test_json_paths import read, shape, tokens
from topline.sources.files.elements import scan, sound
from topline.sources.files.reading import FileShape, Reading


def written(records: list[Any], style: str) -> str:
    match style:
        case "compact":
            return json.dumps(records, separators=(",", ":"))
        case "plain":
            return json.dumps(records)
        case "lines":
            return "[\n" + ",\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\n]\n"
        case "pretty":
            return json.dumps(records, indent=2, ensure_ascii=False)
        case _:
            return "\n".join(json.dumps(record, indent=1) for record in records)


STYLES = st.sampled_from(["compact", "plain", "lines", "pretty", "one after another"])
BLOCKS = st.sampled_from([1, 7, 64, 1 << 20])
scalars = st.none() | st.integers() | st.text(st.sampled_from('a"\\{}[],:\n é'), max_size=6)
members = st.fixed_dictionaries({"amount": scalars | st.lists(st.fixed_dictionaries({"id": st.integers()}), max_size=3)})


def found(tmp: Path, text: str | bytes, block: int = 1 << 20, **options: Any) -> tuple[list[Any], list[Any], int]:
    path = tmp / "written.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path, replace(shape(tmp, format="json", columns={}, **options), block=block))


@settings(max_examples=120, deadline=None)
@given(records=st.lists(members, max_size=8), style=STYLES, block=BLOCKS, encoding=st.sampled_from(["utf-8", "utf-16-le"]))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any], style: str, block: int, encoding: str
) -> None:
    records = [{"id": f"s{n}", **record} for n, record in enumerate(records)]
    data = written(records, style).encode(encoding)
    rows, letters, end = found(tmp_path_factory.getbasetemp(), data, block, encoding=encoding)
    assert (letters, end) == ([], len(records) + 1)
    assert [(line, row["id"]) for line, row in rows] == [(n + 1, f"s{n}") for n in range(len(records))]
    for record, (_, row) in zip(records, rows, strict=True):
        value = record["amount"]
        assert row["amount"] == value or json.loads(row["amount"]) == value


BROKEN = [
    '{"id": "1, "v": 2}',
    '{"id": 1, "v": "x" 2}',
    '{"id": 1, "v": NaN}',
    '{"id: 1}',
    '{"id": 1, "v": [1}',
    '{"id": 1, "v": "a\nb"}',
]
BROKEN += ['{"v": 1}', "17", '"text"', "[1]", '{"id": 1', '{"id": 1, "v": {"w": "x}}']


@settings(max_examples=120, deadline=None)
@given(
    broken=st.lists(st.sampled_from(BROKEN), min_size=1, max_size=3),
    between=st.integers(1, 3),
    style=st.sampled_from(["compact", "lines", "pretty"]),
    block=BLOCKS,
)
def test_what_is_broken_is_kept_and_its_neighbours_count(
    tmp_path_factory: pytest.TempPathFactory, broken: list[str], between: int, style: str, block: int
) -> None:
    """A record in the midst of others is broken: the others are read, and nothing of it is lost."""
    good = {"id": "s", "amount": [{"id": "1"}, {"id": "2"}]} if style == "pretty" else {"id": "s", "amount": "x"}
    texts = [json.dumps(good)] * between
    for raw in broken:
        texts += [raw, *[json.dumps(good)] * between]
    if style == "pretty":
        texts = [json.dumps(good, indent=2).replace("\n", "\n  ") if text not in broken else text for text in texts]
    comma = {"compact": ",", "lines": ",\n", "pretty": ",\n  "}[style]
    text = "[" + comma.lstrip(",") + comma.join(texts) + comma.replace(",", "").rstrip(" ") + "]"
    rows, letters, _ = found(tmp_path_factory.getbasetemp(), text, block)
    assert [row["id"] for _, row in rows] == ["s"] * between * (len(broken) + 1)
    assert [raw.decode() for _, raw, _ in letters] == broken
    positions = sorted([line for line, _ in rows] + [line for line, _, _ in letters])
    assert positions == list(range(1, len(positions) + 1))


noise = st.lists(
    tokens | st.sampled_from(["{", "}", "[", "]", ",", ":", '"id"', '{"id": 1}', "\n", " ", '"' + "x" * 600 + '"']), max_size=30
).map("".join)


@settings(max_examples=150, deadline=None)
@given(text=noise, block=BLOCKS)
@example(text='[{"id": 1},{"id": 1 "x"},' + '{"other": "yyyyyyyy"},' * 60 + '{"id": 2}]', block=7)
def test_of_noise_nothing_is_lost(tmp_path_factory: pytest.TempPathFactory, text: str, block: int) -> None:
    """Every character but separators and the array's brackets is a row's or a letter's, however the file is cut."""
    tmp = tmp_path_factory.getbasetemp()
    rows, letters, end = found(tmp, text)
    positions = sorted([line for line, _ in rows] + [line for line, _, _ in letters])
    assert positions == list(range(1, end))
    kept = sum(len(raw.translate(None, b" \t\r\n,[]")) for _, raw, _ in letters)
    if not rows:
        assert kept == len(text.encode().translate(None, b" \t\r\n,[]"))
    assert found(tmp, text, block) == (rows, letters, end)


@pytest.mark.parametrize(
    ("text", "path", "ids"),
    [
        (
            '{"meta": {"a": [1, "}"]}, "data": {"x": "\\"", "sales": [{"id": 1}, {"id": 2}], "y": 1}, "z": [',
            "data.sales",
            ["1", "2"],
        ),
        ('{"sales": []}', "sales", []),
        ('{"a": 1.5, "b": null, "s\\u0061les": [{"id": 1}]}', "sales", ["1"]),
    ],
)
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_an_array_within_an_object(tmp_path: Path, text: str, path: str, ids: list[str], block: int) -> None:
    rows, letters, _ = found(tmp_path, text, block, records=path)
    assert ([row["id"] for _, row in rows], letters) == (ids, [])


@pytest.mark.parametrize("text", ['{"sale": []}', '{"sales": {}}', "[]", "", '{"a": "x', "nonsense"])
def test_where_there_is_no_such_array_the_file_is_one_letter(tmp_path: Path, text: str) -> None:
    rows, letters, _ = found(tmp_path, text, records="sales")
    assert (rows, [raw.decode() for _, raw, _ in letters]) == ([], [text])


def test_a_file_that_ends_within_its_array_says_so(tmp_path: Path) -> None:
    rows, letters, _ = found(tmp_path, '[{"id": 1}, {"id": 2}')
    assert [row["id"] for _, row in rows] == ["1", "2"]
    assert [reason for _, _, reason in letters] == ["the file ends within its array"]
    assert found(tmp_path, '[{"id": 1}, {"id": 2')[1][0][:2] == (2, b'{"id": 2')


def test_a_long_element_goes_to_a_file(tmp_path: Path) -> None:
    long = '{"id": 2, "note": "' + "x" * 100_000 + '"}'
    rows, letters, _ = found(tmp_path, f'[{{"id": 1}},{long},{{"id": 3}}]', 4096)
    assert [row["id"] for _, row in rows] == ["1", "3"]
    assert [raw.decode() for _, raw, _ in letters] == [long]


class Endless:
    """An array of a million objects, made as it is read."""

    packed = False

    def __init__(self, count: int) -> None:
        self._pieces = self._made(count)

    def _made(self, count: int) -> Iterator[bytes]:
        yield b"["
        for start in range(0, count, 10_000):
            yield b",\n".join(b'{"id": "s%d", "amount": 1.50, "note": "abc"}' % n for n in range(start, start + 10_000))
            yield b",\n" if start + 10_000 < count else b"]"

    def read(self, size: int) -> bytes:
        return next(self._pieces, b"")

    def raw(self) -> Iterator[bytes]:
        raise NotImplementedError

    def seekable(self, folder: Path, most: int) -> Any:
        raise NotImplementedError


def test_memory_is_bounded(tmp_path: Path) -> None:
    how: FileShape = shape(tmp_path, format="json")
    tracemalloc.start()
    reading = Reading(how, Endless(300_000), "endless.json")
    assert sum(len(chunk) for chunk in reading.chunks()) == 300_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_elements_are_found_by_quotes_and_brackets() -> None:
    found = scan(b' {"a": "}\\""}, [1] ] {')
    assert (found.starts.tolist(), found.ends.tolist(), found.closed) == ([1, 15], [13, 18], 19)
    assert sound(b'{"a": "x", "b": ["y"]}')
    assert not any(map(sound, (b'{"a": "x" 1}', b'{"a": 1 "x"}', b'{"a": "x"y"}', b'{"a""b"}', b'{"a\n": 1}')))
