"""A company sells in three ways; its shop's sales come through Debezium and Kafka. The rankings are those of its ledger."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cluster.sales import Sales, sales
from tests.cluster.stack import Stack
from tests.networks.world import engine
from tests.project import embedded_dsn
from topline.ingest.connect import Connect
from topline.kafka.settings import Connect as ConnectSettings

pytestmark = pytest.mark.cluster


@pytest.fixture(params=["json", "avro"])
def company(request: pytest.FixtureRequest, tmp_path: Path, stack: Stack) -> Iterator[Sales]:
    """Its shop comes by Debezium, the others directly."""
    with sales(tmp_path / "sales", stack, request.param) as made:
        yield made


def test_a_shop_behind_kafka_is_exact_over_stops_of_the_engine(company: Sales) -> None:
    with company.debezium():
        company.generator.start()
        for _ in range(2):
            with engine(company.project):
                company.sell(3)
            company.sell(1)
        company.generator.stop()
        company.is_exact()
    audited = company.project.json("audit", "--sources")
    assert [one for one in audited if not one["equal"]] == []
    with psycopg.connect(embedded_dsn(company.project, "topline")) as connection:
        rejected = {str(row[0]) for row in connection.execute("SELECT DISTINCT source FROM topline.rejected_sales")}
    assert rejected == {"shop", "branches", "partner"}


@pytest.mark.parametrize("company", ["json"], indirect=True)
def test_a_connector_that_is_not_as_it_should_be_is_shown_and_brought_back(company: Sales, stack: Stack) -> None:
    project = company.project
    assert "it is not there" in project.call("debezium", "status", expect=1)
    project.call("debezium", "apply", "shop")
    [found] = project.json("debezium", "status")
    assert (found["running"], found["troubles"], found["drift"]) == (True, [], {})
    other = Connect(ConnectSettings(url=stack.connect.url), project.folder)
    config = other.config(found["connector"])
    assert config is not None
    other.put(found["connector"], {**config, "decimal.handling.mode": "double", "producer.override.sasl.jaas.config": "x"})
    shown = project.call("debezium", "status", expect=1)
    assert "decimal.handling.mode is 'double', topline.yml says 'string'" in shown
    assert "producer.override.sasl.jaas.config is '(hidden)', topline.yml says None" in shown
    project.call("debezium", "apply")
    [found] = project.json("debezium", "status")
    assert (found["running"], found["drift"]) == (True, {})
    removed = project.call("debezium", "remove", "--forget")
    assert "pg_drop_replication_slot('topline_shop_debezium')" in removed
    assert "it is not there" in project.call("debezium", "status", expect=1)
    assert "those that do: shop" in project.call("debezium", "apply", "branches", expect=2)
    other.close()
