"""A topic's reading: whatever the records, the rows are those of each key's last one, and each record counts or is kept."""

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.changes import DELETE, DeadLetter, Part, Position, SchemaChange, Sweep, TableChanges
from topline.kafka.events import UNAVAILABLE
from topline.kafka.json.format import JsonFormat
from topline.schema import Column, TableSchema, Type
from topline.sources.kafka.reading import Read, Reading
from topline.sources.kafka.standing import Standing
from topline.sources.kafka.topics import Topic

SCHEMA = TableSchema(
    "shop.orders",
    (Column("id", Type.TEXT), Column("city", Type.TEXT), Column("items", Type.BIGINT), Column("at", Type.TIMESTAMPTZ)),
    ("id",),
)
FORMAT = JsonFormat()


def record(offset: int, key: str, row: dict[str, Any] | None, partition: int = 0, op: str = "u") -> Message:
    """The change event of a row; without one, a deletion."""
    event = {"after": row and {"id": key, **row}, "op": op if row else "d", "source": {"ts_ms": 1_700_000_000_000 + offset}}
    return raw(offset, json.dumps({"id": key}).encode(), json.dumps(event).encode(), partition)


def raw(offset: int, key: bytes | None, value: bytes | None, partition: int = 0) -> Message:
    return Message(topic="orders", partition=partition, offset=offset, key=key, value=value)


def full(**values: Any) -> dict[str, Any]:
    return {"city": "Roma", "items": 1, "at": "2026-11-21T10:00:00Z", **values}


def reading(standing: Standing | None = None, ends: dict[int, int] | None = None) -> Reading:
    made = Reading("orders", SCHEMA, standing or Standing("id", 2, 2, 1), UTC)
    end = ends or {0: 100, 1: 100}
    made.begin(Topic("orders", "id", dict.fromkeys(end, 0), end, 1e9), dict.fromkeys(end, 0))
    return made


def changes(parts: Sequence[Part]) -> list[TableChanges]:
    return [part for part in parts if isinstance(part, TableChanges)]


def rows_of(read: Read) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for part in changes(read.parts):
        for row, op in zip(part.rows.to_pylist(), part.ops.tolist(), strict=True):
            rows.pop(row["id"], None)
            if op != DELETE:
                rows[row["id"]] = row
    return rows


_VALUES = st.none() | st.fixed_dictionaries({"city": st.sampled_from(["Roma", "Bari", None]), "items": st.integers(0, 9)})


@given(st.lists(st.tuples(st.sampled_from("abcd"), _VALUES), max_size=20), st.lists(st.integers(1, 5), min_size=1, max_size=20))
@settings(deadline=None)
def test_rows_are_those_of_each_key_s_last_record_however_records_are_cut(
    history: list[tuple[str, dict[str, Any] | None]], cuts: list[int]
) -> None:
    made, records, letters = reading(), [], 0
    truth: dict[str, dict[str, Any]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for offset, (key, values) in enumerate(history):
        row = None if values is None else full(**values)
        records.append(record(offset, key, row, partition=ord(key) % 2))
        truth.pop(key, None)
        if values is not None:
            truth[key] = values
    place = 0
    for cut in [*cuts, 1000]:
        read = made.take(FORMAT, records[place : place + cut])
        place += cut
        letters += len(read.letters)
        for part in changes(read.parts):
            assert part.lo.tolist() == sorted(part.lo.tolist())
            for row, op in zip(part.rows.to_pylist(), part.ops.tolist(), strict=True):
                rows.pop(row["id"], None)
                if op != DELETE:
                    rows[row["id"]] = {"city": row["city"], "items": row["items"]}
    assert letters == 0
    assert rows == truth


def test_values_are_as_the_table_s_own_source_gives_them() -> None:
    read = reading().take(
        FORMAT, [record(0, "a", full(items="7", at="2026-11-21T10:00:00.5+02:00")), record(1, "b", full(at=None))]
    )
    rows = rows_of(read)
    assert rows["a"]["items"] == 7
    assert rows["a"]["at"].isoformat() == "2026-11-21T08:00:00.500000+00:00"
    assert rows["b"]["at"] is None
    assert read.newest == 1_700_000_000_001


@pytest.mark.parametrize(
    ("message", "reason", "bytes_"),
    [
        (raw(1, b'{"id": "x"}', b"junk"), "not JSON", b"junk"),
        (record(1, "x", full(items="many")), "items: 'many' is no whole number", None),
        (raw(1, b"x", None), "key: no JSON object with id", b"x"),
        (raw(1, None, None), "key: no JSON object with id", b""),
        (record(1, None, full()), "no key: id is missing", None),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_read_is_kept_and_its_neighbours_count(message: Message, reason: str, bytes_: bytes | None) -> None:
    read = reading().take(FORMAT, [record(0, "a", full()), message, record(2, "b", full())])
    [letter] = read.letters
    assert reason in letter.reason
    assert letter.raw == (bytes_ if bytes_ is not None else message.value())
    assert (letter.partition, letter.position) == ("orders/0", Position(1, 2))
    assert sorted(rows_of(read)) == ["a", "b"]
    assert read.positions == {"orders/0": Position(1, 4)}


def test_a_letter_is_read_again() -> None:
    made = reading()
    [letter] = made.take(FORMAT, [raw(4, b"x", b'{"op": "c"}')]).letters
    assert made.reread(FORMAT, (None, letter.raw), letter) == letter
    good = record(4, "a", full()).value()
    again = made.reread(FORMAT, (None, good), letter)
    assert isinstance(again, TableChanges)
    assert (again.rows.to_pylist()[0]["id"], again.lo.tolist()) == ("a", [8])
    gone = made.reread(FORMAT, (b'{"id": "a"}', None), letter)
    assert isinstance(gone, TableChanges)
    assert gone.ops.tolist() == [DELETE]


def test_a_value_that_toast_left_out_is_left_to_the_table() -> None:
    [part] = changes(reading().take(FORMAT, [record(0, "a", full(city=UNAVAILABLE)), record(1, "b", full())]).parts)
    assert part.unchanged is not None
    assert part.unchanged.tolist() == [0b10, 0]
    assert part.rows.to_pylist()[0]["city"] is None


def test_a_column_that_goes_and_comes_back_changes_the_shape_between_the_rows() -> None:
    narrow = {"city": "Roma", "at": None}
    history = [
        record(0, "a", full()),
        record(1, "b", narrow),
        record(2, "a", None),
        record(3, "c", narrow),
        record(4, "d", full()),
    ]
    parts = reading().take(FORMAT, history).parts
    shapes = [part.schema.names for part in parts if isinstance(part, SchemaChange)]
    assert shapes == [("id", "city", "at"), SCHEMA.names]
    assert [len(part) if isinstance(part, TableChanges) else "shape" for part in parts] == [1, "shape", 3, "shape", 1]


def test_the_end_of_a_second_reading_retracts_what_it_did_not_see() -> None:
    made = reading(Standing("id", 2, 3, 2), {0: 2, 1: 0})
    first = made.take(FORMAT, [record(0, "a", full())])
    assert not [part for part in first.parts if isinstance(part, Sweep)]
    second = made.take(FORMAT, [record(1, "b", full())])
    sweeps = [part for part in second.parts if isinstance(part, Sweep)]
    assert [(sweep.partition, sweep.below) for sweep in sweeps] == [("orders/0", 2), ("orders/1", 2), ("orders/2", 2)]
    assert [sweep.at for sweep in sweeps] == [Position(2, 3), Position(2, -1), Position(2, -1)], (
        "after what was read, before what comes"
    )
    assert made.standing.ended
    assert not made.take(FORMAT, []).parts


@pytest.mark.parametrize("history", [[], [raw(0, b'{"id": "x"}', b"junk"), record(1, "b", full())]], ids=["empty", "poison"])
def test_a_second_reading_that_is_empty_or_has_a_letter_retracts_nothing(history: list[Message]) -> None:
    made = reading(Standing("id", 2, 2, 2), {0: len(history), 1: 0})
    read = made.take(FORMAT, history)
    assert made.standing.ended
    assert not [part for part in read.parts if isinstance(part, Sweep)]


def test_where_it_stands_is_written_when_that_changes_and_from_time_to_time() -> None:
    made = reading(Standing("id", 1, 1, 1, seen=100.0), {0: 1})
    assert list(made.remember(200.0, 3600)) == ["orders"]
    assert made.remember(300.0, 3600) == {}
    made.take(FORMAT, [record(0, "a", full())])
    assert list(made.remember(301.0, 3600)) == ["orders"]
    assert made.remember(3000.0, 3600) == {}
    assert list(made.remember(5000.0, 3600)) == ["orders"]
    stored = made.remember(9000.0, 3600)["orders"]
    assert stored is not None
    assert Standing.load({"orders": stored}, "orders").seen == 9000.0


def test_letters_know_their_table() -> None:
    [letter] = reading().take(FORMAT, [raw(7, b"k", b"v", partition=1)]).letters
    assert isinstance(letter, DeadLetter)
    assert (letter.table, letter.partition, letter.position) == ("shop.orders", "orders/1", Position(1, 14))
