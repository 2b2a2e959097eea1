"""A company sells in three ways; its shop's sales come through Debezium and Kafka. The rankings are those of its ledger."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cluster.shop import TABLES, Format, configure
from tests.cluster.stack import Stack
from tests.networks.world import engine
from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project
from topline.embedded.partner import book_of
from topline.generate import Generator, Options, compare
from topline.ingest.connect import Connect
from topline.kafka.settings import Connect as ConnectSettings

pytestmark = pytest.mark.cluster
QUICK = (
    "TOPLINE_SOURCES__PARTNER__EVERY=0.1",
    "TOPLINE_SOURCES__BRANCHES__SETTLE=0.05",
    "TOPLINE_SOURCES__BRANCHES__POLL=0.05",
)
RATE = 100.0


@pytest.fixture(params=["json", "avro"])
def wire(request: pytest.FixtureRequest) -> Format:
    return "avro" if request.param == "avro" else "json"


@pytest.fixture
def project(tmp_path: Path, stack: Stack, wire: Format) -> Iterator[TestProject]:
    """The shipped project, with the shop behind Kafka."""
    made = new_project(tmp_path / "sales", QUICK)
    with made.server() as server:
        for database in ("shop", "ledger", "topline"):
            server.dsn(database)
        configure(made, stack, wire)
        yield made


@pytest.fixture
def generator(project: TestProject) -> Iterator[Generator]:
    """Its shop is captured from the start."""
    made = Generator(
        Options(
            shop_dsn=embedded_dsn(project, "shop"),
            folder=project.folder / "inbox",
            partner=book_of(project.folder / ".topline", "partner"),
            ledger_dsn=embedded_dsn(project, "ledger"),
            rate=RATE,
            history=300,
        )
    )
    made.prepare()
    project.call("debezium", "apply")
    yield made
    made.stop()
    project.call("debezium", "remove", "--forget")


def goes_on(generator: Generator, seconds: float) -> None:
    enough = generator.written + seconds * RATE
    until(lambda: generator.written >= enough, timeout=60)


def differences(project: TestProject) -> dict[str, list[str]]:
    return compare(embedded_dsn(project, "ledger"), embedded_dsn(project, "topline"), "topline", "Europe/Rome")


def test_a_shop_behind_kafka_is_exact_over_stops_of_the_engine(project: TestProject, generator: Generator) -> None:
    generator.start()
    for _ in range(2):
        with engine(project):
            goes_on(generator, 3)
        goes_on(generator, 1)
    generator.stop()
    with engine(project) as running:
        until(lambda: not any(differences(project).values()), timeout=90, every=0.5, what="the results are the ledger's")
        assert running.started.engine.counts.by_source["shop"] >= 0
    audited = project.json("audit", "--sources")
    assert [one for one in audited if not one["equal"]] == []
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        rejected = {str(row[0]) for row in connection.execute("SELECT DISTINCT source FROM topline.rejected_sales")}
    assert rejected == {"shop", "branches", "partner"}


def test_a_connector_that_is_not_as_it_should_be_is_shown_and_brought_back(project: TestProject, stack: Stack) -> None:
    with psycopg.connect(embedded_dsn(project, "shop"), autocommit=True) as connection:
        for table, columns in TABLES.items():
            connection.execute(f"CREATE TABLE {table} ({columns})".encode())
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
    assert "those that are: shop" in project.call("debezium", "apply", "branches", expect=2)
    other.close()
