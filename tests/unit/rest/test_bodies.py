"""A body becomes records: nothing of it is lost, nothing made up, and one broken record leaves the others alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.schema import Column, TableSchema, Type
from topline.sources.polled import Record
from topline.sources.rest.bodies import Body, Unreadable, reader
from topline.sources.rest.rows import Fields
from topline.sources.rest.settings import RestTable

SCHEMA = TableSchema("origin.things", (Column("id", Type.TEXT), Column("value", Type.TEXT)), ("id",))
GOOD = b'{"id": "a"}'


def read(body: bytes, table: dict[str, Any], charset: str = "") -> Body:
    return reader(RestTable.model_validate(table)).read(body, charset)


def split(body: bytes, charset: str = "", **table: Any) -> list[Any]:
    """Each record's values, or the bytes of one that is none."""
    return [element.raw() if element.fault else element.value for element in read(body, table, charset).elements]


def records(body: bytes, **table: Any) -> list[Record]:
    settings = RestTable.model_validate(table)
    return [Fields(settings, SCHEMA).record(element, "") for element in reader(settings).read(body, "").elements]


def values(body: bytes, **table: Any) -> list[Any]:
    return [record.fault or record.values["value"] for record in records(body, **table)]


@pytest.mark.parametrize(
    "bad",
    [
        b"7",
        b'"text"',
        b"null",
        b"[1, 2]",
        b'{"id": NaN}',
        b'{"id": "a" "b"}',
        b"{'id': 1}",
        b'{"id": "\xff"}',
        b'{"id": "a\nb"}',
        b'{"id": 01}',
        b'{"id": undefined}',
        b'{"id": 1} {"id": 2}',
        b'{"id": "\\x"}',
        b"",
    ],
)
@pytest.mark.parametrize(
    ("rows", "before", "after"),
    [("@", b"[", b"]"), ("data.items", b'{"n": [{"items": []}], "data" : {"items":\n[', b'], "m": "]"}, "o": {}}')],
)
def test_a_broken_record_is_kept_by_its_bytes_between_its_neighbours(
    rows: str, before: bytes, after: bytes, bad: bytes
) -> None:
    body = before + GOOD + b" , " + bad + b"," + GOOD + after
    assert split(body, rows=rows) == [{"id": "a"}, bad, {"id": "a"}]


def test_around_a_broken_record_the_rest_of_the_body_counts() -> None:
    body = read(b'{"next": "t", "items": [{"id": NaN}], "total": 7}', {"rows": "items"})
    assert body.document == {"next": "t", "items": [], "total": "7"}


@pytest.mark.parametrize(
    "body",
    [b'[{"id": 1}', b'[{"id": 1}, {"id": ', b'[{"id": 1}]]', b'[{"id": "1}]', b"[{]}", b"[NaN", b'{"a": 1}', b"", b"\x00"],
)
def test_a_body_that_was_cut_off_is_no_list(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read(body, {})


@given(st.lists(st.sampled_from([GOOD, b"{broken}", b'{"id": "\xfe"}', b"NaN", b"[]"]), max_size=5), st.data())
def test_no_body_that_was_cut_off_is_a_list(pieces: list[bytes], data: st.DataObject) -> None:
    body = b'{"data": {"items": [' + b", ".join(pieces) + b"]}}"
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Unreadable):
        read(body[:cut], {"rows": "data.items"})


def test_a_filter_may_choose_the_records() -> None:
    body = b'{"items": [{"id": 1, "n": 2.50}, {"id": 2, "n": 10}]}'
    (element,) = read(body, {"rows": "items[?n > `9`]"}).elements
    assert element.value["id"] == "2"
    assert element.raw() == b'{"id": 2, "n": 10}'


def test_a_filter_that_compares_texts_with_numbers_is_refused() -> None:
    with pytest.raises(Unreadable, match="cannot be looked up"):
        read(b'{"items": [{"n": "x"}]}', {"rows": "items[?n > `9`]"})


def test_a_broken_record_under_a_filter_spoils_the_body() -> None:
    with pytest.raises(Unreadable):
        read(b'{"items": [{"id": NaN}]}', {"rows": "items[?id]"})


@pytest.mark.parametrize(
    ("body", "charset", "table"),
    [
        ('[{"id": "é"}]'.encode("latin-1"), "iso-8859-1", {}),
        ('[{"id": "é"}]'.encode("latin-1"), "", {"encoding": "latin-1"}),
        ('[{"id": "é"}]'.encode("utf-8-sig"), "", {}),
        ('[{"id": "é"}]'.encode("utf-16"), "", {}),
        ('[{"id": "é"}]'.encode("utf-16-le"), "utf-16-le", {}),
        ('{"id": "é"}\n'.encode("utf-8-sig"), "", {"format": "ndjson"}),
        ('{"id": "é"}\n'.encode("cp1252"), "windows-1252", {"format": "ndjson"}),
        ('id,value\n"é",1\n'.encode("utf-8-sig"), "", {"format": "csv", "fields": {}}),
    ],
)
def test_character_sets(body: bytes, charset: str, table: dict[str, Any]) -> None:
    (found,) = split(body, charset, **table)
    assert found["id"] == "é"


@pytest.mark.parametrize("kind", ["json", "ndjson", "csv"])
def test_an_unknown_character_set_is_refused(kind: str) -> None:
    with pytest.raises(Unreadable, match="character set"):
        read(b"[]", {"format": kind}, "klingon")


def test_lines() -> None:
    body = b'{"id": 1}\r\n\n  \n{"id": "a\\u2028\xe2\x80\xa8b"}\n{broken\r\n7\n{"id": 2}'
    assert split(body, format="ndjson") == [{"id": "1"}, {"id": "a\u2028\u2028b"}, b"{broken\r\n", b"7\n", {"id": "2"}]


def test_csv() -> None:
    body = b'id,value\r\n1,\r\n\r\n"2","a ""b""\nc"\r\n3\r\n4,\xff\r\n5,"open\r\n6,""'
    assert split(body, format="csv") == [
        {"id": "1", "value": None},
        {"id": "2", "value": 'a "b"\nc'},
        b"3\r\n",
        b"4,\xff\r\n",
        b'5,"open\r\n',
        {"id": "6", "value": ""},
    ]


def test_csv_without_a_header() -> None:
    table: dict[str, Any] = {"format": "csv", "csv": {"header": ["id", "value"], "delimiter": ";", "quote": ""}}
    assert split(b'1;"a\n', **table) == [{"id": "1", "value": '"a'}]
    with pytest.raises(Unreadable, match="without a header"):
        read(b"", {"format": "csv"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1.10", "1.10"),
        ("true", True),
        ("null", None),
        ('"x"', "x"),
        ('{"b": [1.0, "é", null, true]}', '{"b": [1.0, "é", null, true]}'),
        ("[]", "[]"),
    ],
)
def test_values_keep_their_text(text: str, found: object) -> None:
    assert values(f'[{{"id": 1, "value": {text}}}]'.encode()) == [found]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b[0].c", "1.50"),
        ("a.b[*].c", "[1.50, 2]"),
        ("a.x", None),
        ("join('-', a.t)", "x-y"),
        ("length(a.t)", 2),
        ("sum(a.b[*].c)", "sum"),
        ("to_number(a.b[0].c)", "computed as a float"),
        ("{n: a.b[0].c}", '{"n": 1.50}'),
    ],
)
def test_fields_by_jmespath(path: str, found: object) -> None:
    body = b'[{"id": 1, "a": {"b": [{"c": 1.50}, {"c": 2}], "t": ["x", "y"]}}]'
    (value,) = values(body, fields={"value": path})
    assert value == found or (isinstance(found, str) and found in str(value) and records(body, fields={"value": path})[0].fault)


def test_members_with_odd_names_are_columns_of_their_own_name() -> None:
    schema = TableSchema("origin.things", (Column("id", Type.TEXT), Column("unit-price", Type.TEXT)), ("id",))
    settings = RestTable()
    element = reader(settings).read(b'[{"id": 1, "unit-price": 2}]', "").elements[0]
    assert Fields(settings, schema).record(element, "").values == {"id": "1", "unit-price": "2"}


@pytest.mark.parametrize("table", [{}, {"rows": "items"}, {"format": "ndjson"}, {"format": "csv"}])
@given(body=st.binary(max_size=60) | st.text('{}[]",:\n\\ idvaluestmNa1é\x00', max_size=60).map(str.encode))
def test_any_body_is_read_or_refused(table: dict[str, Any], body: bytes) -> None:
    try:
        found = read(body, table)
    except Unreadable:
        return
    for element in found.elements:
        assert element.fault or isinstance(element.value, dict)
        assert isinstance(element.raw(), bytes)
    if table.get("format"):
        assert sum(len(element.raw().strip()) for element in found.elements) <= len(body)


@given(
    st.lists(st.sampled_from([b'{"id": 1}', b"{broken}", b'{"id": "\xfe"}', b"[[]", b'"', b"NaN", b'{"id": "]"}']), max_size=6)
)
def test_no_record_of_a_list_is_lost_silently(pieces: list[bytes]) -> None:
    """However broken, each record is a row or kept by its bytes, or the whole body is refused."""
    body = b"[" + b",".join(pieces) + b"]"
    try:
        found = [element.raw() for element in read(body, {}).elements]
    except Unreadable:
        return
    assert b",".join(found) == b",".join(pieces)


@given(st.lists(st.fixed_dictionaries({"id": st.text(max_size=5), "value": st.none() | st.text(max_size=5)}), max_size=5))
def test_json_and_lines_give_the_same(rows: list[dict[str, Any]]) -> None:
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    assert split(json.dumps(rows).encode()) == split(lines, format="ndjson") == rows


@pytest.mark.parametrize(
    ("table", "raw", "found"),
    [
        ({}, b'{"id": 1}', "1"),
        ({}, b"{broken", "not JSON"),
        ({}, b"7", "not a JSON object"),
        ({}, b"\xff", "utf-8"),
        ({"format": "ndjson"}, b'{"id": 1}\r\n', "1"),
        ({"format": "csv", "csv": {"header": ["id", "value"]}}, b"1,2\r\n", "1"),
        ({"format": "csv", "csv": {"header": ["id", "value"]}}, b"1\r\n", "1 fields, where the header names 2"),
        ({"format": "csv", "csv": {"header": ["id", "value"]}}, b"", "holds no record"),
    ],
)
def test_a_letter_is_read_again(table: dict[str, Any], raw: bytes, found: str) -> None:
    element = reader(RestTable.model_validate(table)).reread(raw)
    assert found in element.fault if element.fault else element.value["id"] == found
