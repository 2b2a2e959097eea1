"""Arguments are filled in where they say so, and stay as they are everywhere else."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from topline.sources.soap.placeholders import NAMES, fill, placeholders, strangers

LEAVES = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_characters="{"))
NESTED = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
MARKED = st.sampled_from([f"{{{name}}}" for name in NAMES])


@given(NESTED)
def test_what_is_no_placeholder_stays(arguments: Any) -> None:
    assert fill(arguments, {}, UTC) == arguments
    assert not list(placeholders(arguments))


@given(st.dictionaries(st.text(max_size=5), st.lists(LEAVES | MARKED, max_size=3) | MARKED, max_size=4))
def test_what_has_no_value_is_left_out_and_all_else_filled_in(arguments: dict[str, Any]) -> None:
    values = {"page": 3, "page_size": 100, "cursor": datetime(2026, 11, 21, 10, tzinfo=UTC)}
    filled = fill(arguments, values, UTC)
    assert not list(placeholders(filled))
    text = str(filled)
    for name, written in (("page", "3"), ("page_size", "100"), ("cursor", "2026-11-21T10:00:00Z")):
        assert f"{{{name}}}" not in str(arguments) or f"'{written}'" in text


def test_secrets_and_names_in_braces_are_no_placeholders() -> None:
    """A reference to a secret, a qualified name, an identifier: nothing to fill in, and nothing to complain about."""
    arguments = {"key": "${env:cursor}", "type": "{urn:x}Name", "id": "{3f2504e0-4f89}", "odd": "{curser} {page}"}
    assert [name for name, _ in placeholders(arguments)] == ["page"]
    assert strangers(arguments) == ["curser"]
    assert fill({"a": "${file:page} at {cursor:%Y}"}, {"cursor": datetime(2026, 1, 1, tzinfo=UTC)}, UTC) == {
        "a": "${file:page} at 2026"
    }
