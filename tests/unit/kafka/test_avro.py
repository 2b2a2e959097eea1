"""Records in Avro by columns: what another library wrote is read as it was, and damaged bytes are named, never believed."""

import io
from collections.abc import Iterator
from itertools import count
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.errors import FormatError
from topline.kafka.avro.columns import decoded
from topline.kafka.avro.program import Kind, compiled

_SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    "bytes": st.binary(max_size=8),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "double": st.floats(allow_nan=False),
    "float": st.floats(width=32, allow_nan=False),
}


def written(schema: Any, value: Any) -> bytes:
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fastavro.parse_schema(schema), value)
    return target.getvalue()


def record(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": field, "type": type_} for field, type_ in fields.items()]}


@st.composite
def types(draw: st.DrawFn, depth: int = 3) -> tuple[Any, st.SearchStrategy[Any]]:
    """A schema, and values of it."""
    kind = draw(st.sampled_from([*_SIMPLE, "nullable", "array", "map", "record"] if depth else list(_SIMPLE)))
    if kind in _SIMPLE:
        return kind, _SIMPLE[kind]
    if kind == "record":
        members = draw(st.lists(types(depth - 1), min_size=1, max_size=3))
        schema = record("inner", **{f"f{number}": schema for number, (schema, _) in enumerate(members)})
        return schema, st.fixed_dictionaries({f"f{number}": values for number, (_, values) in enumerate(members)})
    inner, values = draw(types(depth - 1))
    match kind:
        case "array":
            return {"type": "array", "items": inner}, st.lists(values, max_size=4)
        case "map":
            return {"type": "map", "values": inner}, st.dictionaries(st.text(max_size=3), values, max_size=3)
    return (["null", inner], st.none() | values) if not isinstance(inner, list) else (inner, values)


def named_apart(schema: Any, numbers: Iterator[int]) -> Any:
    if isinstance(schema, list):
        return [named_apart(one, numbers) for one in schema]
    if not isinstance(schema, dict):
        return schema
    named = {key: named_apart(value, numbers) if key in {"type", "items", "values"} else value for key, value in schema.items()}
    if "fields" in schema:
        fields = [{**field, "type": named_apart(field["type"], numbers)} for field in schema["fields"]]
        named |= {"name": f"record{next(numbers)}", "fields": fields}
    return named


@st.composite
def tables(draw: st.DrawFn) -> tuple[Any, list[dict[str, Any]]]:
    members = draw(st.lists(types(), min_size=1, max_size=5))
    schema = named_apart(record("row", **{f"c{number}": schema for number, (schema, _) in enumerate(members)}), count(1))
    one = st.fixed_dictionaries({f"c{number}": values for number, (_, values) in enumerate(members)})
    return schema, draw(st.lists(one, min_size=1, max_size=6))


@given(tables())
@settings(deadline=None)
def test_what_another_library_wrote_is_read_as_it_was(table: tuple[Any, list[dict[str, Any]]]) -> None:
    schema, rows = table
    names = [field["name"] for field in schema["fields"]]
    program = compiled(schema, [(name,) for name in names])
    found = decoded(program, [b"header" + written(schema, row) for row in rows], header=6)
    assert found.faults == {}
    for (name,), values in found.columns.items():
        slot = program.slots[name,]
        expected = [row[name] for row in rows]
        if slot.kind is Kind.PRESENT:
            expected = [value is not None for value in expected]
        assert values.to_pylist() == expected


@given(tables(), st.data())
@settings(deadline=None)
def test_damaged_records_harm_no_neighbour(table: tuple[Any, list[dict[str, Any]]], data: st.DataObject) -> None:
    schema, rows = table
    names = [field["name"] for field in schema["fields"]]
    program = compiled(schema, [(name,) for name in names])
    whole = [written(schema, row) for row in rows]
    place = data.draw(st.integers(0, len(rows) - 1))
    damaged = data.draw(st.binary(max_size=len(whole[place]) + 2))
    found = decoded(program, [*whole[:place], damaged, *whole[place + 1 :]])
    clean = decoded(program, whole)
    assert set(found.faults) <= {place}
    others = np.array([other for other in range(len(rows)) if other != place], np.int64)
    for path, values in found.columns.items():
        assert values.take(others).equals(clean.columns[path].take(others))


@given(tables(), st.data())
@settings(deadline=None)
def test_a_record_that_is_cut_short_or_goes_on_is_a_fault(table: tuple[Any, list[dict[str, Any]]], data: st.DataObject) -> None:
    schema, rows = table
    raw = written(schema, rows[0])
    program = compiled(schema, [])
    cut = data.draw(st.integers(0, max(len(raw) - 1, 0)))
    if raw:
        assert 0 in decoded(program, [raw[:cut]]).faults
    assert 0 in decoded(program, [raw + b"\0"]).faults
    assert 0 in decoded(program, [b"\0\0"], header=5).faults or not raw


def test_a_text_that_is_no_utf8_is_its_record_s_fault() -> None:
    program = compiled(record("row", name="string"), [("name",)])
    found = decoded(program, [b"\x04Jo", b"\x02\xff", b"\x04\xc3\xa9"])
    assert found.faults == {1: "name is no UTF-8"}
    assert found.columns["name",].to_pylist() == ["Jo", None, "é"]


def test_a_symbol_that_an_enum_lacks_is_its_record_s_fault() -> None:
    schema = record("row", op={"type": "enum", "name": "op", "symbols": ["c", "u"]})
    found = decoded(compiled(schema, [("op",)]), [b"\x02", b"\x04", b"\x01"])
    assert sorted(found.faults) == [1, 2]
    assert found.columns["op",].to_pylist()[0] == "u"


def test_a_named_type_serves_where_it_is_named_again() -> None:
    value = {
        **record("Value", id="string", price=["null", {"type": "string", "connect.name": "money"}]),
        "namespace": "shop.orders",
    }
    schema = {**record("Envelope", before=["null", value], after=["null", "shop.orders.Value"]), "namespace": "shop.orders"}
    program = compiled(schema, [("after",), ("after", "id"), ("after", "price"), ("before", "id")])
    rows: list[dict[str, Any]] = [
        {"before": None, "after": {"id": "1", "price": "9.50"}},
        {"before": {"id": "1", "price": None}, "after": None},
    ]
    found = decoded(program, [written(schema, row) for row in rows])
    assert program.slots["after", "price"].meaning == "money"
    assert found.columns["after",].to_pylist() == [True, False]
    assert found.columns["after", "price"].to_pylist() == ["9.50", None]
    assert found.columns["before", "id"].to_pylist() == [None, "1"]


def test_one_of_several_types_is_passed_over_and_listed() -> None:
    schema = record("row", mixed=["null", "string", "long"], left="long")
    program = compiled(schema, [("mixed",), ("left",)])
    assert set(program.slots) == {("left",)}
    assert program.fields == {("mixed",), ("left",)}
    found = decoded(program, [written(schema, {"mixed": value, "left": 7}) for value in (None, "x", 5)])
    assert found.columns["left",].to_pylist() == [7, 7, 7]


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (record("row", child="row"), "nests more than 32 records: child.child"),
        (record("row", child="other"), "names 'other' and does not say what it is"),
        (record("row", items={"type": "array", "items": "null"}), "takes no byte: items"),
        ({"type": "record", "name": "row"}, "not an Avro schema: KeyError('fields')"),
        (7, "not an Avro schema"),
    ],
)
def test_a_schema_that_is_none_says_so(schema: Any, problem: str) -> None:
    with pytest.raises(FormatError) as failure:
        compiled(schema, [])
    assert problem in str(failure.value)
