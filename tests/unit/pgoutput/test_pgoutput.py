"""The decoder alone: a plain encoder beside it, written from the manual; and bytes that nobody should have sent."""

import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.changes import DELETE, UPSERT, Part, Position, SchemaChange, Sweep, TableChanges
from topline.errors import TransientError
from topline.schema import Column, TableSchema, Type
from topline.sources.postgres.binding import Binding
from topline.sources.postgres.decoder import Decoded, Decoder
from topline.sources.postgres.pgoutput import UnreadableStreamError, parse_relation
from topline.sources.postgres.tables import Target

SCHEMA = TableSchema("shop.t", (Column("id", Type.BIGINT), Column("name", Type.TEXT)), ("id",))
TARGET = Target("t", SCHEMA, "public", "t")
UNCHANGED = object()
Value = Any  # str, None or UNCHANGED


def framed(body: bytes) -> bytes:
    return struct.pack(">cQQq", b"w", 0, 0, 0) + body


def begin(lsn: int) -> bytes:
    return framed(struct.pack(">cQqI", b"B", lsn, 0, 7))


def commit(lsn: int) -> bytes:
    return framed(struct.pack(">cBQQq", b"C", 0, lsn, lsn + 8, 0))


def relation(oid: int = 1, columns: Sequence[tuple[str, int]] = (("id", 20), ("name", 25))) -> bytes:
    described = b"".join(struct.pack(">B", 0) + name.encode() + b"\0" + struct.pack(">Ii", kind, -1) for name, kind in columns)
    return framed(struct.pack(">cI", b"R", oid) + b"public\0t\0d" + struct.pack(">h", len(columns)) + described)


def row(mark: bytes, values: Sequence[Value]) -> bytes:
    encoded = mark + struct.pack(">h", len(values))
    for value in values:
        if value is None or value is UNCHANGED:
            encoded += b"n" if value is None else b"u"
        else:
            encoded += b"t" + struct.pack(">i", len(value.encode())) + value.encode()
    return encoded


def insert(*values: Value) -> bytes:
    return framed(struct.pack(">cI", b"I", 1) + row(b"N", values))


def update(new: Sequence[Value], old: Sequence[Value] = (), mark: bytes = b"K") -> bytes:
    return framed(struct.pack(">cI", b"U", 1) + (row(mark, old) if old else b"") + row(b"N", new))


def delete(*values: Value, mark: bytes = b"K") -> bytes:
    return framed(struct.pack(">cI", b"D", 1) + row(mark, values))


def truncate(*oids: int) -> bytes:
    return framed(struct.pack(">ciB", b"T", len(oids), 0) + b"".join(struct.pack(">I", oid) for oid in oids))


def found(binding: Binding, key: list[str], columns: list[str]) -> list[str | None]:
    return [f"looked up {key[0]}"] * len(columns)


def decoder() -> Decoder:
    return Decoder({"t": TARGET}, {}, ZoneInfo("UTC"), "", found)


def decode(*messages: bytes) -> Decoded:
    return decoder().decode(messages)


def changed(decoded: Decoded) -> list[Part]:
    """The parts but for the first announcement of a table, which says that it is as declared."""
    return [part for part in decoded.parts if part != SchemaChange(TARGET.schema.name, TARGET.schema)]


def rows(decoded: Decoded) -> list[tuple[Any, ...]]:
    """(op, id, name, unchanged, position) of each row."""
    out = []
    for part in changed(decoded):
        assert isinstance(part, TableChanges)
        bits = [0] * len(part) if part.unchanged is None else part.unchanged.tolist()
        positions = zip(part.hi.tolist(), part.lo.tolist(), strict=True)
        columns = [part.rows.column(name).to_pylist() for name in ("id", "name")]
        out += list(zip(part.ops.tolist(), *columns, bits, positions, strict=True))
    return out


def test_rows_carry_their_commit_and_their_number_in_it() -> None:
    decoded = decode(
        begin(100), relation(), insert("1", "a"), insert("2", None), commit(100), begin(200), insert("3", ""), commit(200)
    )
    assert rows(decoded) == [
        (UPSERT, 1, "a", 0, (100, 4)),
        (UPSERT, 2, None, 0, (100, 6)),
        (UPSERT, 3, "", 0, (200, 2)),
    ]
    assert decoded.position == Position(208, 0)


def test_a_transaction_cut_in_two_has_the_same_positions() -> None:
    messages = [begin(100), relation(), insert("1", "a"), insert("2", "b"), delete("1", None), commit(100)]
    for cut in range(1, len(messages)):
        one = decoder()
        first, second = one.decode(messages[:cut]), one.decode(messages[cut:])
        assert rows(first) + rows(second) == rows(decode(*messages))
        assert first.position < second.position == Position(108, 0)


def test_each_form_of_update_and_delete() -> None:
    decoded = decode(
        begin(100),
        relation(),
        update(["1", "a"]),
        update(["2", "b"], ["1", None]),
        update(["2", UNCHANGED]),
        update(["2", UNCHANGED], ["2", "b"], mark=b"O"),
        update(["3", UNCHANGED], ["2", None]),
        update(["3", "c"], ["3", "b"], mark=b"O"),
        delete("3", None),
        delete("4", "whole", mark=b"O"),
        commit(100),
    )
    assert rows(decoded) == [
        (UPSERT, 1, "a", 0, (100, 4)),
        (DELETE, 1, None, 0, (100, 6)),
        (UPSERT, 2, "b", 0, (100, 7)),
        (UPSERT, 2, None, 0b10, (100, 8)),
        (UPSERT, 2, "b", 0, (100, 10)),
        (DELETE, 2, None, 0, (100, 12)),
        (UPSERT, 3, "looked up 3", 0, (100, 13)),
        (UPSERT, 3, "c", 0, (100, 14)),
        (DELETE, 3, None, 0, (100, 16)),
        (DELETE, 4, "whole", 0, (100, 18)),
    ]


def test_truncate_stands_between_the_rows_around_it() -> None:
    decoded = decode(begin(100), relation(), insert("1", "a"), truncate(1), insert("2", "b"), commit(100))
    assert [type(part) for part in changed(decoded)] == [TableChanges, Sweep, TableChanges]
    assert changed(decoded)[1] == Sweep("shop.t", None, None, Position(100, 6))


def test_what_was_committed_before_a_copy_is_skipped() -> None:
    one = decoder()
    one.copied = {"t": 200}
    decoded = one.decode(
        [begin(100), relation(), insert("1", "a"), truncate(1), commit(100), begin(200), insert("2", "b"), commit(200)]
    )
    assert [part[1] for part in rows(decoded)] == [2]
    assert decoded.position == Position(208, 0)


def test_a_new_description_holds_from_its_place_on() -> None:
    wider = relation(columns=(("extra", 25), ("name", 25), ("id", 20)))
    decoded = decode(begin(100), relation(), insert("1", "a"), wider, insert("x", "b", "2"), commit(100))
    assert [(part[1], part[2]) for part in rows(decoded)] == [(1, "a"), (2, "b")]


def test_a_row_without_its_key_is_kept_as_a_dead_letter() -> None:
    decoded = decode(begin(100), relation(), insert("1", "a"), insert(None, "b"), delete(None, "c", mark=b"O"), commit(100))
    assert [part[1] for part in rows(decoded)] == [1]
    assert [letter.position for letter in decoded.letters] == [Position(100, 6), Position(100, 8)]
    assert decoded.letters[0].raw == insert(None, "b")[25:]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from("IUKD"),
        st.integers(0, 5),
        st.integers(0, 5),
        st.none() | st.text(max_size=20).map(lambda t: t.replace("\0", "")),
    ),
    min_size=1,
    max_size=40,
)


@given(OPERATIONS)
@settings(max_examples=150, deadline=None)
def test_any_history_decodes_to_itself(operations: list[tuple[str, int, int, str | None]]) -> None:
    messages = [begin(9), relation()]
    expected: list[tuple[int, int, str | None]] = []
    for kind, old, new, text in operations:
        if kind == "D":
            messages.append(delete(str(old), None))
            expected.append((DELETE, old, None))
        elif kind == "K":
            messages.append(update([str(new), text], [str(old), None]))
            expected += [(DELETE, old, None)] * (old != new) + [(UPSERT, new, text)]
        else:
            messages.append(insert(str(new), text) if kind == "I" else update([str(new), text]))
            expected.append((UPSERT, new, text))
    decoded = decode(*messages, commit(9))
    assert [part[:3] for part in rows(decoded)] == expected
    positions = [part[4] for part in rows(decoded)]
    assert positions == sorted(set(positions))


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_or_are_refused_clearly(bodies: list[bytes], as_data: bool) -> None:
    messages = [framed(body) for body in bodies] if as_data else bodies
    with_start = [begin(9), relation(), *messages, commit(9)]
    for attempt in (messages, with_start):
        with suppress(TransientError):
            decode(*attempt)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_damaged_stream_decodes_or_is_refused_clearly(data: st.DataObject) -> None:
    messages = [
        begin(9),
        relation(),
        insert("1", "a"),
        update(["2", UNCHANGED], ["1", None]),
        delete("2", None),
        truncate(1),
        commit(9),
    ]
    which = data.draw(st.integers(0, len(messages) - 1))
    damaged = bytearray(messages[which])
    place = data.draw(st.integers(0, len(damaged) - 1))
    if data.draw(st.booleans()):
        damaged[place] = data.draw(st.integers(0, 255))
    else:
        del damaged[place:]
    messages[which] = bytes(damaged)
    with suppress(TransientError):
        decode(*messages)


@pytest.mark.parametrize(
    "bad", [b"R", b"R\0\0\0\1public", b"R\0\0\0\1public\0t\0d\0\5", b"R\0\0\0\1\xff\0t\0d\0\0", b"R\0\0\0\1p\0t\0d\0\0+"]
)
def test_a_description_that_does_not_end_where_it_should_is_refused(bad: bytes) -> None:
    with pytest.raises(UnreadableStreamError, match="not a Relation message"):
        parse_relation(bad)


def test_a_transaction_at_no_lsn_is_refused() -> None:
    with pytest.raises(UnreadableStreamError, match="LSN is not below 2\\^63"):
        decode(framed(struct.pack(">cQqI", b"B", 1 << 63, 0, 7)), relation(), insert("1", "a"), commit(9))
