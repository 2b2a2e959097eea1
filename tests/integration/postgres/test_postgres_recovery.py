"""Crashes in the middle of a copy, requested copies, and servers or slots that are not what they were."""

import json
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.conftest import Postgres
from tests.integration.postgres.conftest import CREATE_ORDERS, Shop
from tests.integration.postgres.debian import DebianServer
from tests.integration.postgres.replica import Replica, catch_up, follow
from tests.polling import until
from topline.changes import Sweep, TableChanges
from topline.errors import SourceHalted, TransientError
from topline.schema import Type
from topline.sources.base import Resume
from topline.sources.postgres import resync_memory
from topline.sources.postgres.snapshot import Copier


@pytest.fixture
def shop(postgres: Postgres, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(postgres.dsn("shop"), tmp_path)
    yield made
    made.drop()


def two_tables(shop: Shop) -> None:
    shop.run("CREATE TABLE items (id int PRIMARY KEY, n int)", "INSERT INTO items SELECT n, n FROM generate_series(1, 100) n")
    shop.declare("items", {"id": Type.BIGINT, "n": Type.BIGINT}, ("id",))


def ids(replica: Replica, table: str = "shop.orders") -> list[int]:
    return [row[0] for row in replica.table(table)]


def copied_tables(replica: Replica) -> list[str]:
    parts = [part for batch in replica.batches if batch.copying for part in batch.parts]
    return sorted({part.table for part in parts if isinstance(part, TableChanges)})


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


def drop_slot(shop: Shop) -> None:
    until(lambda: shop.value(f"SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{shop.slot}'"))
    shop.run(f"SELECT pg_drop_replication_slot('{shop.slot}')")


def test_a_dropped_slot_halts_and_a_full_resync_recovers(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    drop_slot(orders)
    orders.run("DELETE FROM orders WHERE id = 1")
    with pytest.raises(SourceHalted, match=r"slot shop_\d+ is gone.*topline resync shop"):
        orders.source().open(replica.resume)
    replica.memory.update({key: value for key, value in source.resync(None, replica.resume).items() if value is not None})
    catch_up(orders.source(), replica)
    assert ids(replica) == [2, 3]


def test_a_slot_dropped_while_running_halts(orders: Shop) -> None:
    source, _ = orders.caught_up(heartbeat=0.1)
    orders.run(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    drop_slot(orders)
    with pytest.raises((SourceHalted, TransientError)):
        until(lambda: source.read(10, 0.05) and False)


@pytest.mark.system
def test_a_slot_that_the_server_gave_up_halts_and_a_full_resync_replaces_it(debian: DebianServer, tmp_path: Path) -> None:
    lost = Shop(debian.dsn("lost"), tmp_path)
    two_tables(lost)
    source, replica = lost.caught_up()
    source.close()
    lost.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()", "DELETE FROM items WHERE id > 2")

    def given_up() -> bool:
        lost.run("SELECT pg_logical_emit_message(false, 'test', 'x')", "SELECT pg_switch_wal()", "CHECKPOINT")
        return bool(lost.value(f"SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = '{lost.slot}'"))

    until(given_up, timeout=30)
    with pytest.raises(SourceHalted, match=r"is lost \(max_slot_wal_keep_size\?\).*topline resync shop"):
        lost.source().open(replica.resume)
    lost.run("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
    replica.memory.update({key: value for key, value in source.resync(None, replica.resume).items() if value is not None})
    catch_up(lost.source(), replica)
    assert ids(replica, "shop.items") == [1, 2]
    lost.drop()


def test_a_dropped_table_halts_and_is_named_until_it_is_back(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    orders.run("ALTER TABLE orders RENAME TO away")
    source.close()
    with pytest.raises(SourceHalted, match=r'shop.orders \("public"."orders"\): the table does not exist'):
        orders.source().open(replica.resume)
    orders.run("CREATE TABLE orders AS SELECT * FROM away WHERE id = 1; ALTER TABLE orders ADD PRIMARY KEY (id)")
    catch_up(orders.source(), replica)
    assert ids(replica) == [1]


def test_a_slot_moved_by_another_reader_halts(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    until(lambda: orders.value(f"SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{orders.slot}'"))
    orders.run(f"SELECT pg_replication_slot_advance('{orders.slot}', pg_current_wal_lsn())")
    with pytest.raises(SourceHalted, match=r"moved to .* by somebody else"):
        orders.source().open(replica.resume)


def test_a_slot_of_another_plugin_is_left_alone(orders: Shop) -> None:
    orders.run(f"SELECT pg_create_physical_replication_slot('{orders.slot}')")
    with pytest.raises(SourceHalted, match="is another's"):
        orders.source().open(Resume())


def test_a_second_reader_of_the_slot_waits(orders: Shop) -> None:
    orders.caught_up()
    with pytest.raises(TransientError, match="in use by the server process"):
        orders.source().open(Resume())


def test_another_server_halts_and_a_full_resync_takes_it(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    known = json.loads(replica.memory["server"])
    replica.memory["server"] = json.dumps({**known, "system": "42"}).encode()
    replica.rows["shop.orders"][(99,)] = ((99, "from the other server", "1.00", None), "", 5)
    until(lambda: orders.value("SELECT count(*) = 0 FROM pg_replication_slots WHERE active"))
    with pytest.raises(SourceHalted, match=r"system identifier .* known is 42"):
        orders.source().open(replica.resume)
    replica.memory.update({key: value for key, value in source.resync(None, replica.resume).items() if value is not None})
    again = orders.source()
    catch_up(again, replica)
    assert ids(replica) == [1, 2, 3]
    orders.run("TRUNCATE orders; INSERT INTO orders VALUES (7, 'Bari', 1, NULL)")
    orders.follow(again, replica)
    assert ids(replica) == [7]
    assert json.loads(replica.memory["server"])["system"] == known["system"]


def test_a_lost_connection_is_transient_and_the_next_open_goes_on(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    orders.run(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    with pytest.raises(TransientError):
        until(lambda: source.read(10, 0.05) and False)
    catch_up(source, replica)
    assert ids(replica) == [1, 2, 3, 4]


def test_a_server_that_does_not_answer_is_transient(orders: Shop) -> None:
    nobody = orders.source(dsn="host=127.0.0.1 port=1 dbname=none connect_timeout=2")
    with pytest.raises(TransientError, match="connecting to shop"):
        nobody.open(Resume())
    assert "cannot connect" in nobody.check()[0].problem


def test_an_idle_slot_goes_on_with_the_log_of_others(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    confirmed = f"SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = '{orders.slot}'"
    before = orders.value(confirmed)
    orders.run("CREATE TABLE noise AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
    target = orders.value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")

    def went_on() -> bool:
        if (batch := source.read(1000, 0.05)) is not None:
            assert not batch.parts
            replica.apply(batch)
            source.acknowledge(replica.positions)
        return bool(orders.value(confirmed) >= target)

    until(went_on)
    assert target - before > 2_000_000


def test_what_is_not_acknowledged_is_not_confirmed(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    confirmed = f"SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = '{orders.slot}'"
    before = until(lambda: orders.value(confirmed))
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    orders.follow(source, replica, confirm=False)
    for _ in range(10):
        source.read(10, 0.02)
    assert orders.value(confirmed) == before
    source.acknowledge(replica.positions)
    assert until(lambda: orders.value(confirmed) > before)


def test_a_walsender_killed_by_the_server_names_what_happened(orders: Shop) -> None:
    source, _ = orders.caught_up()
    orders.run(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    with pytest.raises(TransientError, match=r"terminating connection|server ended|closed"):
        until(lambda: source.read(10, 0.05) and False)


def test_close_may_come_at_any_time_and_twice(orders: Shop) -> None:
    source = orders.source()
    source.close()
    source.open(Resume())
    source.close()
    source.close()
    with pytest.raises(TransientError, match="not open"):
        source.read(1, 0)


def test_a_transaction_that_stays_open_delays_the_copy_with_a_clear_message(orders: Shop) -> None:
    with psycopg.connect(orders.dsn) as other:
        other.execute("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
        hurried = orders.source(dsn=make_conninfo(orders.dsn, options="-c lock_timeout=100ms"))
        with pytest.raises(TransientError, match=r"waits for transactions that were open.*pg_stat_activity"):
            hurried.open(Resume())
    replica = orders.replica()
    catch_up(orders.source(), replica)
    assert ids(replica) == [1, 2, 3, 4]


def test_a_copy_that_was_read_but_never_committed_does_not_move_the_slot(orders: Shop) -> None:
    """What a crash throws away must still be in the slot: the stream behind the copy begins later than what is committed."""
    source, replica = orders.caught_up()
    source.close()
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    stood = orders.value(f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    again = orders.source()
    again.open(Resume(replica.positions, {**replica.memory, **{k: v for k, v in resync_memory("orders").items() if v}}))
    until(lambda: again.read(1000, 0.05) is None and again.reached_end(), timeout=20)
    again.close()
    moved = orders.value(f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    assert moved == stood


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
