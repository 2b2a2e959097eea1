"""Whatever comes as a body, each record becomes a row or is kept; numbers and texts arrive as they were written."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context
from topline.sources.push import Intake, Settings, create
from topline.sources.push.bodies import ALLOWED, CSV, JSON, NDJSON, Content, content_of

TABLE = TableSchema("web.t", tuple(Column(type_.name.lower(), type_) for type_ in Type), ("text",))
WORDS = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    '"text"',
    "null",
    "1e999999999",
    "-0.10",
    "\n",
    "\r\n",
    "\\u0000",
    "bigint",
    "\ufeff",
    "é",
]
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_NUMBER = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,4})?", fullmatch=True)


def intake(table: TableSchema = TABLE) -> Intake:
    [made] = create(Context("web", {"t": table}, Path("nowhere"), Path("nowhere")), Settings()).intakes
    return made


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(ALLOWED), st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(WORDS)).map("".join).map(str.encode))
)
def test_nothing_breaks_it(kind: str, body: bytes) -> None:
    found = intake().sort_out(body, Content(kind))
    places = sorted([*found.rows.places.tolist(), *(letter.place for letter in found.invalid)])
    assert places == list(range(found.records))
    assert all(letter.reason for letter in found.invalid)


_VALUE = st.one_of(_NUMBER, st.sampled_from(["true", "null", '"x"', "1e999999999", "-1E-999999999", "[1.10]", '{"a":0.10}']))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([column.name for column in TABLE.columns]), _VALUE))
def test_every_value_casts_or_says_why_not(values: dict[str, str]) -> None:
    body = "{" + ",".join(f'"{name}":{value}' for name, value in values.items()) + "}"
    found = intake().sort_out(body.encode(), Content(JSON))
    assert len(found.rows) + len(found.invalid) == 1


@given(_NUMBER)
def test_numbers_keep_their_text(number: str) -> None:
    found = intake().sort_out(b'{"text": %s}' % number.encode(), Content(JSON))
    assert found.rows.table["text"].to_pylist() == [number]
    nested = intake().sort_out(b'{"text": {"n": [%s]}}' % number.encode(), Content(NDJSON))
    assert nested.rows.table["text"].to_pylist() == [f'{{"n":[{number}]}}']


@given(st.lists(_TEXT, min_size=1))
def test_texts_arrive_as_they_were_sent_in_every_kind_of_body(texts: list[str]) -> None:
    rows = [{"text": text} for text in texts]
    plain = io.StringIO()
    writer = csv.writer(plain, quoting=csv.QUOTE_ALL)
    writer.writerows([["text"], *([text] for text in texts)])
    bodies = {
        JSON: json.dumps(rows),
        NDJSON: "\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
        CSV: plain.getvalue(),
    }
    for kind, body in bodies.items():
        found = intake().sort_out(body.encode(), Content(kind))
        assert (found.rows.table["text"].to_pylist(), found.invalid) == (texts, ())


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("application/json", Content(JSON)),
        ("Application/JSON; charset=UTF8", Content(JSON)),
        ('text/csv; header=present; charset="ISO-8859-15"', Content(CSV, "iso8859-15")),
        ("application/jsonl", Content(NDJSON)),
    ],
)
def test_content_types_are_understood(header: str, found: Content) -> None:
    assert content_of(header) == found


@pytest.mark.parametrize(
    "header", ["text/csv; charset=rot13", "text/csv; charset=utf-7", "application/json; charset=utf-16", "*/*"]
)
def test_others_are_not(header: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        content_of(header)


def test_the_settings_that_the_page_shows_are_settings() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sources" / "push.md").read_text(encoding="utf-8")
    shown = re.findall(r"^(    sources:\n      web:\n(?:     .*\n)+)", page, re.MULTILINE)
    found = [Settings.model_validate(yaml.safe_load(text)["sources"]["web"]) for text in shown]
    assert [len(one.tables) for one in found] == [0, 1]
