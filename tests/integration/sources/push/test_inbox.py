"""What is accepted is kept, once, whatever happens to processes, files and declarations; what the log has goes."""

import gzip
import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.integration.sources.push.reading import ORDERS, Reading, push_source
from tests.integration.sources.push.server import server
from topline.changes import DeadLetter, Position, TableChanges
from topline.errors import ConfigError, SourceHalted, TransientError
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume
from topline.sources.push import PushSource, Settings, create
from topline.sources.push.batches import PARTITION
from topline.sources.push.bodies import JSON, Content
from topline.sources.push.inbox import Once, Receipt

MANY = 120


def send(source: PushSource, *rows: dict[str, object], table: str = "web.orders") -> Receipt:
    [intake] = [intake for intake in source.intakes if intake.name == table]
    return intake.accept(json.dumps(rows).encode(), Content(JSON))


def order(number: object, **fields: object) -> dict[str, object]:
    return {"id": str(number), **fields}


def at(receipt: Receipt) -> Position:
    return Position(receipt.generation, receipt.last)


def read(state: Path, resume: Resume | None = None) -> list[str]:
    with Reading(push_source(state), resume) as reading:
        return list(reading.all())


def log_at(position: Position) -> Resume:
    return Resume({PARTITION: position})


# kills


@pytest.mark.parametrize("point", ["inbox:before-commit", "inbox:committed"])
def test_killed_at_a_commit_every_202_is_there_once_and_retries_count_once(point: str, tmp_path: Path) -> None:
    with server(tmp_path, kill_at=f"{point}@4") as (process, url), httpx2.Client(base_url=url, timeout=20) as client:
        assert [post(client, str(number)).status_code for number in range(3)] == [202] * 3
        with pytest.raises(httpx2.TransportError):
            post(client, "3")
        process.wait(10)
    assert read(tmp_path) == ["0", "1", "2", *(["3"] if point == "inbox:committed" else [])]
    again = push_source(tmp_path).intakes[0]
    for number in range(6):
        body = json.dumps(order(number), separators=(",", ":")).encode()
        again.accept(body, Content(JSON), Once("", str(number), hashlib.sha256(body).digest()))
    with Reading(push_source(tmp_path)) as reading:
        assert len(reading.all()) == len(reading.numbers) == 6


def post(client: httpx2.Client, name: str) -> httpx2.Response:
    return client.post("/api/v1/ingest/orders", json=order(name), headers={"Idempotency-Key": name})


def test_two_processes_and_many_threads_give_each_record_a_number_of_its_own(tmp_path: Path) -> None:
    def work(url: str, worker: int) -> None:
        with httpx2.Client(base_url=url, timeout=30) as client:
            for number in range(8):
                rows = [order(f"{worker}-{number}-{n}") for n in range(3)]
                assert client.post("/api/v1/ingest/orders", json=rows).status_code == 202

    with (
        server(tmp_path) as (_, one),
        server(tmp_path) as (_, two),
        ThreadPoolExecutor(8) as pool,
        Reading(push_source(tmp_path)) as reading,
    ):
        done = [pool.submit(work, (one, two)[worker % 2], worker) for worker in range(8)]
        while not all(future.done() for future in done):
            if (batch := reading.source.read(7, 0.01)) is not None:
                reading.take(batch)
                if batch.complete:
                    reading.source.acknowledge(batch.positions)
        assert [future.result() for future in done] == [None] * 8
        while (batch := reading.source.read(7, 0.05)) is not None:
            reading.take(batch)
        assert len(reading.tables["web.orders"]) == 8 * 8 * 3
        assert sorted(reading.numbers) == reading.numbers == list(range(1, 8 * 8 * 3 + 1))


def test_a_full_disk_is_unavailable_and_keeps_nothing_half(tmp_path: Path) -> None:
    with server(tmp_path, limit=400_000) as (_, url), httpx2.Client(base_url=url, timeout=20) as client:
        accepted = 0
        for number in range(100):
            answer = client.post("/api/v1/ingest/orders", json=[order(f"{number}-{n}", note="x" * 1000) for n in range(20)])
            if answer.status_code != 202:
                break
            accepted += 1
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert "make room" in answer.json()["detail"]
        assert answer.headers["retry-after"]
    assert 0 < accepted < 100
    assert len(read(tmp_path)) == accepted * 20


def test_a_huge_body_does_not_fill_the_memory(tmp_path: Path) -> None:
    with server(tmp_path) as (process, url), httpx2.Client(base_url=url, timeout=60) as client:
        post(client, "1")
        before = peak(process.pid)
        for packed in (False, True):
            headers = {"Content-Type": "application/json", **({"Content-Encoding": "gzip"} if packed else {})}
            pieces = gzip.compress(b" " * 80_000_000) if packed else (b" " * 100_000 for _ in range(800))
            assert client.post("/api/v1/ingest/orders", content=pieces, headers=headers).status_code == 413
        assert peak(process.pid) - before < 50_000_000


def peak(pid: int) -> int:
    """Most bytes of memory that a process had (Linux)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


# positions


def test_a_request_larger_than_a_batch_comes_in_parts_that_end_together(tmp_path: Path) -> None:
    source = push_source(tmp_path)
    send(source, *(order(n) for n in range(10)))
    send(source, order("a"), order("b"))
    with Reading(source) as reading:
        reading.all(max_rows=4)
    assert [(len(batch), batch.complete) for batch in reading.batches] == [(4, False), (4, False), (2, True), (2, True)]
    assert [bool(batch.positions) for batch in reading.batches] == [False, False, True, True]


def test_many_small_requests_come_in_one_batch_of_each_table_one_part(tmp_path: Path) -> None:
    source = push_source(tmp_path)
    for number in range(50):
        send(source, order(number))
        last = send(source, {"id": str(number), "name": "Ada"}, table="web.customers")
    with Reading(source) as reading:
        reading.all()
    [batch] = reading.batches
    assert [(part.table, len(part)) for part in batch.parts if isinstance(part, TableChanges)] == [
        ("web.orders", 50),
        ("web.customers", 50),
    ]
    assert batch.positions == {PARTITION: at(last)}
    assert batch.time is not None
    assert batch.time.timestamp() == pytest.approx(last.time / 1_000_000)


def test_an_inbox_that_was_removed_begins_above_all_that_it_gave_out(tmp_path: Path) -> None:
    source = push_source(tmp_path)
    first = send(source, order(1), order(2))
    for name in ("inbox.sqlite", "inbox.sqlite-wal", "inbox.sqlite-shm"):
        (tmp_path / name).unlink()
    second = send(source, order(3))  # the same process: it notices
    assert at(second) > at(first)
    assert second.last == 1
    assert read(tmp_path, log_at(at(first))) == ["3"]


def test_an_inbox_that_was_removed_alone_does_not_get_back_what_its_rest_holds(tmp_path: Path) -> None:
    source = push_source(tmp_path)
    send(source, order(1))
    (tmp_path / "inbox.sqlite").unlink()  # its -wal stays
    send(push_source(tmp_path), order(2))
    assert read(tmp_path) == ["2"]


def test_an_inbox_that_was_restored_gives_out_no_position_twice(tmp_path: Path) -> None:
    source = push_source(tmp_path)
    send(source, order(1))
    source.intakes[0].close()
    shutil.copy(tmp_path / "inbox.sqlite", tmp_path / "backup")
    last = send(source, order(2), order(3))
    source.intakes[0].close()
    shutil.copy(tmp_path / "backup", tmp_path / "inbox.sqlite")
    again = send(push_source(tmp_path), order(4))
    assert again.first == 2
    assert at(again) > at(last)
    assert read(tmp_path, log_at(at(last))) == ["4"]


def test_with_the_clock_set_back_positions_grow_all_the_same(tmp_path: Path) -> None:
    future = Position(2**52, 7)
    with Reading(push_source(tmp_path), log_at(future)):
        pass
    assert at(send(push_source(tmp_path), order(1))) > future


def test_an_open_source_notices_another_file(tmp_path: Path) -> None:
    send(push_source(tmp_path), order(1))
    with Reading(push_source(tmp_path)) as reading:
        reading.all()
        (tmp_path / "inbox.sqlite").rename(tmp_path / "away")
        with pytest.raises(TransientError, match="inbox"):
            reading.source.read(10, 0)


# letting go


def test_what_the_log_has_goes_and_the_file_stays_small(tmp_path: Path) -> None:
    source, reader = push_source(tmp_path), Reading(push_source(tmp_path))
    for number in range(MANY):
        send(source, order(number, note="x" * 50_000))
        if number % 20 == 19:
            while (batch := reader.source.read(1000, 0)) is not None:
                reader.take(batch)
                reader.source.acknowledge(batch.positions)
    assert len(reader.tables["web.orders"]) == MANY
    reader.source.close()
    source.intakes[0].close()
    assert waiting(tmp_path) == (0, 0, 0)
    assert (tmp_path / "inbox.sqlite").stat().st_size < MANY * 50_000 / 2


def waiting(state: Path) -> tuple[int, int, int]:
    """Requests that lie there; rows and bytes that are counted as waiting."""
    connection = sqlite3.connect(state / "inbox.sqlite")
    rows, size = connection.execute("SELECT waiting_rows, waiting_bytes FROM sources").fetchone()
    (requests,) = connection.execute("SELECT count(*) FROM requests").fetchone()
    connection.close()
    return requests, rows, size


def test_the_file_shrinks_after_a_backlog(tmp_path: Path) -> None:
    source = push_source(tmp_path)
    for number in range(30):
        last = send(source, *(order(f"{number}-{n}", note=os.urandom(500).hex()) for n in range(1000)))
    source.intakes[0].close()
    full = (tmp_path / "inbox.sqlite").stat().st_size
    with Reading(push_source(tmp_path)) as reading:
        for _ in range(5):
            reading.source.acknowledge({PARTITION: at(last)})
    assert (tmp_path / "inbox.sqlite").stat().st_size < full / 2 < full


def test_what_was_committed_before_a_crash_is_let_go_of_at_the_next_opening(tmp_path: Path) -> None:
    source = push_source(tmp_path)
    first, second = send(source, order(1)), send(source, order(2))
    assert read(tmp_path, log_at(at(first))) == ["2"]
    assert waiting(tmp_path)[:2] == (1, 1)
    assert read(tmp_path, log_at(at(second))) == []


def test_a_log_older_than_the_inbox_halts_until_a_person_accepts_the_loss(tmp_path: Path) -> None:
    source = push_source(tmp_path)
    first, second = send(source, order(1)), send(source, order(2))
    read(tmp_path, log_at(at(second)))
    older = log_at(at(first))
    with pytest.raises(SourceHalted, match=r"up to number 1.*up to number 2.*topline resync web"):
        read(tmp_path, older)
    memory = {name: value for name, value in push_source(tmp_path).resync(None, older).items() if value is not None}
    send(source, order(3))
    assert read(tmp_path, replace(older, memory=memory)) == ["3"]


def test_keys_are_forgotten_after_their_time(tmp_path: Path) -> None:
    for key in ("a", "b"):
        push_source(tmp_path).intakes[0].accept(b"[]", Content(JSON), Once("", key, b"digest"))
    assert count(tmp_path, "answers") == 2
    source = push_source(tmp_path, {"idempotency_hours": 1e-9})
    with Reading(source) as reading:
        reading.all()
    assert count(tmp_path, "answers") == 0


def count(state: Path, table: str) -> int:
    connection = sqlite3.connect(state / "inbox.sqlite")
    (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(found)


# declarations


def declared(*columns: Column, key: tuple[str, ...] = ("id",)) -> dict[str, TableSchema]:
    return {"orders": TableSchema("web.orders", columns, key)}


ID, AMOUNT = Column("id", Type.TEXT), Column("amount", Type.TEXT)
SINCE: dict[str, tuple[dict[str, TableSchema], list[dict[str, object]]]] = {
    "another type": (declared(ID, Column("amount", Type.BIGINT)), [{"id": "1", "amount": 7}]),
    "a new column": (
        declared(ID, AMOUNT, Column("city", Type.TEXT)),
        [{"id": "1", "amount": "7", "city": None}, {"id": "2", "amount": "x", "city": None}],
    ),
    "another order": (declared(AMOUNT, ID), [{"amount": "7", "id": "1"}, {"amount": "x", "id": "2"}]),
    "another key": (declared(ID, AMOUNT, Column("line", Type.BIGINT), key=("id", "line")), []),
    "no such table": ({"customers": TableSchema("web.customers", (ID,), ("id",))}, []),
}


@pytest.mark.parametrize("name", SINCE)
def test_rows_that_waited_while_the_declarations_changed_fit_or_are_dead_letters(name: str, tmp_path: Path) -> None:
    tables, expected = SINCE[name]
    send(
        push_source(tmp_path, tables=declared(ID, AMOUNT)), order(1, amount="7"), order(2, amount="x"), order(3, _deleted=True)
    )
    with Reading(push_source(tmp_path, tables=tables)) as reading:
        assert list(reading.all().values()) == expected
    kept = {json.loads(letter.raw)["id"] for letter in reading.letters}
    known = {str(row["id"]) for row in expected} | ({"3"} if expected else set())
    assert kept == {"1", "2", "3"} - known
    assert all(letter.reason and letter.locator for letter in reading.letters)


@pytest.mark.parametrize("body", [b'{"id": "1", "items": "x", "colour": "red"}', b"id,items,colour\n1,x,red\n"])
def test_a_kept_record_is_read_again_under_todays_settings(body: bytes, tmp_path: Path) -> None:
    before = push_source(tmp_path, {"tables": {"orders": {"on_invalid": "keep"}}})
    before.intakes[0].accept(body, Content("text/csv" if body.startswith(b"id") else JSON))
    with Reading(push_source(tmp_path)) as reading:
        reading.all()
    [letter] = reading.letters
    still = push_source(tmp_path, {"tables": {"orders": {"on_unknown": "ignore"}}}).reread(letter)
    assert isinstance(still, DeadLetter)
    assert "items" in still.reason
    text = replace(ORDERS, columns=tuple(Column(column.name, Type.TEXT) for column in ORDERS.columns))
    now = push_source(tmp_path, {"tables": {"orders": {"on_unknown": "ignore"}}}, {"orders": text}).reread(letter)
    assert isinstance(now, TableChanges)
    assert now.rows.to_pylist() == [{"id": "1", "amount": None, "items": "x", "placed": None, "note": None}]


def test_a_large_letter_lies_in_a_file_and_is_read_from_there(tmp_path: Path) -> None:
    source = push_source(tmp_path, {"tables": {"orders": {"on_invalid": "keep", "on_unknown": "ignore"}}})
    source.intakes[0].accept(b'{"items": "x", "note": "' + b"y" * 2_000_000 + b'"}', Content(JSON))
    with Reading(push_source(tmp_path)) as reading:
        reading.all()
        reading.source.acknowledge(reading.batches[-1].positions)
    assert count(tmp_path, "letters") == count(tmp_path, "requests") == 0
    [letter] = reading.letters
    assert len(letter.raw) < 200
    assert isinstance(source.reread(letter), DeadLetter)


def test_a_kept_deletion_is_not_replayed_as_a_row(tmp_path: Path) -> None:
    source = push_source(tmp_path, {"tables": {"orders": {"on_invalid": "keep"}}})
    source.intakes[0].accept(b'{"id": "1", "_deleted": true, "colour": "red"}', Content(JSON))
    with Reading(push_source(tmp_path)) as reading:
        reading.all()
    again = push_source(tmp_path, {"tables": {"orders": {"on_unknown": "ignore"}}}).reread(reading.letters[0])
    assert isinstance(again, DeadLetter)
    assert "send it again" in again.reason


@pytest.mark.parametrize(
    ("tables", "settings", "fault"),
    [
        ({"orders": replace(ORDERS, key=())}, {}, "tables.orders: no key"),
        (declared(ID, Column("_deleted", Type.TEXT)), {}, "_deleted"),
        ({"orders": ORDERS}, {"tables": {"nothing": {}}}, "tables.nothing: not declared"),
    ],
)
def test_declarations_that_cannot_serve_are_named(
    tables: dict[str, TableSchema], settings: dict[str, object], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=fault):
        create(Context("web", tables, tmp_path, tmp_path), Settings.model_validate(settings))


def damaged(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = 99 WHERE key = 'format'")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(("spoil", "word"), [(damaged, "damaged"), (newer, "newer|upgrade")])
def test_a_file_that_cannot_be_read_halts_the_source_and_check_names_it(
    spoil: Callable[[Path], None], word: str, tmp_path: Path
) -> None:
    assert push_source(tmp_path).check() == []
    source = push_source(tmp_path)
    send(source, order(1))
    source.intakes[0].close()
    assert push_source(tmp_path).check() == []
    spoil(tmp_path / "inbox.sqlite")
    with pytest.raises(SourceHalted, match=word):
        read(tmp_path)
    [fault] = push_source(tmp_path).check()
    assert fault.remedy
