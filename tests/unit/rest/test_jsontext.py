"""JSON by its text: numbers keep their token, and each element of a list is its own piece of the body."""

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.sources.rest.jsontext import Number, dumps, elements, parse, plain_path

NAMES = st.text('ab[]{}",:\\é ', max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False).map(float) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
LAYOUT = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


@pytest.mark.parametrize("token", ["1.10", "1e5", "-0", "12345678901234567890.000000000001", "1E-400"])
def test_numbers_keep_their_token(token: str) -> None:
    (found,) = parse(f"[{token}]")
    assert found.__class__ is Number
    assert str(found) == token
    assert dumps({"a": [found]}) == f'{{"a": [{token}]}}'


@pytest.mark.parametrize("text", ["[NaN]", "[Infinity]", "[-Infinity]", "[01]", "[1,]", "{'a': 1}", "", "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        parse(text)


def test_of_a_member_that_stands_twice_the_last_counts() -> None:
    assert parse('{"a": 1, "a": 2}') == {"a": Number("2")}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("[?n > `9.5`].n", ["10", "1e1"]),
        ("[?n == `10`].n", ["10", "1e1"]),
        ("[?n != `10`].n", ["9"]),
        ("[?n <= `9`].n", ["9"]),
        ("[?n == m].n", ["10"]),
        ("[?n > `true`].n", []),
        ("[?n == '9'].n", ["9"]),
    ],
)
def test_jmespath_compares_numbers_as_numbers(expression: str, found: list[str]) -> None:
    rows = parse('[{"n": 9}, {"n": 10, "m": 10.0}, {"n": 1e1}]')
    assert [str(value) for value in jmespath.search(expression, rows)] == found


@pytest.mark.parametrize(
    ("expression", "path"),
    [("@", ()), ("items", ("items",)), ("a.b_2", ("a", "b_2")), ("a[0]", None), ("a || b", None), ("*", None), ("a.", None)],
)
def test_plain_paths(expression: str, path: tuple[str, ...] | None) -> None:
    assert plain_path(expression) == path


@given(st.lists(JSON, max_size=5), st.dictionaries(NAMES, JSON, max_size=3), st.booleans(), LAYOUT)
def test_the_pieces_of_a_list_are_its_elements(values: list[Any], others: dict[str, Any], deep: bool, layout: Any) -> None:
    inner = {**others, "items": values}
    text = json.dumps({**others, "data": inner} if deep else inner, **layout)
    found = elements(text, ("data", "items") if deep else ("items",))
    assert [json.loads(text[start:end]) for start, end in found.spans] == values
    assert json.loads(text[found.start : found.end]) == values


@given(st.text('[]{}",:\\ ab1', max_size=40), st.sampled_from([(), ("a",), ("a", "b")]))
def test_any_text_has_pieces_or_none(text: str, path: tuple[str, ...]) -> None:
    try:
        found = elements(text, path)
    except ValueError:
        return
    assert text[found.start] == "["
    assert text[found.end - 1] == "]"
    ends = [found.start, *(place for span in found.spans for place in span), found.end]
    assert ends == sorted(ends)


@given(JSON)
def test_what_was_parsed_is_written_again(value: Any) -> None:
    assert json.loads(dumps(parse(json.dumps(value)))) == value
