"""A transaction larger than a batch passes in parts: visible whole, in bounded memory, exact when it is cut off amid them."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Postgres
from tests.integration.postgres.book import Book, forget_peak, memory
from tests.polling import until

HELD = 20_000  # entries that stand in the book before
MEGABYTE = 1 << 20
AMID = ("append:after-commit@3", "append:before-commit@5", "engine:folded@6", "append:after-commit@7")


@pytest.fixture
def book(postgres: Postgres, tmp_path: Path) -> Iterator[Book]:
    settings = {"TOPLINE_ENGINE__BATCH_ROWS": "20000"}
    made = Book(tmp_path / "book", postgres.dsn("shop"), postgres.dsn("results"), settings)
    made.shop.execute(made.add(1, HELD).encode())
    yield made
    made.drop()


def settled(book: Book) -> "subprocess.Popen[bytes]":
    """A running engine that has published all."""
    process = book.start()
    until(lambda: process.poll() is not None or book.is_true(), timeout=120, every=0.1, what=book.project.output())
    return process


def end(process: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(60)


def change_all(book: Book, times: int, last: str = "COMMIT") -> None:
    """One transaction of `times` * HELD wide updates, part of it in a savepoint that is rolled back, then `last`."""
    with psycopg.connect(book.shop_dsn, autocommit=True) as shop:
        shop.execute("BEGIN")
        for number in range(times):
            shop.execute(f"UPDATE entries SET amount = amount + 1, city = 'city ' || (id + {number}) % 100".encode())
            shop.execute("SAVEPOINT half")
            shop.execute("DELETE FROM entries WHERE id % 7 = 0")
            shop.execute("ROLLBACK TO half")
        shop.execute(last.encode())


@pytest.mark.long
def test_killed_amid_a_large_transaction_nothing_of_it_is_seen_and_then_all_of_it(book: Book) -> None:
    """200,000 changes in 10 parts; each start is the recovery from the kill before it."""
    assert end(settled(book)) == 0
    before = book.truth()
    change_all(book, 10)
    for where in AMID:
        process = book.start(TOPLINE_TEST_KILL_AT=where)
        book.require_killed(process)
        assert book.results() == before
    change_all(book, 10, "ROLLBACK")
    process = settled(book)
    assert end(process) == 0
    assert book.is_true()
    book.project.run("audit")


def test_stopped_amid_a_large_transaction_it_ends_in_order_and_goes_on_later(book: Book) -> None:
    process = settled(book)
    before = book.truth()
    change_all(book, 15)
    assert end(process) == 0, book.project.output()
    assert book.results() in (before, book.truth())
    assert end(settled(book)) == 0
    book.project.run("audit")


def grown(book: Book, statements: list[str]) -> int:
    """Bytes by which the engine grew at most while it took one transaction of these statements."""
    process = settled(book)
    base = memory(process.pid, "VmRSS")
    forget_peak(process.pid)
    with book.shop.transaction():
        for statement in statements:
            book.shop.execute(statement.encode())
    until(book.is_true, timeout=1500, every=0.5, what="the transaction is visible")
    peak = memory(process.pid)
    assert end(process) == 0
    return peak - base


def updates(times: int) -> list[str]:
    return [f"UPDATE entries SET amount = amount + 1, city = 'city ' || (id + {number}) % 100" for number in range(times)]


def test_memory_does_not_follow_the_size_of_a_transaction(book: Book) -> None:
    """300,000 wide updates of 20,000 entries: 200 MB on the wire."""
    assert grown(book, updates(15)) < 400 * MEGABYTE


def coming_and_going(book: Book, changes: int) -> list[str]:
    """So many changes, in rounds of 100,000 entries that come and go again; at the end one change of each that stays."""
    both = [book.add(HELD + 1, HELD + 100_000), f"DELETE FROM entries WHERE id > {HELD}"]
    return [*(both * (changes // 200_000)), *updates(1)]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("changes", [1_000_000, 5_000_000])
def test_memory_does_not_follow_the_size_of_a_transaction_of_millions(book: Book, changes: int) -> None:
    """Wide rows, 500 bytes of notes each, that come and go within the transaction."""
    assert grown(book, coming_and_going(book, changes)) < 500 * MEGABYTE
