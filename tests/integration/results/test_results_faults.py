"""The connection dies, locks collide: an epoch is visible whole or not at all, and publishing it again heals it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.integration.results.support import (
    SCHEMA,
    changed,
    city,
    epoch,
    kill_sessions,
    model,
    publishing,
    query,
    rows,
    whole,
)
from tests.polling import until
from topline.errors import TransientError
from topline.results import Publisher

ROME, PARIS, OSLO = city("Rome", "30.0000"), city("Paris", "20.0000"), city("Oslo", "10.0000")
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'topline publisher' AND wait_event_type = 'Lock'"


@pytest.fixture
def publisher(dsn: str) -> Iterator[Publisher]:
    with publishing(dsn) as opened:
        opened.publish(epoch(1, whole([ROME, PARIS])))
        yield opened


@contextmanager
def holding(dsn: str, statement: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Another session's open transaction that has run `statement`; rolled back at the end."""
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())
        yield connection
        connection.rollback()


def test_a_connection_killed_in_the_middle_leaves_nothing_half_done(dsn: str, publisher: Publisher) -> None:
    """The publisher has merged some rows and waits for a row's lock when its session is ended."""
    errors: list[BaseException] = []
    second = epoch(2, changed([city("Rome", "31.0000"), OSLO], gone=[PARIS]))
    with holding(dsn, f"UPDATE {SCHEMA}.cities SET sales = 9 WHERE city = 'Rome'"):
        thread = threading.Thread(target=_publish, args=(publisher, second, errors))
        thread.start()
        until(lambda: query(dsn, f"{_WAITING} AND datname = current_database()")[0][0])
        kill_sessions(dsn)
        thread.join()
    assert isinstance(errors[0], TransientError)
    assert rows(dsn) == [PARIS, ROME]
    assert query(dsn, f"SELECT epoch FROM {SCHEMA}._topline_writer") == [(1,)]
    publisher.publish(second)
    assert rows(dsn) == [OSLO, city("Rome", "31.0000")]


def _publish(publisher: Publisher, number: object, errors: list[BaseException]) -> None:
    try:
        publisher.publish(number)  # type: ignore[arg-type]
    except TransientError as error:
        errors.append(error)


def test_a_connection_lost_between_two_epochs_is_made_anew(dsn: str, publisher: Publisher) -> None:
    kill_sessions(dsn)
    with pytest.raises(TransientError, match="does not answer"):
        publisher.publish(epoch(2, changed([OSLO])))
    publisher.publish(epoch(2, changed([OSLO])))
    assert rows(dsn) == [OSLO, PARIS, ROME]


def test_a_replacement_killed_after_its_filling_is_filled_again(dsn: str, publisher: Publisher) -> None:
    with holding(dsn, f"SELECT FROM {SCHEMA}._topline_writer FOR UPDATE"):
        errors: list[BaseException] = []
        thread = threading.Thread(target=_publish, args=(publisher, epoch(2, whole([OSLO])), errors))
        thread.start()
        until(lambda: query(dsn, f"{_WAITING} AND datname = current_database()")[0][0])
        kill_sessions(dsn)
        thread.join()
    assert isinstance(errors[0], TransientError)
    assert rows(dsn) == [PARIS, ROME]
    publisher.publish(epoch(2, whole([OSLO])))
    assert rows(dsn) == [OSLO]


def test_a_deadlock_is_tried_again(dsn: str, publisher: Publisher) -> None:
    """Another session holds Rome and asks for the writer's row, which the publisher holds while it waits for Rome."""
    with holding(dsn, f"UPDATE {SCHEMA}.cities SET sales = 9 WHERE city = 'Rome'") as other:
        errors: list[BaseException] = []
        thread = threading.Thread(target=_publish, args=(publisher, epoch(2, changed([OSLO, city("Rome", "31")])), errors))
        thread.start()
        until(lambda: query(dsn, f"{_WAITING} AND datname = current_database()")[0][0])
        other.execute("SET deadlock_timeout = '1h'")  # the publisher is the one to find it
        other.execute(f"SELECT FROM {SCHEMA}._topline_writer FOR UPDATE".encode())
        other.rollback()
        thread.join()
    assert not errors
    assert rows(dsn) == [OSLO, PARIS, city("Rome", "31.0000")]


def test_a_server_that_is_not_there_passes() -> None:
    publisher = Publisher("host=127.0.0.1 port=1 dbname=none", SCHEMA, state_id="state-1")
    with pytest.raises(TransientError, match="does not answer"):
        publisher.open({"cities": model()}, epoch=1, published={})
    publisher.close()
