"""Capture from a real server: the replica equals the source after whatever happened there."""

from tests.integration.postgres.conftest import Shop
from tests.integration.postgres.replica import Replica, catch_up
from topline.changes import Sweep, TableChanges
from topline.sources.base import Source

NOON = 1767268800000000  # 2026-01-01 12:00 UTC in microseconds
THREE = [(1, "Rome", "10.50", NOON), (2, "Oslo", "7.00", None), (3, "", None, None)]


def test_the_first_copy_brings_the_rows_and_the_stream_goes_on(orders: Shop) -> None:
    source, replica = orders.caught_up()
    assert replica.table("shop.orders") == THREE
    orders.run(
        "INSERT INTO orders VALUES (4, 'Bari', 1, NULL)",
        "UPDATE orders SET city = 'Roma' WHERE id = 1",
        "DELETE FROM orders WHERE id = 2",
    )
    orders.follow(source, replica)
    assert replica.table("shop.orders") == [(1, "Roma", "10.50", NOON), THREE[2], (4, "Bari", "1.00", None)]


def test_nothing_is_consistent_before_the_stream_has_passed_the_copy(orders: Shop) -> None:
    _, replica = orders.caught_up()
    copying = [batch.copying for batch in replica.batches]
    assert copying[0] is True
    assert copying[-1] is False
    assert sorted(copying, reverse=True) == copying


def test_a_restart_goes_on_where_it_stood_without_copying(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    again = orders.source()
    replica.batches.clear()
    catch_up(again, replica)
    assert replica.table("shop.orders")[-1] == (4, "Bari", "1.00", None)
    assert sum(len(batch) for batch in replica.batches) == 1
    assert not any(batch.copying for batch in replica.batches)


def test_an_unacknowledged_change_comes_again_and_at_the_same_position(orders: Shop) -> None:
    source, replica = orders.caught_up()
    resume = replica.resume
    orders.run("INSERT INTO orders SELECT n, 'Bari', n, NULL FROM generate_series(10, 19) n")
    first, second = orders.replica(), orders.replica()
    orders.follow(source, first, confirm=False)
    source.close()
    again = orders.source()
    again.open(resume)
    orders.follow(again, second)
    assert positions(first) == positions(second) != []


def positions(replica: Replica) -> list[tuple[int, int]]:
    parts = [part for batch in replica.batches for part in batch.parts if isinstance(part, TableChanges)]
    return [(int(hi), int(lo)) for part in parts for hi, lo in zip(part.hi, part.lo, strict=True)]


def test_a_large_transaction_comes_in_parts_that_complete_at_its_commit(orders: Shop) -> None:
    source, replica = orders.caught_up()
    replica.batches.clear()
    orders.run("INSERT INTO orders SELECT n, 'Bari', n, NULL FROM generate_series(10, 100009) n")
    orders.follow(source, replica, most=30_000)
    parts = [batch.complete for batch in replica.batches if len(batch)]
    assert parts == [False, False, False, True]
    assert len(replica.rows["shop.orders"]) == 100_003


def test_rollbacks_and_rolled_back_subtransactions_leave_nothing(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run(
        "BEGIN; INSERT INTO orders VALUES (8, 'no', 1, NULL); ROLLBACK",
        "BEGIN; INSERT INTO orders VALUES (9, 'yes', 1, NULL); SAVEPOINT s; UPDATE orders SET city = 'no'; "
        "ROLLBACK TO s; INSERT INTO orders VALUES (10, 'yes', 1, NULL); COMMIT",
    )
    orders.follow(source, replica)
    assert replica.table("shop.orders") == [*THREE, (9, "yes", "1.00", None), (10, "yes", "1.00", None)]


def test_truncate_empties_the_table_at_its_place_in_the_order(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run(
        "BEGIN; INSERT INTO orders VALUES (8, 'gone', 1, NULL); TRUNCATE orders; "
        "INSERT INTO orders VALUES (9, 'stays', 1, NULL); COMMIT"
    )
    orders.follow(source, replica)
    assert replica.table("shop.orders") == [(9, "stays", "1.00", None)]
    assert any(isinstance(part, Sweep) and part.partition is None for batch in replica.batches for part in batch.parts)


def test_a_changed_key_takes_the_old_row_away(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run("UPDATE orders SET id = id - 10")
    orders.follow(source, replica)
    assert [row[0] for row in replica.table("shop.orders")] == [-9, -8, -7]


def test_full_identity_gives_the_same(orders: Shop) -> None:
    orders.run("ALTER TABLE orders REPLICA IDENTITY FULL")
    source, replica = orders.caught_up()
    orders.run(
        "UPDATE orders SET id = 9 WHERE id = 1",
        "UPDATE orders SET city = 'Bari' WHERE id = 2",
        "DELETE FROM orders WHERE id = 3",
    )
    orders.follow(source, replica)
    assert replica.table("shop.orders") == [(2, "Bari", "7.00", None), (9, "Rome", "10.50", NOON)]


def test_positions_only_rise(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run("UPDATE orders SET id = id - 10", "INSERT INTO orders VALUES (9, 'Bari', 1, NULL)")
    orders.follow(source, replica)
    assert positions(replica) == sorted(positions(replica))
    assert max(positions(replica)) < replica.positions[""]


def test_current_gives_the_rows_of_now(orders: Shop) -> None:
    source: Source = orders.source()
    replica = orders.replica()
    ids = [row["id"] for table in source.current("orders") for row in table.to_pylist()]
    assert sorted(ids) == [1, 2, 3]
    assert replica.table("shop.orders") == []
