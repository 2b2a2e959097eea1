"""The replication stream, as a real server wrote it, with messages changed, cut, lost, doubled and swapped.

The decoder gives rows or one of our errors; and it gives as many rows as a plain walk over the bytes counts.
"""

import struct
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Postgres
from tests.fuzz.mutations import mutated
from topline.changes import TableChanges
from topline.errors import SourceHalted, TransientError
from topline.schema import Column, TableSchema, Type
from topline.sources.postgres.binding import Binding
from topline.sources.postgres.decoder import Decoder
from topline.sources.postgres.tables import Target

COLUMNS = {
    "id": Type.BIGINT,
    "name": Type.TEXT,
    "big": Type.TEXT,
    "at": Type.TIMESTAMPTZ,
    "day": Type.DATE,
    "yes": Type.BOOLEAN,
}
SCHEMA = TableSchema("shop.t", tuple(Column(name, kind) for name, kind in COLUMNS.items()), ("id",))
WIDE = TableSchema("shop.w", SCHEMA.columns, ("id", "name"))
TARGETS = {"t": Target("t", SCHEMA, "public", "t"), "w": Target("w", WIDE, "public", "w")}
MADE = "(id bigint, name text, big text, at timestamptz, day date, yes boolean, more numeric"
STATEMENTS = [
    [f"INSERT INTO {table} SELECT n, 'n' || n, repeat(md5(n::text), 200), now(), '2026-03-29', n % 2 = 0, n / 3.0 FROM {some}"]
    for table in ("t", "w")
    for some in ("generate_series(1, 6) n", "generate_series(7, 9) n")
] + [
    ["UPDATE t SET name = NULL WHERE id < 4", "DELETE FROM t WHERE id = 5", "UPDATE t SET id = 50 WHERE id = 4"],
    ["UPDATE w SET yes = NULL", "UPDATE w SET name = 'other', id = -1 WHERE id = 2", "DELETE FROM w WHERE id = 3"],
    ["UPDATE t SET at = 'infinity', day = '-infinity' WHERE id = 1", "INSERT INTO t (id, day) VALUES (0, '0044-03-15 BC')"],
    ["ALTER TABLE t ADD COLUMN late text DEFAULT 'x'", "UPDATE t SET late = 'y'", "INSERT INTO elsewhere VALUES (1)"],
    ["TRUNCATE t, elsewhere", "INSERT INTO t (id) VALUES (-9223372036854775807)"],
]


@pytest.fixture(scope="module")
def recorded(postgres: Postgres) -> list[bytes]:
    """Each message as XLogData carries it."""
    with psycopg.connect(postgres.dsn("recorded"), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE t {MADE}, PRIMARY KEY (id))".encode())
        connection.execute(f"CREATE TABLE w {MADE}, PRIMARY KEY (id, name))".encode())
        connection.execute("ALTER TABLE w REPLICA IDENTITY FULL")
        connection.execute("CREATE TABLE elsewhere (id int PRIMARY KEY)")
        connection.execute("CREATE PUBLICATION p FOR ALL TABLES")
        connection.execute("SELECT pg_create_logical_replication_slot('fuzz', 'pgoutput')")
        for statements in STATEMENTS:
            with connection.transaction():
                for statement in statements:
                    connection.execute(statement.encode())
        read = (
            "SELECT data FROM pg_logical_slot_get_binary_changes("
            "'fuzz', NULL, NULL, 'proto_version', '1', 'publication_names', 'p')"
        )
        found = [b"w" + bytes(24) + bytes(row[0]) for row in connection.execute(read.encode())]
        connection.execute("SELECT pg_drop_replication_slot('fuzz')")
    assert {message[25:26] for message in found} == {*(bytes([kind]) for kind in b"BCRTIUD")}
    return found


def look_up(_binding: Binding, _key: list[str], columns: list[str]) -> list[str | None]:
    return ["looked up"] * len(columns)


def decoded(batches: Sequence[Sequence[bytes]]) -> int:
    """Rows and letters that came out."""
    decoder, count = Decoder(TARGETS, {}, ZoneInfo("Europe/Rome"), "", look_up), 0
    for batch in batches:
        found = decoder.decode(batch)
        count += sum(len(part) for part in found.parts if isinstance(part, TableChanges)) + len(found.letters)
    return count


class Walk:
    """A count of its own: one message after the other, by the manual. ValueError where the bytes are not as it says."""

    def __init__(self) -> None:
        self.keys: dict[int, list[int]] = {}  # relation -> where what it has of the key stands among its columns
        self.count = 0

    def message(self, data: bytes) -> None:
        kind, body = data[25:26], data[26:]
        if kind == b"R":
            self._relation(body)
        elif kind in (b"I", b"U", b"D"):
            (oid,) = struct.unpack_from(">I", body)
            if oid in self.keys:
                self._row(oid, body[4:])

    def _relation(self, body: bytes) -> None:
        (oid,) = struct.unpack_from(">I", body)
        space, name, rest = body[4:].split(b"\0", 2)
        names, rest = [], rest[3:]
        while rest:
            column, _, rest = rest[1:].partition(b"\0")
            names.append(column.decode())
            rest = rest[8:]
        target = TARGETS.get(name.decode()) if space == b"public" else None
        self.keys.pop(oid, None)
        if target is not None:
            place = {column: number for number, column in enumerate(names)}
            self.keys[oid] = [place[key] for key in target.schema.key if key in place]

    def _row(self, oid: int, body: bytes) -> None:
        old, rest = self._tuple(body[1:]) if body[:1] in b"KO" else ([], body)
        new = self._tuple(rest[1:])[0] if rest[:1] == b"N" else []
        there = bool(old) and bool(new)
        moved = there and any(None not in (old[k], new[k]) and old[k] != new[k] for k in self.keys[oid])
        self.count += 1 + moved

    def _tuple(self, body: bytes) -> tuple[list[bytes | None], bytes]:
        (width,) = struct.unpack_from(">h", body)
        at, values = 2, list[bytes | None]()
        for _ in range(width):
            kind, at = body[at : at + 1], at + 1
            size = struct.unpack_from(">i", body, at)[0] if kind == b"t" else 0
            values.append(body[at + 4 : at + 4 + size] if kind == b"t" else None)
            at += 4 + size if kind == b"t" else 0
        return values, body[at:]


def walked(messages: Sequence[bytes]) -> int:
    walk = Walk()
    for message in messages:
        walk.message(message)
    return walk.count


def transactions(messages: Sequence[bytes]) -> list[list[bytes]]:
    """Cut behind each commit."""
    batches: list[list[bytes]] = [[]]
    for message in messages:
        batches[-1].append(message)
        if message[25:26] == b"C":
            batches.append([])
    return [batch for batch in batches if batch]


def test_what_was_recorded_comes_out_whole_however_it_is_cut(recorded: list[bytes]) -> None:
    assert (
        decoded([recorded]) == decoded(transactions(recorded)) == decoded([[one] for one in recorded]) == walked(recorded) > 40
    )


@st.composite
def disturbed(draw: st.DrawFn, messages: Sequence[bytes]) -> list[bytes]:
    found = list(messages)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(found) - 1))
        step = draw(st.sampled_from(["change", "change", "cut", "lose", "double", "swap"]))
        if step == "change":
            found[at] = draw(mutated([found[at]], most=3))
        elif step == "cut":
            found[at] = found[at][: draw(st.integers(0, len(found[at])))]
        elif step == "lose":
            found = found[:at] + found[at + 1 :] or found
        elif step == "double":
            found.insert(at, found[at])
        else:
            found[at - 1], found[at] = found[at], found[at - 1]
    return found


def check(messages: list[bytes]) -> None:
    try:
        count = decoded(transactions(messages))
    except (TransientError, SourceHalted):
        return
    assert count == walked(messages), [message[25:60] for message in messages]


FAST = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@FAST
@given(data=st.data())
def test_a_disturbed_stream_is_rows_or_an_error_of_ours(recorded: list[bytes], data: st.DataObject) -> None:
    check(data.draw(disturbed(recorded)))


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(FAST, max_examples=3_000)
@given(data=st.data())
def test_a_disturbed_stream_is_rows_or_an_error_of_ours_thousands_of_times(recorded: list[bytes], data: st.DataObject) -> None:
    check(data.draw(disturbed(recorded)))
