"""Read replicas: asked in turn, passed over where they are down or behind; epochs never go back."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Postgres
from tests.integration.api.conftest import DAY, Results, first_epoch
from tests.integration.results.support import NOON, SCHEMA, emptied, execute
from tests.polling import until
from topline.errors import TransientError
from topline.results import Epoch, Page, Reader
from topline.results.questions import Days, top_cities

NOWHERE = "host=127.0.0.1 port=1 dbname=none"


@pytest.fixture(scope="module")
def replica_database(postgres: Postgres) -> str:
    return postgres.dsn("replica")


@pytest.fixture
def replica(replica_database: str, published: Results) -> Iterator[Results]:
    """A copy of what is published; it comes as far as the test publishes to it too, and its rows tell it apart."""
    copy = Results(emptied(replica_database))
    copy.publisher.publish(first_epoch())
    execute(copy.dsn, f"UPDATE {SCHEMA}.top_sales_by_city SET transaction_count = 99")
    yield copy
    copy.close()


@contextmanager
def reading(dsn: str, *replicas: str) -> Iterator[Reader]:
    reader = Reader(dsn, SCHEMA, replicas=replicas, connections=2, wait=2).open()
    try:
        yield reader
    finally:
        reader.close()


def asked(reader: Reader) -> Page:
    return reader.page(top_cities(Days.one(DAY)), 10)


def of_replica(page: Page) -> bool:
    return bool(page.rows[0]["transaction_count"] == 99)


def test_a_replica_answers(published: Results, replica: Results) -> None:
    with reading(published.dsn, replica.dsn) as reader:
        assert of_replica(asked(reader))


def test_a_replica_that_is_down_is_passed_over(published: Results, replica: Results) -> None:
    with reading(published.dsn, NOWHERE, replica.dsn) as reader:
        assert all(of_replica(asked(reader)) for _ in range(4))
    with reading(published.dsn, NOWHERE) as reader:
        assert not of_replica(asked(reader))


def test_a_replica_that_lags_is_passed_over_until_it_has_come_as_far(published: Results, replica: Results) -> None:
    later = Epoch(8, {}, {"shop": NOON, "branches": NOON})
    with reading(published.dsn, replica.dsn) as reader:
        assert asked(reader).as_of.epoch == 7
        published.publisher.publish(later)
        until(lambda: asked(reader).as_of.epoch == 8, what="the publication is heard of")
        assert not any(of_replica(asked(reader)) for _ in range(3))
        replica.publisher.publish(later)
        assert of_replica(asked(reader))


def test_replicas_answer_while_the_database_itself_is_down(published: Results, replica: Results) -> None:
    with reading(NOWHERE, replica.dsn) as reader:
        assert of_replica(asked(reader))
        assert reader.generation is None, "nothing is remembered meanwhile"


def test_all_down_is_an_error_that_passes(published: Results) -> None:
    with reading(NOWHERE, NOWHERE) as reader, pytest.raises(TransientError):
        asked(reader)


def test_a_backup_that_was_restored_is_shown(published: Results) -> None:
    with reading(published.dsn) as reader:
        assert asked(reader).as_of.epoch == 7
        execute(published.dsn, f"UPDATE {SCHEMA}._topline_writer SET epoch = 3; UPDATE {SCHEMA}._topline_models SET epoch = 3")
        assert asked(reader).as_of.epoch == 3
