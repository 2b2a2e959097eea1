"""Tables on their way through Debezium: topics before the first record, large values, rows read again, TRUNCATE."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.shop import Shop, changed, configure
from tests.cluster.stack import Stack
from tests.polling import until
from tests.project import new_project
from topline.kafka.topics import look

pytestmark = pytest.mark.cluster
LARGE = 20_000  # bytes of a value that PostgreSQL keeps apart from its row


@pytest.fixture
def shop(tmp_path: Path, stack: Stack) -> Iterator[Shop]:
    made = new_project(tmp_path / "sales")
    with made.server() as server:
        for database in ("shop", "ledger", "topline"):
            server.dsn(database)
        shop = Shop(made, stack.kafka.bootstrap, configure(made, stack, "json"))
        shop.create()
        yield shop
        made.call("debezium", "remove", "--forget")


def test_the_topics_are_there_before_the_first_record(shop: Shop) -> None:
    missing = shop.project.call("debezium", "status", expect=1)
    assert f"topic {shop.topic('orders')} is not there" in missing.replace("\n", " ")
    shop.project.call("debezium", "apply")
    topic = look(shop.client.admin(), [shop.topic("orders")], 10)[shop.topic("orders")]
    assert (topic.partitions, topic.settings["cleanup.policy"]) == (3, "compact")
    assert topic.settings["min.compaction.lag.ms"] == topic.settings["delete.retention.ms"] == "604800000"
    assert shop.events("orders") == []
    assert "sources.shop" not in shop.project.call("check", expect=None)


def test_a_topic_that_is_not_as_told_is_shown(shop: Shop) -> None:
    shop.project.call("debezium", "apply")
    with changed(shop.project.folder) as written:
        written["kafka"]["topics"] = {"partitions": 5, "compaction_lag_days": 1}
    shown = shop.project.call("debezium", "status", expect=1)
    assert f"topic {shop.topic('orders')}: partitions is '3', topline.yml says '5'" in shown
    assert f"topic {shop.topic('orders')}: delete.retention.ms is '604800000', topline.yml says '86400000'" in shown
    with changed(shop.project.folder) as written:
        written["kafka"]["topics"] = {"partitions": 5}
    shop.project.call("debezium", "apply")
    [found] = shop.project.json("debezium", "status")
    assert found["topics"][shop.topic("orders")] == {"partitions": {"wanted": "5", "found": "3"}}


def test_a_table_is_read_again_when_it_is_asked_for(shop: Shop) -> None:
    shop.sql("INSERT INTO salesmen SELECT 's' || n, 'Salesman ' || n FROM generate_series(1, 50) n")
    refused = shop.project.call("debezium", "signal", "shop", "salesmen", expect=1)
    assert "it is not there" in refused
    shop.project.call("debezium", "apply")
    until(lambda: len(shop.events("salesmen")) == 50, timeout=60, every=0.5)
    _forget(shop, "salesmen", {"salesman_id": "s7"})
    unknown = shop.project.call("debezium", "signal", "shop", "vans", expect=2)
    assert "shop has no table 'vans'; it has customers, order_items, orders, salesmen" in unknown
    shop.project.call("debezium", "signal", "shop", "salesmen")
    events = until(lambda: found if len(found := shop.events("salesmen")) >= 101 else None, timeout=90, every=0.5)
    again = [event for event in events[51:] if event.op == "r"]
    assert len(events) == 101
    assert [event.op for event in events if event.key == {"salesman_id": "s7"}] == ["r", "", "r"]
    assert {event.key["salesman_id"] for event in events if event.op == "r"} == {f"s{n}" for n in range(1, 51)}
    assert again


def _forget(shop: Shop, table: str, key: dict[str, str]) -> None:
    """A tombstone that the source did not send."""
    sender = shop.client.sender()
    sender.produce(shop.topic(table), None, json.dumps(key, separators=(",", ":")).encode())
    assert sender.flush(30) == 0


def test_a_large_value_that_an_update_left_as_it_was_is_in_its_record(shop: Shop) -> None:
    shop.project.call("debezium", "apply")
    name = secrets.token_hex(LARGE // 2)
    shop.sql(
        f"INSERT INTO customers VALUES ('c1', '{name}', 'IT', '', 'Rome')",
        "UPDATE customers SET city = 'Milan' WHERE customer_id = 'c1'",
    )
    events = until(lambda: found if len(found := shop.events("customers")) >= 2 else None, timeout=60, every=0.5)
    assert [(event.op, event.after) for event in events] == [
        (op, {"customer_id": "c1", "customer_name": name, "country": "IT", "region": "", "city": city})
        for op, city in (("c", "Rome"), ("u", "Milan"))
    ]


@pytest.mark.long
def test_a_table_that_was_emptied_by_truncate_stops_its_connector_by_name(shop: Shop) -> None:
    shop.project.call("debezium", "apply")
    shop.sql("INSERT INTO salesmen VALUES ('s1', 'Anna')")
    until(lambda: shop.events("salesmen"), timeout=60, every=0.5)
    shop.sql("TRUNCATE salesmen")
    [trouble] = until(lambda: shop.project.json("debezium", "status", expect=None)[0]["troubles"], timeout=240, every=1)
    assert trouble.startswith("task 0 FAILED: ")
    assert "without key" in trouble
    assert [event.op for event in shop.events("salesmen")] == ["c"]
