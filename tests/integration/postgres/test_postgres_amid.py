"""What goes wrong amid a transaction that is folded in parts: nothing of it is seen, and nothing of it stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Postgres
from tests.faults.world import World, world
from topline.sources.reader import Status

GREATEST = "99999999999999.9999"  # of DECIMAL(18,4): two of them in one city are too much


@pytest.fixture
def made(tmp_path: Path, postgres: Postgres) -> Iterator[World]:
    with world(tmp_path / "sales", postgres.dsn("shop"), postgres.dsn("results"), engine__batch_rows=100) as one:
        one.shop.execute("INSERT INTO customers VALUES ('c', 'n', 'Italy', 'Lazio', 'Roma')")
        one.shop.execute("INSERT INTO salesmen VALUES ('s', 'Ada')")
        order(one, "before", "10.00")
        one.open()
        one.catch_up()
        yield one


def order(made: World, number: str, price: str, quantity: int = 1) -> None:
    made.shop.execute("INSERT INTO orders VALUES (%s, 'c', 's', '2026-03-29 12:00+00', 'EUR', 'placed')", (number,))
    made.shop.execute("INSERT INTO order_items VALUES (%s, 1, 'a', 'b', %s, %s)", (number, quantity, price))


def fill(made: World, name: str) -> None:
    """More changes than a batch has."""
    made.shop.execute(
        f"INSERT INTO customers SELECT '{name}' || n, 'n', 'Italy', '', 'Bari' FROM generate_series(1, 150) n".encode()
    )


def test_it_is_visible_whole(made: World) -> None:
    log, dataflow = made.engine.machinery.log, made.engine.machinery.dataflow
    before = log.complete_epoch
    seen: set[int] = set()
    with made.shop.transaction():
        for number in range(200):
            order(made, f"o{number}", "1.00")

    def is_folded() -> bool:
        seen.add(dataflow.table_count("shop.orders"))
        return 201 in seen

    made.turn_until(is_folded, "it is folded")
    assert seen <= {1, 201}
    assert log.complete_epoch - before >= 4
    made.catch_up()
    made.require_exact()


def test_a_model_that_could_not_bear_what_stood_amid_it_goes_on(made: World) -> None:
    with made.shop.transaction():
        order(made, "one", GREATEST)
        fill(made, "a")
        order(made, "two", GREATEST)
        fill(made, "b")
        made.shop.execute("UPDATE order_items SET unit_price = 5 WHERE order_id = 'two'")
        made.shop.execute("DELETE FROM order_items WHERE order_id = 'one'")
        fill(made, "c")
    made.catch_up()
    made.require_exact()
    made.close(checkpoint=True)
    made.open()
    made.catch_up()
    made.require_exact()


def test_a_model_that_cannot_bear_its_end_stands_still_until_it_can(made: World) -> None:
    with made.shop.transaction():
        order(made, "one", GREATEST)
        fill(made, "a")
        order(made, "two", GREATEST)
        fill(made, "b")
    made.turn_until(lambda: "top_sales_by_city" in made.engine.holds.models, "the model is halted")
    made.require_audited()
    made.shop.execute(
        "UPDATE order_items SET unit_price = 5 WHERE order_id = 'two'; DELETE FROM order_items WHERE order_id = 'one'"
    )
    made.turn_until(lambda: made.engine.machinery.dataflow.table_count("shop.order_items") == 2, "the correction is folded")
    made.close()
    made.open()
    made.catch_up()
    made.require_exact()


def test_a_row_that_no_table_can_take_leaves_nothing_of_its_transaction(made: World) -> None:
    with made.shop.transaction():
        fill(made, "a")
        order(made, "good", "1.00")
        fill(made, "b")
        order(made, "bad", "1.00", -(2**63))
        fill(made, "c")
    states = made.engine.machinery.readers
    made.turn_until(lambda: states["shop"].state.status is Status.HALTED, "the source is halted")
    assert "stands for NULL inside" in states["shop"].state.error
    assert made.engine.machinery.dataflow.table_count("shop.orders") == 1
    made.inbox.write("a.csv", [("b1", "2026-03-29", "Italy", "Lazio", "Roma", "s", "Ada", "1.00", "EUR")])
    made.read_files()
    made.turn_until(made.is_still, "the other sources go on")
    made.require_audited()
    made.shop.execute("UPDATE order_items SET quantity = 2 WHERE order_id = 'bad'")
    made.resync("shop")
    made.catch_up()
    made.require_exact()


def test_a_table_that_changes_its_columns_and_back_amid_it_is_read_anew(made: World) -> None:
    with made.shop.transaction():
        fill(made, "a")
        made.shop.execute("ALTER TABLE customers RENAME COLUMN city TO town")
        fill(made, "b")
        made.shop.execute("ALTER TABLE customers RENAME COLUMN town TO city")
        fill(made, "c")
        order(made, "after", "1.00")
        fill(made, "d")
    made.turn_until(lambda: made.engine.machinery.dataflow.table_count("shop.customers") == 601, "the table is read anew")
    made.catch_up()
    made.require_exact()
