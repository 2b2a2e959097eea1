"""What is altered at the server while the source reads: its publication, its table, its way of committing."""

import pytest

from tests.integration.postgres.conftest import CREATE_ORDERS, Shop
from tests.integration.postgres.replica import Replica, catch_up
from tests.polling import until
from topline.errors import SourceNotReady, TransientError
from topline.sources.base import Source

ALTERED = [
    pytest.param("SET TABLE orders WHERE (id > 100)", "filters rows or columns", id="row filter"),
    pytest.param("SET TABLE orders (id, city)", "filters rows or columns", id="columns"),
    pytest.param("SET (publish = 'insert')", "leaves some operations out", id="operations"),
]
MENDED = ["SET TABLE orders", "SET (publish = 'insert, update, delete, truncate')"]


def ids(replica: Replica) -> list[int]:
    return [row[0] for row in replica.table("shop.orders")]


def fails(source: Source, message: str) -> None:
    with pytest.raises(TransientError, match=message):
        until(lambda: source.read(10, 0.05) and False)


@pytest.mark.parametrize(("change", "problem"), ALTERED)
def test_a_publication_that_is_narrowed_halts_and_what_it_left_out_is_copied_once_it_is_mended(
    orders: Shop, change: str, problem: str
) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    orders.run(f"ALTER PUBLICATION topline_shop {change}")
    fails(source, "the publication topline_shop was changed for orders")
    with pytest.raises(SourceNotReady, match=problem):
        source.open(replica.resume)
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    orders.run("DELETE FROM orders WHERE id = 1")
    orders.run(*(f"ALTER PUBLICATION topline_shop {mended}" for mended in MENDED))
    catch_up(source, replica)
    assert ids(replica) == [2, 3, 4]


@pytest.mark.parametrize("while_reading", [True, False])
def test_a_publication_that_left_a_table_out_for_a_moment_has_it_copied_again(orders: Shop, while_reading: bool) -> None:
    """Out and in again before anybody looks: nothing but the membership's own number tells."""
    source, replica = orders.caught_up(heartbeat=0.1 if while_reading else 3600)
    if not while_reading:
        source.close()
    orders.run(
        "BEGIN; ALTER PUBLICATION topline_shop DROP TABLE orders; DELETE FROM orders WHERE id = 1; "
        "ALTER PUBLICATION topline_shop ADD TABLE orders; COMMIT"
    )
    if while_reading:
        fails(source, "the publication topline_shop was changed for orders")
    catch_up(source, replica)
    assert ids(replica) == [2, 3]


def test_a_publication_that_is_dropped_is_made_again_and_its_tables_are_copied(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    orders.run("DROP PUBLICATION topline_shop", "DELETE FROM orders WHERE id = 1")
    with pytest.raises((TransientError, SourceNotReady), match=r"no longer in the publication|publication .* does not exist"):
        until(lambda: source.read(10, 0.05) and False)
    catch_up(source, replica)
    assert ids(replica) == [2, 3]


def test_other_tables_in_the_publication_cost_no_copy(orders: Shop) -> None:
    orders.run("CREATE TABLE other (id int PRIMARY KEY)", "CREATE PUBLICATION made FOR TABLE orders")
    source, replica = orders.caught_up(publication="made", heartbeat=0.1)
    replica.batches.clear()
    orders.run("ALTER PUBLICATION made ADD TABLE other", "INSERT INTO other VALUES (1)", "INSERT INTO orders VALUES (4)")
    orders.follow(source, replica)
    source.close()
    catch_up(orders.source(publication="made"), replica)
    assert not any(batch.copying for batch in replica.batches)
    assert ids(replica) == [1, 2, 3, 4]


def test_a_table_that_is_dropped_and_made_anew_while_reading_is_copied(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    orders.run(f"BEGIN; DROP TABLE orders; {CREATE_ORDERS}; INSERT INTO orders VALUES (9, 'Bari', 1, NULL); COMMIT")
    fails(source, "no longer in the publication")
    catch_up(source, replica)
    assert ids(replica) == [9]


def test_a_table_that_is_renamed_away_while_reading_halts_and_is_followed_back(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    orders.run("ALTER TABLE orders RENAME TO away", "INSERT INTO away VALUES (4, 'Bari', 1, NULL)")
    fails(source, "renamed at the source: orders")
    with pytest.raises(SourceNotReady, match="the table does not exist"):
        source.open(replica.resume)
    orders.run("INSERT INTO away VALUES (5, 'Bari', 1, NULL)", "ALTER TABLE away RENAME TO orders")
    orders.run("INSERT INTO orders VALUES (6, 'Bari', 1, NULL)")
    replica.batches.clear()
    catch_up(source, replica)
    assert ids(replica) == [1, 2, 3, 4, 5, 6]
    assert not any(batch.copying for batch in replica.batches)


def test_a_primary_key_of_other_columns_is_refused_at_the_next_copy_and_its_rows_are_letters_until_then(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run(
        "UPDATE orders SET city = 'c' || id; ALTER TABLE orders DROP CONSTRAINT orders_pkey; "
        "ALTER TABLE orders ADD PRIMARY KEY (city)"
    )
    orders.run("DELETE FROM orders WHERE id = 1")
    orders.follow(source, replica)
    assert [letter.reason for letter in replica.letters] == ["the row came without its key"]
    assert "its key is (city), declared is" in source.check()[0].problem


def test_a_prepared_transaction_comes_when_it_is_committed_and_not_when_it_is_rolled_back(orders: Shop) -> None:
    if orders.value("SHOW max_prepared_transactions") == "0":
        return  # the embedded server takes none
    source, replica = orders.caught_up()
    orders.run("BEGIN; INSERT INTO orders VALUES (4, 'Bari', 1, NULL); PREPARE TRANSACTION 'a'")
    orders.run("BEGIN; INSERT INTO orders VALUES (5, 'Bari', 1, NULL); PREPARE TRANSACTION 'b'")
    orders.follow(source, replica)
    assert ids(replica) == [1, 2, 3]
    orders.run("COMMIT PREPARED 'a'", "ROLLBACK PREPARED 'b'")
    orders.follow(source, replica)
    assert ids(replica) == [1, 2, 3, 4]


def test_logical_messages_of_others_are_no_changes(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run(
        "BEGIN; SELECT pg_logical_emit_message(true, 'x', 'y'); INSERT INTO orders VALUES (4, 'Bari', 1, NULL); COMMIT",
        "SELECT pg_logical_emit_message(false, 'x', repeat('y', 100000))",
    )
    orders.follow(source, replica)
    assert ids(replica) == [1, 2, 3, 4]
    assert replica.letters == []


def test_a_thousand_tiny_transactions_and_as_many_nested_savepoints_come_in_order(orders: Shop) -> None:
    source, replica = orders.caught_up()
    for number in range(1000):
        orders.run(f"UPDATE orders SET city = '{number}' WHERE id = 1")
    nested = "; ".join(f"SAVEPOINT s{n}; UPDATE orders SET city = 's{n}' WHERE id = 2" for n in range(1000))
    orders.run(f"BEGIN; {nested}; ROLLBACK TO s500; RELEASE s499; COMMIT")
    orders.follow(source, replica)
    assert [row[1] for row in replica.table("shop.orders")] == ["999", "s499", ""]
