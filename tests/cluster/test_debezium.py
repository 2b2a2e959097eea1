"""A company sells in three ways; its shop's sales come through Debezium and Kafka. The rankings are those of its ledger."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
import yaml

from tests.cluster.connect import debezium
from tests.cluster.stack import Stack
from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project
from topline.cli.running import Session, session
from topline.config import load_project
from topline.embedded.partner import book_of
from topline.generate import Generator, Options, compare

pytestmark = pytest.mark.cluster
TABLES = ("customers", "salesmen", "orders", "order_items")
QUICK = (
    "TOPLINE_SOURCES__PARTNER__EVERY=0.1",
    "TOPLINE_SOURCES__BRANCHES__SETTLE=0.05",
    "TOPLINE_SOURCES__BRANCHES__POLL=0.05",
)
RATE = 100.0
Format = Literal["json", "avro"]


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
        _configure(made, stack, wire)
        yield made


@pytest.fixture
def generator(project: TestProject, stack: Stack, wire: Format) -> Iterator[Generator]:
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
    registry = stack.registry.own_url if wire == "avro" else ""
    tables = [f"public.{table}" for table in TABLES]
    stack.connect.put(f"shop-{wire}", debezium(embedded_dsn(project, "shop"), wire, tables, registry))
    until(lambda: stack.connect.states(f"shop-{wire}") == ["RUNNING", "RUNNING"], timeout=60, what="the connector runs")
    yield made
    made.stop()
    stack.connect.delete(f"shop-{wire}")


def _configure(project: TestProject, stack: Stack, wire: Format) -> None:
    path = project.folder / "topline.yml"
    written: dict[str, Any] = yaml.safe_load(path.read_text())
    registry = {"registry": {"url": stack.registry.url}} if wire == "avro" else {}
    written["kafka"] = {"brokers": stack.kafka.bootstrap, "format": wire, **registry}
    written["sources"]["shop"] = {"kind": "kafka", "tables": {table: f"{wire}.public.{table}" for table in TABLES}}
    path.write_text(yaml.safe_dump(written))


@contextmanager
def engine(project: TestProject) -> Iterator[Session]:
    """An engine that runs meanwhile, in a thread."""
    with session(load_project(project.folder)) as running:
        stop = threading.Event()
        thread = threading.Thread(target=running.run, args=(stop.is_set,))
        thread.start()
        try:
            yield running
        finally:
            stop.set()
            thread.join(60)


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
