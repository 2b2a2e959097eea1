"""Crashes in the middle of a copy, requested copies, and servers or slots that are not what they were."""

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.conftest import Postgres
from tests.integration.postgres.conftest import CREATE_ORDERS, Shop, two_tables
from tests.integration.postgres.replica import catch_up, copied_tables, follow, ids
from tests.polling import until
from topline.changes import Sweep, TableChanges
from topline.errors import TransientError
from topline.schema import Type
from topline.sources.postgres import resync_memory
from topline.sources.postgres.snapshot import Copier


@pytest.fixture
def shop(postgres: Postgres, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(postgres.dsn("shop"), tmp_path)
    yield made
    made.drop()


@pytest.mark.parametrize("steps", range(9))
def test_a_crash_anywhere_in_the_copy_loses_and_doubles_nothing(orders: Shop, steps: int) -> None:
    two_tables(orders)
    source, replica = orders.source(copy_rows=30), orders.replica()
    source.open(replica.resume)
    for _ in range(steps):
        if (batch := source.read(1000, 0.05)) is not None:
            replica.apply(batch)
    source.close()
    orders.run(
        "DELETE FROM orders WHERE id = 1; DELETE FROM items WHERE id <= 50",
        "INSERT INTO orders VALUES (4, 'Bari', 1, NULL); UPDATE items SET n = -1 WHERE id = 99",
    )
    again = orders.source(copy_rows=30)
    until(lambda: orders.value("SELECT count(*) = 0 FROM pg_replication_slots WHERE active"))
    catch_up(again, replica)
    assert ids(replica) == [2, 3, 4]
    assert replica.table("shop.items") == [(n, -1 if n == 99 else n) for n in range(51, 101)]
    assert replica.batches[-1].copying is False


def test_a_copied_table_is_not_copied_again_when_another_was_not_finished(orders: Shop) -> None:
    two_tables(orders)
    source, replica = orders.source(copy_rows=50), orders.replica()
    source.open(replica.resume)
    while b'"done": true' not in replica.memory.get("table:orders", b""):
        batch = source.read(1000, 0.05)
        assert batch is not None
        replica.apply(batch)
    source.close()
    replica.batches.clear()
    catch_up(orders.source(), replica)
    assert copied_tables(replica) == ["shop.items"]
    assert len(replica.table("shop.items")) == 100


def test_changes_during_the_copy_are_not_applied_twice(orders: Shop) -> None:
    source, replica = orders.source(copy_rows=1), orders.replica()
    source.open(replica.resume)
    orders.run("UPDATE orders SET id = id + 10 WHERE id = 3", "DELETE FROM orders WHERE id = 1")
    while not source.reached_end():
        if (batch := source.read(1000, 0.05)) is not None:
            replica.apply(batch)
    orders.follow(source, replica)
    assert ids(replica) == [2, 13]


def test_a_requested_copy_retracts_what_it_does_not_see(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    orders.follow(source, replica)
    requested = source.resync("orders", replica.resume)
    source.close()
    assert requested == resync_memory("orders")
    orders.run(  # a row goes without a trace in the log that we read
        "ALTER PUBLICATION topline_shop DROP TABLE orders; DELETE FROM orders WHERE id IN (1, 4); "
        "ALTER PUBLICATION topline_shop ADD TABLE orders"
    )
    replica.memory.update({key: value for key, value in requested.items() if value is not None})
    replica.batches.clear()
    catch_up(orders.source(), replica)
    assert ids(replica) == [2, 3]
    assert copied_tables(replica) == ["shop.orders"]
    assert any(isinstance(part, Sweep) for batch in replica.batches for part in batch.parts)


def test_a_table_that_left_the_publication_meanwhile_is_copied_again(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    orders.run("ALTER PUBLICATION topline_shop DROP TABLE orders; DELETE FROM orders WHERE id = 1")
    catch_up(orders.source(), replica)
    assert ids(replica) == [2, 3]


def test_a_table_made_anew_is_copied_again(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    orders.run("CREATE TABLE other AS SELECT * FROM orders WHERE id > 1; DROP TABLE orders; ALTER TABLE other RENAME TO orders")
    orders.run("ALTER TABLE orders ADD PRIMARY KEY (id)")
    catch_up(orders.source(), replica)
    assert ids(replica) == [2, 3]


def test_a_table_made_anew_is_copied_again_from_a_publication_of_all_tables_too(orders: Shop) -> None:
    orders.run("CREATE PUBLICATION every FOR ALL TABLES")
    source, replica = orders.caught_up(publication="every")
    source.close()
    orders.run("DROP TABLE orders", CREATE_ORDERS)
    catch_up(orders.source(publication="every"), replica)
    assert ids(replica) == []


def test_what_was_committed_before_a_later_copy_is_not_consistent_with_it(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    two_tables(orders)
    wider = orders.replica()
    wider.rows["shop.orders"], wider.positions, wider.memory = replica.rows["shop.orders"], replica.positions, replica.memory
    catch_up(orders.source(), wider)
    parts = [(batch, part) for batch in wider.batches for part in batch.parts if part.table == "shop.orders"]
    [streamed] = [batch for batch, part in parts if isinstance(part, TableChanges)]
    assert streamed.copying is True
    assert wider.batches[-1].copying is False


def test_a_table_that_leaves_the_publication_while_running_is_noticed(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    orders.run("ALTER PUBLICATION topline_shop DROP TABLE orders")
    with pytest.raises(TransientError, match="no longer in the publication"):
        until(lambda: source.read(10, 0.05) and False)
    catch_up(source, replica)
    assert ids(replica) == [1, 2, 3]


def test_a_table_declared_later_is_published_and_copied(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    two_tables(orders)
    wider = orders.replica()
    wider.rows["shop.orders"], wider.positions, wider.memory = replica.rows["shop.orders"], replica.positions, replica.memory
    source, replica = orders.source(), wider
    catch_up(source, replica)
    assert copied_tables(replica) == ["shop.items"]
    orders.run("DELETE FROM items WHERE id > 1", "DELETE FROM orders WHERE id > 1")
    orders.follow(source, replica)
    assert (ids(replica), ids(replica, "shop.items")) == ([1], [1])


def test_a_table_no_longer_declared_leaves_the_publication_and_is_copied_if_it_comes_back(orders: Shop) -> None:
    two_tables(orders)
    source, replica = orders.caught_up()
    source.close()
    items = orders.schemas.pop("items")
    source = orders.source()
    catch_up(source, replica)
    source.close()
    assert (
        orders.value("SELECT string_agg(tablename, ',') FROM pg_publication_tables WHERE pubname = 'topline_shop'") == "orders"
    )
    orders.run("DELETE FROM items WHERE id > 3")
    orders.schemas["items"] = items
    catch_up(orders.source(), replica)
    assert ids(replica, "shop.items") == [1, 2, 3]


REWRITES = [
    pytest.param("amount TYPE numeric(12,0)", "11", id="fewer decimals"),
    pytest.param("amount TYPE numeric(12,4)", "10.5000", id="more decimals"),
    pytest.param("amount TYPE real USING amount * 2", "21", id="a float"),
    pytest.param("amount TYPE text USING amount || ' EUR'", "10.50 EUR", id="a text"),
]


@pytest.mark.parametrize(("change", "amount"), REWRITES)
def test_a_column_rewritten_under_another_type_is_copied_again(orders: Shop, change: str, amount: str) -> None:
    source, replica = orders.caught_up()
    orders.run(f"ALTER TABLE orders ALTER {change}", "INSERT INTO orders VALUES (4, 'a', NULL, NULL)")
    with pytest.raises(TransientError, match="the type of amount was changed; the table is copied again"):
        orders.follow(source, replica)
    catch_up(source, replica)
    assert replica.table("shop.orders")[0][2] == amount
    assert ids(replica) == [1, 2, 3, 4]


def test_a_column_rewritten_while_nobody_read_is_copied_again(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    orders.run("ALTER TABLE orders ALTER amount TYPE numeric(12,0)")
    catch_up(orders.source(), replica)
    assert [row[2] for row in replica.table("shop.orders")] == ["11", "7", None]


@pytest.mark.parametrize("change", ["amount TYPE numeric(20,2)", "city TYPE varchar(99)"])
def test_a_column_that_only_gets_wider_is_not_copied_again(orders: Shop, change: str) -> None:
    source, replica = orders.caught_up()
    replica.batches.clear()
    orders.run(f"ALTER TABLE orders ALTER {change}", "INSERT INTO orders VALUES (4, 'a', 1, NULL)")
    orders.follow(source, replica)
    source.close()
    catch_up(orders.source(), replica)
    assert ids(replica) == [1, 2, 3, 4]
    assert copied_tables(replica) == []


def test_a_column_rewritten_in_a_table_that_nobody_changes_is_noticed(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    orders.run("ALTER TABLE orders ALTER amount TYPE numeric(12,0)")
    with pytest.raises(TransientError, match="the type of amount was changed"):
        until(lambda: source.read(10, 0.05) and False)
    catch_up(source, replica)
    assert [row[2] for row in replica.table("shop.orders")] == ["11", "7", None]


def partitioned(shop: Shop) -> None:
    shop.run(
        "CREATE TABLE sales (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
        "CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE sales_2 PARTITION OF sales FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        "INSERT INTO sales VALUES (1, '2026-01-01'), (2, '2026-02-01')",
    )
    shop.declare("sales", {"id": Type.BIGINT, "day": Type.DATE}, ("id", "day"))


REGROUPINGS = [
    pytest.param("DROP TABLE sales_1", [2], id="dropped"),
    pytest.param("ALTER TABLE sales DETACH PARTITION sales_2", [1], id="detached"),
    pytest.param("TRUNCATE sales_1", [2], id="emptied"),
    pytest.param(
        "CREATE TABLE sales_3 (LIKE sales); INSERT INTO sales_3 VALUES (3, '2026-03-01'); "
        "ALTER TABLE sales ATTACH PARTITION sales_3 FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
        [1, 2, 3],
        id="attached",
    ),
]


@pytest.mark.parametrize(("change", "left"), REGROUPINGS)
@pytest.mark.parametrize("while_reading", [True, False])
def test_a_table_whose_partitions_changed_is_copied_again(
    shop: Shop, change: str, left: list[int], while_reading: bool
) -> None:
    partitioned(shop)
    source, replica = shop.caught_up(heartbeat=0.1)
    if not while_reading:
        source.close()
    shop.run(change)
    if while_reading:
        with pytest.raises(TransientError, match="a partition was attached, detached, dropped or emptied"):
            until(lambda: source.read(10, 0.05) and False)
    catch_up(source, replica)
    assert ids(replica, "shop.sales") == left


def test_a_partition_made_later_needs_no_copy_and_its_end_is_noticed(shop: Shop) -> None:
    partitioned(shop)
    source, replica = shop.caught_up(heartbeat=0.1)
    replica.batches.clear()
    before = dict(replica.memory)
    shop.run("CREATE TABLE sales_3 PARTITION OF sales FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')")
    follow(source, replica, lambda: replica.memory != before)
    shop.run("INSERT INTO sales VALUES (3, '2026-03-01')")
    shop.follow(source, replica)
    assert ids(replica, "shop.sales") == [1, 2, 3]
    assert copied_tables(replica) == []
    source.close()
    shop.run("DROP TABLE sales_3")
    catch_up(shop.source(), replica)
    assert ids(replica, "shop.sales") == [1, 2]


def test_a_snapshot_whose_connection_was_lost_is_taken_anew(orders: Shop) -> None:
    """Between a slot and the copy from its snapshot, the connection that keeps the snapshot may go."""
    with psycopg.connect(orders.dsn) as keeper:
        row = keeper.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
    with pytest.raises(TransientError, match="the snapshot to copy from is gone"):
        Copier(orders.dsn, row[0], {}, ZoneInfo("UTC"))
