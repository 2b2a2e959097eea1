"""A source that a person must make ready goes on by itself once that is done; partitions whose keys are their own."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.postgres.conftest import Shop
from tests.integration.postgres.replica import Replica, catch_up
from tests.polling import until
from topline.schema import Type
from topline.sources.base import Source
from topline.sources.reader import Reader, Status


@contextmanager
def reading(source: Source, replica: Replica) -> Iterator[Reader]:
    """The source in its thread, as the engine runs it."""
    reader = Reader(source, lambda: replica.resume, max_rows=1000, queue_rows=2000)
    reader.start()
    yield reader
    assert reader.stop()


def taken(reader: Reader, replica: Replica) -> bool:
    """True once the source has given all that it held."""
    if (batch := reader.get(0.05)) is not None:
        replica.apply(batch)
        reader.acknowledge(batch.positions)
    return reader.reached_end


def test_a_table_that_is_missing_at_first_is_copied_once_it_is_there(orders: Shop) -> None:
    orders.declare("items", {"id": Type.BIGINT}, ("id",))
    replica = orders.replica()
    with reading(orders.source(), replica) as reader:
        until(lambda: reader.state.status is Status.HALTED, timeout=30)
        assert 'shop.items ("public"."items"): the table does not exist' in reader.state.error
        orders.run("CREATE TABLE items (id int PRIMARY KEY)", "INSERT INTO items VALUES (7)")
        until(lambda: taken(reader, replica), timeout=60)
        assert reader.state.status is Status.RUNNING
        assert reader.state.error == ""
    assert replica.table("shop.items") == [(7,)]
    assert len(replica.table("shop.orders")) == 3


def test_a_source_that_is_never_made_ready_stays_halted_to_the_end(orders: Shop) -> None:
    orders.declare("items", {"id": Type.BIGINT}, ("id",))
    with reading(orders.source(), orders.replica()) as reader:
        until(lambda: reader.state.status is Status.HALTED, timeout=30)
    assert reader.state.status is Status.HALTED
    assert "the table does not exist" in reader.state.error


PARTITIONED = [
    pytest.param("id int, day date", "PRIMARY KEY (id, day)", id="the same key"),
    pytest.param("id int, day date", "PRIMARY KEY (id)", id="another key"),
    pytest.param("id int NOT NULL, day date NOT NULL", "UNIQUE (id, day)", id="only unique"),
]


@pytest.mark.parametrize(("columns", "own"), PARTITIONED)
def test_the_remedy_for_partitions_with_keys_of_their_own_is_one_that_the_server_takes(
    shop: Shop, columns: str, own: str
) -> None:
    shop.run(
        f"CREATE TABLE sales ({columns}) PARTITION BY RANGE (day)",
        f"CREATE TABLE sales_1 PARTITION OF sales ({own}) FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        f"CREATE TABLE sales_2 PARTITION OF sales ({own}) FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        "INSERT INTO sales VALUES (1, '2026-01-05'), (2, '2026-02-05')",
    )
    shop.declare("sales", {"id": Type.BIGINT, "day": Type.DATE}, ("id", "day"))
    for _ in range(2):
        for fault in shop.source().check():
            shop.run(fault.remedy)
    assert shop.source().check() == []
    source, replica = shop.caught_up()
    shop.run("UPDATE sales SET id = 9 WHERE id = 1", "DELETE FROM sales WHERE id = 2")
    shop.follow(source, replica)
    assert [row[0] for row in replica.table("shop.sales")] == [9]


def test_a_key_without_the_column_that_parts_the_table_is_not_asked_of_the_server(shop: Shop) -> None:
    shop.run(
        "CREATE TABLE sales (id int, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE sales_1 PARTITION OF sales (PRIMARY KEY (id)) FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    )
    shop.declare("sales", {"id": Type.BIGINT, "day": Type.DATE}, ("id",))
    [fault] = shop.source().check()
    assert "declare the key [id, day]" in fault.remedy
    shop.declare("sales", {"id": Type.BIGINT, "day": Type.DATE}, ("id", "day"))
    catch_up_after_remedies(shop)


def catch_up_after_remedies(shop: Shop) -> None:
    for fault in shop.source().check():
        shop.run(fault.remedy)
    catch_up(shop.source(), shop.replica())
