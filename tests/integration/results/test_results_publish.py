"""Publishing an epoch: what stands in PostgreSQL afterwards, and what was not touched."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.integration.results.support import (
    CITIES,
    NOON,
    SCHEMA,
    changed,
    city,
    epoch,
    publishing,
    query,
    rows,
    whole,
)
from topline.errors import ModelHalted
from topline.results import Epoch, Snapshot

ROME, PARIS, OSLO = city("Rome", "30.0000"), city("Paris", "20.0000"), city("Oslo", "10.0000")


def test_a_first_publication_shows_all_rows(dsn: str) -> None:
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([ROME, PARIS])))
    assert rows(dsn) == [PARIS, ROME]


def test_rows_are_inserted_updated_and_deleted(dsn: str) -> None:
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([ROME, PARIS])))
        written = publisher.publish(epoch(2, changed([city("Rome", "31.0000"), OSLO], gone=[PARIS])))
    assert rows(dsn) == [OSLO, city("Rome", "31.0000")]
    assert written == {"cities": 3}


def test_an_epoch_published_again_changes_nothing(dsn: str) -> None:
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([ROME, PARIS])))
        again = epoch(2, changed([OSLO], gone=[PARIS]))
        publisher.publish(again)
        before = query(dsn, f"SELECT ctid, xmin, * FROM {SCHEMA}.cities ORDER BY city")
        assert publisher.publish(again) == {"cities": 0}
    assert query(dsn, f"SELECT ctid, xmin, * FROM {SCHEMA}.cities ORDER BY city") == before


def test_a_row_that_stands_as_it_should_is_neither_written_nor_locked(dsn: str) -> None:
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([ROME, PARIS])))
        before: dict[str, str] = dict(query(dsn, f"SELECT city, ROW(ctid, xmin, xmax)::text FROM {SCHEMA}.cities"))
        publisher.publish(epoch(2, changed([ROME, city("Paris", "21.0000")])))
    after: dict[str, str] = dict(query(dsn, f"SELECT city, ROW(ctid, xmin, xmax)::text FROM {SCHEMA}.cities"))
    assert after["Rome"] == before["Rome"]
    assert after["Paris"] != before["Paris"]


def test_every_type_comes_back_as_it_went(dsn: str) -> None:
    local = datetime(1999, 12, 31, 23, 59, 59, 999999)
    extreme = [
        (date(1, 1, 1), "", Decimal("99999999999999.9999"), 2**63 - 1, NOON.replace(microsecond=1), local, False),
        (date(9999, 12, 31), 'a "quoted",\nbroken\r\n\\. line', Decimal("-99999999999999.9999"), -(2**63), None, None, None),
        (date(2026, 1, 1), "\\.", Decimal("0.0001"), 0, None, None, None),
        (date(2026, 1, 2), "\\N", None, None, None, None, None),
    ]
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole(extreme)))
        assert rows(dsn) == sorted(extreme, key=lambda row: row[:2])
        publisher.publish(epoch(2, changed([], gone=extreme)))
        publisher.publish(epoch(3, changed(extreme)))
    assert rows(dsn) == sorted(extreme, key=lambda row: row[:2])


def test_a_null_turned_into_an_empty_text_is_a_change(dsn: str) -> None:
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([city("Rome", None)])))
        assert publisher.publish(epoch(2, changed([city("Rome", "0.0000")]))) == {"cities": 1}
        assert publisher.publish(epoch(3, changed([city("Rome", None)]))) == {"cities": 1}
    assert rows(dsn) == [city("Rome", None)]


def test_text_is_ordered_by_bytes(dsn: str) -> None:
    names = ["é", "a", "Z", "z", "É", "_", "Ω", "😀", "\ue000"]
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([city(name) for name in names])))
    found = [name for (name,) in query(dsn, f"SELECT city FROM {SCHEMA}.cities ORDER BY city")]
    assert found == sorted(names, key=lambda name: name.encode())
    collations = "SELECT collation_name FROM information_schema.columns WHERE table_name = 'cities' AND data_type = 'text'"
    assert query(dsn, collations) == [("C",)], "whatever the database's own collation is"


def test_each_model_says_which_epoch_and_source_times_it_shows(dsn: str) -> None:
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([ROME])))
        publisher.publish(epoch(2))
        publisher.publish(epoch(3, held=frozenset({"cities"})))
    assert query(dsn, f"SELECT epoch, source_times FROM {SCHEMA}._topline_models") == [(2, {"shop": NOON.isoformat()})]
    assert query(dsn, f"SELECT epoch FROM {SCHEMA}._topline_writer") == [(3,)]
    assert query(dsn, f"SELECT source, epoch, time, positions FROM {SCHEMA}._topline_sources") == [
        ("shop", 3, NOON, {"stream": [3, 0]})
    ]


def test_listeners_are_told_of_the_epoch_once_it_is_visible(dsn: str) -> None:
    with publishing(dsn) as publisher, psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("LISTEN topline")
        publisher.publish(epoch(1, whole([ROME])))
        notices = [notice.payload for notice in listener.notifies(timeout=5, stop_after=1)]
    assert notices == ['{"schema": "results", "epoch": 1, "models": ["cities"]}']


def test_rows_that_postgresql_cannot_hold_halt_their_model_and_nothing_shows(dsn: str) -> None:
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([ROME])))
        with pytest.raises(ModelHalted, match=r"model cities.*0x00"):
            publisher.publish(epoch(2, changed([city("zero\0byte"), OSLO])))
        with pytest.raises(ModelHalted, match="model cities"):
            publisher.publish(epoch(2, whole([ROME, ROME])))
        publisher.publish(epoch(2, changed([PARIS])))
    assert rows(dsn) == [PARIS, ROME]


def test_a_model_that_is_not_published_is_a_mistake_of_the_caller(dsn: str) -> None:
    with publishing(dsn) as publisher, pytest.raises(ValueError, match="elsewhere"):
        publisher.publish(Epoch(1, {"elsewhere": whole([ROME])}))


def test_the_digest_follows_the_rows_and_not_their_order(dsn: str) -> None:
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([ROME, PARIS])))
        both = _digest(dsn)
        publisher.publish(epoch(2, whole([PARIS])))
        assert _digest(dsn) != both
        publisher.publish(epoch(3, changed([ROME])))
    assert _digest(dsn) == both
    assert both[0] == 2


def _digest(dsn: str) -> tuple[int, str]:
    with Snapshot(dsn, SCHEMA, {"cities": CITIES}) as snapshot:
        return snapshot.digest("cities")


def test_so_many_changes_are_cheaper_as_a_new_table(dsn: str) -> None:
    with publishing(dsn) as publisher:
        assert publisher.wants_replace("cities", 0), "never published"
        publisher.publish(epoch(1, whole([ROME])))
        assert not publisher.wants_replace("cities", 49_999)
        assert publisher.wants_replace("cities", 50_000)


def test_days_that_python_does_not_know_are_published_and_read_back(dsn: str) -> None:
    """An order of the shop may be of the day `infinity`, or of one before year 1; its neighbours count all the same."""
    forever: Any = 2**31 - 1  # DuckDB's infinity, in days
    caesar: Any = -735_233  # 44 BC
    with publishing(dsn) as publisher:
        publisher.publish(epoch(1, whole([city("Rome", day=caesar), city("Oslo", day=forever)])))
        publisher.publish(epoch(2, changed([city("Oslo", "2.0000", day=forever), city("Rome", "3.0000")])))
    found = query(dsn, f"SELECT date::text, city, total::text FROM {SCHEMA}.cities ORDER BY date")
    assert found == [("0044-01-01 BC", "Rome", "1.0000"), ("2026-11-21", "Rome", "3.0000"), ("infinity", "Oslo", "2.0000")]
    with Snapshot(dsn, SCHEMA, {"cities": CITIES}) as snapshot:
        days = [day for chunk in snapshot.rows("cities") for day in chunk["date"].combine_chunks().view("int32").to_pylist()]
    assert sorted(days)[0] == caesar
    assert sorted(days)[-1] == forever
