"""Filling a table anew: grants, views and indexes of the user's stay, and readers neither wait nor see a half."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.integration.results.support import (
    CITIES,
    SCHEMA,
    changed,
    city,
    epoch,
    execute,
    model,
    publishing,
    query,
    rows,
    whole,
)
from topline.errors import ModelHalted
from topline.results import Publisher, Replace, Snapshot
from topline.schema import TableSchema

ROME, PARIS, OSLO = city("Rome", "30.0000"), city("Paris", "20.0000"), city("Oslo", "10.0000")


@pytest.fixture
def publisher(dsn: str) -> Iterator[Publisher]:
    """One that has published Rome and Paris at epoch 1."""
    with publishing(dsn) as opened:
        opened.publish(epoch(1, whole([ROME, PARIS])))
        yield opened


def oid(dsn: str) -> object:
    return query(dsn, f"SELECT '{SCHEMA}.cities'::regclass::oid")[0][0]


def test_a_replaced_table_is_another_one_without_what_went(dsn: str, publisher: Publisher) -> None:
    before = oid(dsn)
    publisher.publish(epoch(2, whole([OSLO, ROME])))
    assert rows(dsn) == [OSLO, ROME]
    assert oid(dsn) != before
    assert query(dsn, f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}' AND tablename LIKE '%new%'") == []


def test_what_changed_meanwhile_is_merged_before_anybody_looks(dsn: str, publisher: Publisher) -> None:
    whole_table = whole([ROME, PARIS]).chunks
    publisher.publish(epoch(2, Replace(whole_table, dirty=changed([OSLO, city("Rome", "31.0000")], gone=[PARIS]))))
    assert rows(dsn) == [OSLO, city("Rome", "31.0000")]


def test_an_empty_table_is_a_table(dsn: str, publisher: Publisher) -> None:
    publisher.publish(epoch(2, Replace([])))
    assert rows(dsn) == []


def test_grants_stay(dsn: str, publisher: Publisher) -> None:
    execute(dsn, 'DROP ROLE IF EXISTS "the reader"; CREATE ROLE "the reader"')
    execute(
        dsn, f'GRANT SELECT ON {SCHEMA}.cities TO "the reader" WITH GRANT OPTION; GRANT SELECT ON {SCHEMA}.cities TO PUBLIC'
    )
    execute(dsn, f'GRANT UPDATE (city) ON {SCHEMA}.cities TO "the reader"')
    before = _grants(dsn)
    publisher.publish(epoch(2, whole([OSLO])))
    assert _grants(dsn) == before
    execute(dsn, 'DROP OWNED BY "the reader"; DROP ROLE "the reader"')


def _grants(dsn: str) -> list[tuple[object, ...]]:
    return query(
        dsn,
        f"SELECT relacl::text, (SELECT attacl::text FROM pg_attribute WHERE attrelid = c.oid AND attname = 'city') "
        f"FROM pg_class c WHERE oid = '{SCHEMA}.cities'::regclass",
    )


HANGING = {
    "a view": f"CREATE VIEW mine AS SELECT * FROM {SCHEMA}.cities",
    "a foreign key": f"CREATE TABLE mine (date date, city text, FOREIGN KEY (date, city) REFERENCES {SCHEMA}.cities)",
    "an index": f"CREATE INDEX mine ON {SCHEMA}.cities (city, total)",
    "a publication": f"CREATE PUBLICATION mine FOR TABLE {SCHEMA}.cities",
    "a policy": f"CREATE POLICY mine ON {SCHEMA}.cities USING (true)",
}


@pytest.mark.parametrize("what", HANGING)
def test_what_hangs_on_a_table_stays(dsn: str, publisher: Publisher, what: str) -> None:
    execute(dsn, HANGING[what])
    before = oid(dsn)
    publisher.publish(epoch(2, whole([OSLO, ROME])))
    assert rows(dsn) == [OSLO, ROME]
    assert oid(dsn) == before


def test_a_view_over_a_column_that_goes_is_named(dsn: str, publisher: Publisher) -> None:
    execute(dsn, f"CREATE VIEW mine AS SELECT sales FROM {SCHEMA}.cities")
    publisher.close()
    less = TableSchema("cities", tuple(c for c in CITIES.columns if c.name != "sales"), CITIES.key)
    with publishing(dsn, model(less)) as other:
        with pytest.raises(ModelHalted, match=r"column 'sales'.*view mine depends on"):
            other.publish(epoch(2, Replace([])))
        assert rows(dsn) == [PARIS, ROME]
        execute(dsn, "DROP VIEW mine")
        other.publish(epoch(2, Replace([])))
    assert rows(dsn, less) == []


def test_a_table_that_readers_hold_for_long_is_merged_in_place(dsn: str, publisher: Publisher) -> None:
    before = oid(dsn)
    with Snapshot(dsn, SCHEMA, {"cities": CITIES}) as held:
        publisher.publish(epoch(2, whole([OSLO])))
        assert held.read("cities").num_rows == 2, "the snapshot shows what it showed"
        assert held.epochs == {"cities": 1}
    assert (rows(dsn), oid(dsn)) == ([OSLO], before)


def test_a_reader_sees_the_rows_of_one_epoch_always(dsn: str, publisher: Publisher) -> None:
    """Deltas, swaps and in-place merges go on; each read finds every row at the epoch that the registry names."""
    publisher.publish(epoch(2, _at(2, range(40))))
    with _reading(dsn) as seen:
        for number in range(3, 43):
            publisher.publish(epoch(number, _at(number, range(40))))
            if number % 4:
                publisher.publish(epoch(number, changed([_numbered(n, number) for n in range(40)])))
    assert len(set(seen)) > 5, "the reader read along"


def _numbered(place: int, number: int) -> tuple[object, ...]:
    return city(f"city {place}", "1.0000", sales=number)


def _at(number: int, places: range) -> Replace:
    return whole([_numbered(place, number) for place in places])


@contextmanager
def _reading(dsn: str) -> Iterator[list[int]]:
    seen: list[int] = []
    faults: list[object] = []
    stop = threading.Event()
    thread = threading.Thread(target=_read, args=(dsn, seen, faults, stop))
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
    assert not faults


def _read(dsn: str, seen: list[int], faults: list[object], stop: threading.Event) -> None:
    statement = (
        f"SELECT m.epoch, r.least, r.greatest, r.count FROM {SCHEMA}._topline_models m, "
        f"(SELECT min(sales) AS least, max(sales) AS greatest, count(*) FROM {SCHEMA}.cities) r"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not stop.is_set() and not faults:
            number, least, greatest, count = connection.execute(statement.encode()).fetchall()[0]
            seen.append(number)
            if (least, greatest, count) != (number, number, 40):
                faults.append((number, least, greatest, count))
