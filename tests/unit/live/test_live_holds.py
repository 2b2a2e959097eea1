"""Which tables are only kept, which models therefore stand still, and what ends it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.live.histories import item, order, upserts
from tests.unit.live.plans import ITEMS, ORDERS, TABLES, sums
from topline.changes import Position, SchemaChange, Sweep, TableChanges
from topline.live.holds import Holds, downstream, fits, unbearable
from topline.log import Log
from topline.schema import Column, TableSchema, Type


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "state", "test") as one:
        yield one


def holds(**tables: str) -> Holds:
    return Holds(sums(), {name.replace("_", "."): why for name, why in tables.items()})


def without(schema: TableSchema, *names: str) -> TableSchema:
    return replace(schema, columns=tuple(column for column in schema.columns if column.name not in names))


def retyped(schema: TableSchema, **types: Type) -> TableSchema:
    return replace(schema, columns=tuple(Column(c.name, types.get(c.name, c.type)) for c in schema.columns))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (ORDERS, ""),
        (replace(ORDERS, columns=(Column("more", Type.TEXT), *reversed(ORDERS.columns))), ""),
        (without(ORDERS, "city"), "table shop.orders lost the column city"),
        (without(ORDERS, "city", "amount"), "table shop.orders lost the columns city, amount"),
        (retyped(ORDERS, day=Type.TEXT), "table shop.orders changed the type of day from DATE to TEXT"),
        (
            retyped(ORDERS, day=Type.TEXT, amount=Type.BIGINT),
            "table shop.orders changed the type of day from DATE to TEXT, amount from DECIMAL(18,4) to BIGINT",
        ),
    ],
)
def test_models_go_on_with_more_columns_and_not_with_fewer_or_others(found: TableSchema, why: str) -> None:
    assert unbearable(ORDERS, found).replace("VARCHAR", "TEXT") == why


def test_kept_rows_fit_where_their_columns_are_those_declared() -> None:
    parts: list[TableChanges | Sweep] = [
        upserts("shop.orders", order(1, "10")),
        Sweep("shop.orders", None, None, Position(2, 0)),
    ]
    assert fits(ORDERS, parts)
    assert fits(ORDERS, [])
    assert not fits(without(ORDERS, "city"), parts)
    assert not fits(ORDERS, [*parts, upserts("shop.items", item(1, 2))])


def test_a_table_that_lost_a_column_is_held_until_it_has_it_again() -> None:
    one = holds()
    assert not one.change(SchemaChange("shop.orders", without(ORDERS, "city")))
    assert one.is_held("shop.orders")
    assert not one.is_held("shop.items")
    assert one.tables["shop.orders"] == (
        "table shop.orders lost the column city: its changes are kept, models that read it stand still; "
        "give the column back, or change the models and run `topline resync shop.orders`"
    )
    assert one.held_models() == {"money", "over"}
    assert one.change(SchemaChange("shop.orders", ORDERS))
    assert (one.tables, one.held_models()) == ({}, frozenset())
    assert not one.change(SchemaChange("shop.orders", ORDERS)), "it was not held any more"


def test_the_columns_of_a_table_that_no_model_reads_do_not_matter() -> None:
    one = holds()
    assert not one.change(SchemaChange("shop.other", ORDERS))
    assert one.tables == {}


def test_a_table_whose_old_rows_lack_what_is_declared_goes_on_only_once_it_is_read_anew(log: Log) -> None:
    one = holds(shop_orders="its key changed in the models")
    one.outdated.add("shop.orders")
    assert not one.change(SchemaChange("shop.orders", ORDERS))
    assert one.is_held("shop.orders")
    one.forget("shop.orders", log)
    assert (one.tables, one.outdated) == ({}, set())


def test_reading_a_source_anew_ends_the_holds_of_all_of_its_tables_in_the_log_too(log: Log) -> None:
    one = holds(shop_orders="lost a column", shop_items="lost a column", shopping_orders="lost a column")
    one.outdated |= {"shop.orders", "shop.items"}
    for table, why in one.tables.items():
        log.hold(table, why)
    one.forget("shop", log)
    assert (set(one.tables), set(log.holds()), one.outdated) == ({"shopping.orders"}, {"shopping.orders"}, set())
    assert log.schemas() == {"shop.orders": ORDERS, "shop.items": ITEMS}


def test_reading_a_table_anew_ends_its_hold_alone(log: Log) -> None:
    one = holds(shop_orders="lost a column", shop_items="lost a column")
    one.forget("shop.items", log)
    assert set(one.tables) == {"shop.orders"}


def test_a_halted_model_says_why_and_so_does_what_reads_it() -> None:
    one = holds()
    one.halt({"money": "model money: a sum overflows"})
    assert one.models == {"money": "a sum overflows", "over": "it reads money, which is halted"}
    one.halt({"over": "over: two rows have the same key"})
    assert one.models["over"] == "two rows have the same key"
    assert one.held_models() == {"money", "over"}


def test_what_reads_a_halted_model_keeps_its_own_reason() -> None:
    one = holds()
    one.halt({"over": "two rows have the same key"})
    one.halt({"money": "a sum overflows"})
    assert one.models["over"] == "two rows have the same key"


def test_while_a_source_is_copied_models_over_its_tables_stand_still() -> None:
    one = holds()
    one.copying.add("shop")
    assert one.held_models() == {"money", "over", "pieces"}
    one.copying = {"branches"}
    assert one.held_models() == frozenset()


def test_what_is_downstream_is_reached_through_other_models() -> None:
    assert downstream(sums(), ["shop.orders"]) == {"money", "over"}
    assert downstream(sums(), ["money"]) == {"over"}
    assert downstream(sums(), TABLES) == {"money", "over", "pieces"}
