"""Opening a results schema: who may write it, what must be republished, and how tables follow their models."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from tests.integration.results.support import (
    CITIES,
    SCHEMA,
    changed,
    city,
    epoch,
    execute,
    kill_sessions,
    model,
    publishing,
    query,
    rows,
    whole,
)
from topline.errors import ConfigError, FencedError, StateError, TransientError
from topline.results import Opened, Publisher, check_results
from topline.schema import Column, TableSchema, Type

ROME, PARIS = city("Rome", "30.0000"), city("Paris", "20.0000")


@pytest.fixture
def published(dsn: str) -> str:
    """A database to which state-1 has published epoch 5."""
    with publishing(dsn) as publisher:
        publisher.publish(epoch(5, whole([ROME, PARIS])))
    return dsn


def reopened(dsn: str, schema: TableSchema = CITIES, **options: Any) -> Opened:
    publisher = Publisher(dsn, SCHEMA, state_id="state-1")
    try:
        plan = model(schema, **options.pop("model", {}))
        return publisher.open({plan.name: plan}, **{"epoch": 5, "published": {plan.name: 5}, **options})
    finally:
        publisher.close()


def test_the_same_state_goes_on_where_it_was(published: str) -> None:
    opened = reopened(published)
    assert opened == Opened(epoch=5, published_epoch={"cities": 5}, must_republish=frozenset(), orphans=())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"published": {"cities": 6}, "epoch": 6}, "a restored backup is older than what we published"),
        ({"published": {}}, "this state does not know that it published"),
        ({"model": {"fingerprint": "other"}}, "the model means something else now"),
        ({"take_over": True}, "taken over"),
    ],
)
def test_what_cannot_be_continued_must_be_republished(published: str, options: dict[str, Any], why: str) -> None:
    assert reopened(published, **options).must_republish == {"cities"}, why


def test_a_table_that_someone_dropped_is_made_again_and_republished(published: str) -> None:
    execute(published, f"DROP TABLE {SCHEMA}.cities")
    assert reopened(published).must_republish == {"cities"}
    assert rows(published) == []


def test_deltas_are_refused_until_the_model_is_republished(published: str) -> None:
    with publishing(published, take_over=True) as publisher:
        with pytest.raises(ValueError, match="need all their rows"):
            publisher.publish(epoch(6, changed([ROME])))
        publisher.publish(epoch(6))
        assert query(published, f"SELECT epoch FROM {SCHEMA}._topline_models") == [(5,)], "it still shows what it showed"
        publisher.publish(epoch(7, whole([ROME])))
    assert query(published, f"SELECT epoch FROM {SCHEMA}._topline_models") == [(7,)]


def test_another_state_is_refused_until_it_takes_over_and_then_strangers_go(published: str) -> None:
    with pytest.raises(FencedError, match=r"state-1.*epoch 5.*--take-over"), publishing(published, state_id="state-2"):
        pass
    with publishing(published, state_id="state-2", epoch=2, take_over=True) as publisher:
        publisher.publish(epoch(2, whole([city("Oslo")])))
    assert rows(published) == [city("Oslo")]
    assert query(published, f"SELECT state_id, epoch FROM {SCHEMA}._topline_writer") == [("state-2", 2)]


def test_a_take_over_that_was_killed_is_not_forgotten(published: str) -> None:
    reopened(published, epoch=3, published={"cities": 3}, take_over=True)
    assert reopened(published, epoch=3, published={"cities": 3}).must_republish == {"cities"}


def test_an_older_copy_of_the_state_is_refused(published: str) -> None:
    with pytest.raises(FencedError, match="epoch 5, but this state has come to 4"):
        reopened(published, epoch=4, published={"cities": 4})


def test_a_second_engine_is_refused_and_told_who_holds_the_schema(published: str) -> None:
    with (
        publishing(published, published={"cities": 5}),
        pytest.raises(StateError, match=r"another engine writes.*live engine of state state-1 \(.*process \d+\)"),
        publishing(published, published={"cities": 5}),
    ):
        pass


def test_a_fenced_publisher_cannot_publish_any_more(published: str) -> None:
    with publishing(published, published={"cities": 5}) as publisher:
        kill_sessions(published)
        with publishing(published, state_id="state-2", take_over=True) as other:
            other.publish(epoch(9, whole([PARIS])))
        with pytest.raises(TransientError, match="does not answer"):
            publisher.publish(epoch(10, changed([ROME])))
        with pytest.raises(FencedError, match="taken over by the live engine of state state-2"):
            publisher.publish(epoch(10, changed([ROME])))
    assert rows(published) == [PARIS]


def test_a_backup_restored_under_the_engine_stops_it(published: str) -> None:
    with publishing(published, published={"cities": 5}) as publisher:
        publisher.publish(epoch(6, changed([ROME])))
        execute(published, f"UPDATE {SCHEMA}._topline_writer SET epoch = 5")
        with pytest.raises(StateError, match="back from epoch 6 to 5"):
            publisher.publish(epoch(7, changed([ROME])))


def test_an_epoch_behind_is_refused(published: str) -> None:
    with publishing(published, published={"cities": 5}) as publisher, pytest.raises(FencedError, match="4 lies behind epoch 5"):
        publisher.publish(epoch(4, changed([ROME])))


def _without(column: str) -> TableSchema:
    return replace(CITIES, columns=tuple(c for c in CITIES.columns if c.name != column))


MIGRATIONS = {
    "a column more": replace(CITIES, columns=(*CITIES.columns, Column("note", Type.TEXT))),
    "a column less": _without("sales"),
    "another type": replace(
        CITIES, columns=tuple(Column("sales", Type.TEXT) if c.name == "sales" else c for c in CITIES.columns)
    ),
    "another key": replace(CITIES, key=("city",)),
    "a wider key": replace(CITIES, key=("city", "date", "sales")),
}


@pytest.mark.parametrize("view", [False, True], ids=["swapped", "in place"])
@pytest.mark.parametrize("change", MIGRATIONS)
def test_a_table_follows_its_model(published: str, change: str, view: bool) -> None:
    schema = MIGRATIONS[change]
    if view:
        execute(published, f"CREATE VIEW names AS SELECT city FROM {SCHEMA}.cities")
    row = tuple(_value(column) for column in schema.columns)
    with publishing(published, model(schema), published={"cities": 5}) as publisher:
        assert len(query(published, f"SELECT FROM {SCHEMA}.cities")) == 2, "the old table shows until the new one is whole"
        publisher.publish(epoch(6, whole([row], schema)))
        publisher.publish(epoch(7, changed([row], schema=schema)))
        assert publisher.publish(epoch(8, changed([], gone=[row], schema=schema))) == {"cities": 1}
        publisher.publish(epoch(9, changed([row], schema=schema)))
    assert rows(published, schema) == [row]
    assert reopened(published, schema, epoch=9, published={"cities": 9}).must_republish == frozenset()
    assert not view or query(published, "SELECT * FROM names") == [("Rome",)]


def _value(column: Column) -> object:
    known = dict(zip(CITIES.names, ROME, strict=True))
    return str(column.name) if column.type is Type.TEXT and column.name != "city" else known[column.name]


def test_a_new_index_needs_no_republication(published: str) -> None:
    opened = reopened(published, model={"indexes": (("total desc", "city"), ("sales",))})
    assert opened.must_republish == frozenset()
    found = query(published, f"SELECT indexdef FROM pg_indexes WHERE schemaname = '{SCHEMA}' AND tablename = 'cities'")
    assert sorted(text.partition("USING btree ")[2] for (text,) in found) == ["(date, city)", "(sales)", "(total DESC, city)"]


def test_a_table_of_someone_else_is_not_touched(dsn: str) -> None:
    execute(dsn, f"CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.cities (mine text)")
    with pytest.raises(StateError, match=r"results\.cities stands already and is not Topline's"), publishing(dsn):
        pass
    assert query(dsn, f"SELECT * FROM {SCHEMA}.cities") == []


def test_a_model_no_longer_published_leaves_its_table_and_comes_back_whole(published: str) -> None:
    other = replace(CITIES, name="other")
    assert reopened(published, other).orphans == ("cities",)
    assert len(rows(published)) == 2
    again = reopened(published, epoch=5, published={"cities": 5})
    assert (set(again.must_republish), again.orphans) == ({"cities"}, ("other",))


@pytest.mark.parametrize("name", ["_topline_x", "x" * 60])
def test_a_name_that_could_not_be_a_table_is_refused(dsn: str, name: str) -> None:
    with pytest.raises(ConfigError, match="rename its file"), publishing(dsn, model(replace(CITIES, name=name))):
        pass


def test_a_user_without_privileges_learns_the_grant(dsn: str) -> None:
    execute(dsn, "DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN PASSWORD 'poor'")
    poor = psycopg.conninfo.make_conninfo(dsn, user="poor", password="poor")
    database = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    assert check_results(dsn, SCHEMA) == []
    [(problem, remedy)] = check_results(poor, SCHEMA)
    assert (problem, remedy) == (
        "poor may not create the schema 'results'",
        f'GRANT CREATE ON DATABASE "{database}" TO "poor"',
    )
    execute(dsn, remedy)
    assert check_results(poor, SCHEMA) == []
    execute(dsn, f"CREATE SCHEMA {SCHEMA}")
    [(problem, remedy)] = check_results(poor, SCHEMA)
    assert remedy == 'ALTER SCHEMA "results" OWNER TO "poor"'
    with pytest.raises(StateError, match="permission denied"), publishing(poor):
        pass
    execute(dsn, remedy)
    with publishing(poor) as publisher:
        publisher.publish(epoch(1, whole([ROME])))


def test_a_database_that_cannot_hold_all_text_is_refused(dsn: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    execute(dsn, f"CREATE DATABASE {name}_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    latin = psycopg.conninfo.make_conninfo(dsn, dbname=f"{name}_latin")
    [(problem, _)] = check_results(latin, SCHEMA)
    assert "UTF8 is needed" in problem
    with pytest.raises(ConfigError, match="UTF8 is needed"), publishing(latin):
        pass
