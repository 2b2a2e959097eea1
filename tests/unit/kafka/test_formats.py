"""Change events read alike whether they are written in Avro or in JSON, and what says nothing is named."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.schemas import record
from topline.kafka.avro.format import AvroFormat
from topline.kafka.events import Events, Format, Wanted
from topline.kafka.json.format import JsonFormat

WANTED = Wanted(("id", "city", "amount"), ("id",))
VALUE = {
    "type": "record",
    "name": "Value",
    "fields": [{"name": name, "type": ["null", "string"], "default": None} for name in ("id", "city", "amount", "other")],
}
ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "namespace": "shop.public.sales",
    "fields": [
        {"name": "before", "type": ["null", VALUE], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": [{"name": "ts_ms", "type": "long"}]}},
        {"name": "op", "type": "string"},
    ],
}
KEY = {"type": "record", "name": "Key", "namespace": "shop.public.sales", "fields": [{"name": "id", "type": "string"}]}
NARROW = json.loads(json.dumps(ENVELOPE).replace('"amount"', '"price"'))
SCHEMAS = {1: KEY, 2: ENVELOPE, 3: NARROW}


@dataclass
class Written:
    """One way of writing change events."""

    name: str
    format: Format = field(repr=False)

    def value(self, event: Any, schema: int = 2) -> bytes:
        if self.name == "json":
            return json.dumps(event).encode()
        return record(SCHEMAS, schema, event)

    def key(self, name: str) -> bytes:
        return json.dumps({"id": name}).encode() if self.name == "json" else record(SCHEMAS, 1, {"id": name})


def avro() -> Written:
    return Written("avro", AvroFormat(SCHEMAS.get))


@pytest.fixture(params=["avro", "json"])
def written(request: pytest.FixtureRequest) -> Iterator[Written]:
    if request.param == "avro":
        yield avro()
        return
    format_ = JsonFormat()
    yield Written("json", format_)
    format_.close()


def event(op: str, row: dict[str, Any] | None, time: int = 7) -> dict[str, Any]:
    full = None if row is None else {"id": None, "city": None, "amount": None, "other": None, **row}
    return {"before": None, "after": full, "source": {"ts_ms": time}, "op": op}


def flat(events: Events) -> list[tuple[int, bool, dict[str, Any], int]]:
    """(place, deleted, row, time) of all, by place."""
    found = []
    for rows in events.rows:
        values = {name: column.values.to_pylist() for name, column in rows.columns.items()}
        for number, place in enumerate(rows.places.tolist()):
            row = {name: column[number] for name, column in values.items()}
            found.append((place, bool(rows.deleted[number]), row, int(rows.times[number])))
    return sorted(found, key=lambda one: one[0])


def test_a_row_is_what_its_last_record_says(written: Written) -> None:
    keys = [written.key("1")] * 4
    values = [
        written.value(event("r", {"id": "1", "city": "Roma", "amount": "9.50", "other": "x"})),
        written.value(event("u", {"id": "1", "city": "città"})),
        written.value(event("d", None, time=9)),
        None,
    ]
    events = written.format.read(keys, values, WANTED)
    assert events.faults == {}
    assert flat(events) == [
        (0, False, {"id": "1", "city": "Roma", "amount": "9.50"}, 7),
        (1, False, {"id": "1", "city": "città", "amount": None}, 7),
        (2, True, {"id": "1"}, 9),
        (3, True, {"id": "1"}, 0),
    ]


def test_a_column_that_a_record_lacks_is_told_from_null(written: Written) -> None:
    narrow = event("c", {"id": "2", "city": None})
    narrow["after"]["price"] = narrow["after"].pop("amount")
    values = [written.value(event("c", {"id": "1"})), written.value(narrow, schema=3)]
    events = written.format.read([written.key("1"), written.key("2")], values, WANTED)
    assert flat(events) == [(0, False, {"id": "1", "city": None, "amount": None}, 7), (1, False, {"id": "2", "city": None}, 7)]


POISON: list[tuple[Any, str]] = [
    (b"", ""),
    (b"\xff\xfe", ""),
    (b"[1]", ""),
    (b"{", ""),
    (event("x", None), "op 'x' is none of c, u, r, d"),
    (event("c", None), "op u or c without its row (after)"),
]


@pytest.mark.parametrize(("poison", "reason"), POISON, ids=[str(number) for number in range(len(POISON))])
def test_a_poison_record_is_named_and_its_neighbours_are_read(written: Written, poison: Any, reason: str) -> None:
    raw = poison if isinstance(poison, bytes) else written.value(poison)
    values = [written.value(event("c", {"id": "1"})), raw, written.value(event("c", {"id": "3"}))]
    events = written.format.read([written.key(name) for name in "123"], values, WANTED)
    assert list(events.faults) == [1]
    assert reason in events.faults[1]
    assert [place for place, *_ in flat(events)] == [0, 2]


@pytest.mark.parametrize("key", [None, b"", b"junk", b"{}", b"\0\0\0\0\1"])
def test_a_deletion_whose_key_cannot_be_read_is_named(written: Written, key: bytes | None) -> None:
    events = written.format.read([key, written.key("2")], [None, None], WANTED)
    assert list(events.faults) == [0]
    assert events.faults[0].startswith("key: ")
    assert [(place, deleted) for place, deleted, *_ in flat(events)] == [(1, True)]


def test_an_unknown_schema_id_is_named_and_may_become_known() -> None:
    schemas: dict[int, Any] = {1: KEY}
    format_ = AvroFormat(schemas.get)
    raw = record(SCHEMAS, 2, event("c", {"id": "1"}))
    key = record(SCHEMAS, 1, {"id": "1"})
    assert format_.read([key], [raw], WANTED).faults == {0: "the registry has no schema 2"}
    schemas[2] = ENVELOPE
    assert format_.read([key], [raw], WANTED).faults == {}


def test_a_schema_beside_its_payload_is_passed_over() -> None:
    format_ = JsonFormat()
    whole = json.dumps({"schema": {"type": "struct"}, "payload": event("c", {"id": "1"})}).encode()
    key = json.dumps({"schema": {}, "payload": {"id": "1"}}).encode()
    events = format_.read([key, key], [whole, None], WANTED)
    assert events.faults == {}
    assert [(place, deleted, row["id"]) for place, deleted, row, _ in flat(events)] == [(0, False, "1"), (1, True, "1")]
    format_.close()


_TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_EVENT = st.one_of(
    st.fixed_dictionaries({"id": st.sampled_from("123"), "city": _TEXT, "amount": _TEXT, "other": _TEXT}).map(
        lambda row: event("u", row)
    ),
    st.just(event("d", None)),
    st.none(),
)


@given(st.lists(_EVENT, max_size=12))
@settings(deadline=None)
def test_both_formats_read_the_same(history: Sequence[Any]) -> None:
    format_ = JsonFormat()
    found = []
    for way in (avro(), Written("json", format_)):
        keys = [way.key(one["after"]["id"] if one and one["after"] else "1") for one in history]
        events = way.format.read(keys, [None if one is None else way.value(one) for one in history], WANTED)
        assert events.faults == {}
        found.append(flat(events))
    format_.close()
    assert found[0] == found[1]


@given(st.lists(st.none() | st.binary(max_size=40), max_size=6), st.lists(st.none() | st.binary(max_size=40), max_size=6))
@settings(deadline=None)
def test_whatever_the_bytes_are_each_record_is_read_or_named(keys: list[bytes | None], values: list[bytes | None]) -> None:
    count = min(len(keys), len(values))
    format_ = JsonFormat()
    for way in (avro(), Written("json", format_)):
        events = way.format.read(keys[:count], values[:count], WANTED)
        assert sorted([*events.faults, *(place for place, *_ in flat(events))]) == list(range(count))
    format_.close()
