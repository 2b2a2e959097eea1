"""The models as a batch on Spark over topics: what it publishes is what their SQL gives from scratch, row for row."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer

import topline.cli.main
from tests.cluster.engines.company import Company, Wire, company
from tests.cluster.engines.feeding import Feed
from tests.cluster.stack import JARS, Stack
from tests.exact.engines import DuckTruth, Rows
from tests.exact.history import Histories, History
from tests.exact.shipped import SALES, sales_plan, specs
from tests.project import TestProject
from topline.kafka.events import UNAVAILABLE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
PLAN = sales_plan()
TABLES = specs(PLAN, SALES)
ROOT = Path(__file__).parents[2]


@dataclass
class World:
    """The shipped project with every table behind a topic. `expected`: what its models' SQL gives over the tables; `report`:
    what the last run said."""

    company: Company
    brokers: str
    report: Any = None

    @property
    def project(self) -> TestProject:
        return self.company.project

    @property
    def feed(self) -> Feed:
        return self.company.feed

    def drain(self, *arguments: str, expect: int = 0) -> None:
        self.report = self.project.json("run", "--engine", "spark", *arguments, expect=expect, env=self.company.env)

    def call(self, *arguments: str, expect: int = 0) -> str:
        shown: str = self.project.call("run", "--engine", "spark", *arguments, expect=expect, env=self.company.env)
        return shown

    @property
    def changed(self) -> dict[str, int]:
        return {one["model"]: one["changed"] for one in self.report["models"]}

    def found(self) -> dict[str, Rows]:
        return self.company.results()

    def expected(self) -> dict[str, Rows]:
        truth = DuckTruth(PLAN)
        try:
            return truth.rows(self.feed.truth.arrow())
        finally:
            truth.close()

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """In the schema of the results; its rows, if it has any."""
        with psycopg.connect(self.company.dsn, options=f"-c search_path={self.company.schema}") as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def epochs(self) -> dict[str, int]:
        """Model -> the epoch that its table shows; 0: none yet."""
        return {str(model): int(epoch) for model, epoch in self.sql("SELECT model, epoch FROM _topline_models")}

    def differences(self, *models: str) -> dict[str, str]:
        expected = self.expected()
        return self.company.differences({name: expected[name] for name in models or expected})


def history(seed: int, batches: int) -> History:
    return Histories(Random(seed), TABLES).history(batches)


@pytest.fixture(params=["json", "avro"])
def wire(request: pytest.FixtureRequest) -> Wire:
    found: Wire = request.param
    return found


@pytest.fixture
def world(tmp_path: Path, stack: Stack, wire: Wire) -> World:
    made = company(stack, tmp_path / "sales", ROOT / "sales", PLAN, TABLES, wire, toast=True)
    return World(made, stack.kafka.bootstrap)


# In JSON tests/cluster/test_engines.py has one, too.
@pytest.mark.parametrize("wire", [pytest.param("json", marks=pytest.mark.long), "avro"], indirect=True)
def test_a_random_history_is_exact_and_a_second_run_changes_nothing(world: World) -> None:
    world.feed.play(history(1, 6))
    world.drain()
    assert world.differences() == {}
    assert sum(world.changed.values()) == sum(rows.total() for rows in world.expected().values()) > 100
    world.drain()
    assert set(world.changed.values()) == {0}
    assert world.differences() == {}
    assert (world.report["epoch"], world.epochs()) == (2, dict.fromkeys(world.expected(), 2))


@pytest.mark.parametrize("wire", ["avro"], indirect=True)
def test_what_cannot_be_read_is_reported_and_what_changed_is_all_that_is_written(world: World) -> None:
    world.feed.play(history(2, 3))
    world.drain()
    before = world.expected()
    world.feed.play(history(3, 1))
    poisoned = _poison(world)
    _never_commit(world)
    world.drain("--strict", expect=1)
    assert world.differences() == {}
    assert world.changed == {name: _changed(name, before[name], rows) for name, rows in world.expected().items()}
    found = {(one["topic"], one["raw"]): one["reason"] for one in world.report["poison"]}
    assert found.keys() == {(topic, raw.decode("utf-8", "backslashreplace")) for topic, raw in poisoned}
    assert all(found.values())
    unreadable = {one["table"]: one["unreadable"] for one in world.report["tables"]}
    assert sum(unreadable.values()) == len(poisoned)


def _never_commit(world: World) -> None:
    """Rows of a transaction that is aborted, and of one that is still open when its producer dies."""
    topic, schema = world.feed.topic("partner.entries"), TABLES["partner.entries"].schema
    row = dict(zip(schema.names, next(iter(world.feed.truth.rows()["partner.entries"])), strict=True))
    key = world.feed.events.key(topic, schema, row)
    for number, ends in enumerate((True, False)):
        producer = Producer({"bootstrap.servers": world.brokers, "transactional.id": f"{world.feed.prefix}-{number}"})
        producer.init_transactions(60)
        producer.begin_transaction()
        producer.produce(topic, None, key)
        assert producer.flush(60) == 0
        if ends:
            producer.abort_transaction(60)


def _changed(model: str, before: Rows, after: Rows) -> int:
    """Keys whose row came, went, or is another."""
    schema = PLAN.models[model].schema
    places = [schema.names.index(name) for name in schema.key]
    return len({tuple(row[place] for place in places) for row in (before - after) + (after - before)})


def _poison(world: World) -> list[tuple[str, bytes]]:
    """Records under keys that have a row, each of which says nothing; the topic and the bytes at fault."""
    feed, events = world.feed, world.feed.events
    topic, schema = feed.topic("branches.sales"), TABLES["branches.sales"].schema
    row = next(iter(feed.truth.rows()["branches.sales"]))
    key = events.key(topic, schema, dict(zip(schema.names, row, strict=True)))
    values = [b"", b"\0\0\0\0\2\x00", b"\0\x7f\xff\xff\xff\x02", b'{"op": "u", "after": {}}', b"\xff" * 100]
    for value in values:
        events.raw(topic, key, value)
    events.raw(topic, b"no key", None)  # a tombstone of nobody knows what
    events.raw(feed.topic("shop.orders"), b"large", b"\0" * (5 << 20))
    events.flush()
    cut = b"\0" * (64 << 10)
    return [*((topic, value) for value in values), (topic, b"no key"), (feed.topic("shop.orders"), cut)]


@pytest.mark.parametrize("wire", ["json"], indirect=True)
def test_what_toast_left_out_comes_from_an_earlier_record_or_is_reported(world: World) -> None:
    world.feed.play(history(4, 1))
    events, topic, schema = world.feed.events, world.feed.topic("shop.salesmen"), TABLES["shop.salesmen"].schema
    events.put(
        topic, schema, [{"salesman_id": "known", "salesman_name": "Ann"}, {"salesman_id": "gone", "salesman_name": "Bob"}]
    )
    events.delete(topic, schema, [{"salesman_id": "gone"}])
    events.put(topic, schema, [{"salesman_id": one, "salesman_name": UNAVAILABLE} for one in ("known", "gone", "new", "known")])
    order = {"customer_id": "c", "ordered_at": datetime(2024, 5, 1, tzinfo=UTC), "currency": "EUR", "status": "placed"}
    place = {"customer_id": "c", "country": "IT", "city": "Rome"}
    events.put(world.feed.topic("shop.customers"), TABLES["shop.customers"].schema, [place])
    for one in ("known", "gone", "new"):
        line = {"order_id": one, "item_no": 1, "quantity": 1, "unit_price": "1"}
        events.put(
            world.feed.topic("shop.orders"), TABLES["shop.orders"].schema, [{**order, "order_id": one, "salesman_id": one}]
        )
        events.put(world.feed.topic("shop.order_items"), TABLES["shop.order_items"].schema, [line])
    events.flush()
    world.drain("--select", "top_salesmen")
    names = {row[1]: row[2] for row in world.found()["top_salesmen"] if row[0] == "2024-05-01"}
    assert names == {"known": "Ann", "gone": "", "new": ""}
    _overflow(world)
    lost = [(one["key"], one["columns"]) for one in world.report["unknown"]]
    assert sorted(lost, key=str) == [({"salesman_id": "gone"}, ["salesman_name"]), ({"salesman_id": "new"}, ["salesman_name"])]


def _overflow(world: World) -> None:
    """A sum that no DECIMAL(18,4) holds ends the run, and nothing of it is written."""
    before = world.found()
    line = {"quantity": 1, "unit_price": "99999999999999.9999", "order_id": "known"}
    topic, schema = world.feed.topic("shop.order_items"), TABLES["shop.order_items"].schema
    world.feed.events.put(topic, schema, [{**line, "item_no": number} for number in (1, 2)])
    world.feed.events.flush()
    shown = world.call("--select", "top_salesmen", expect=1)
    assert "Spark cannot compute model top_salesmen: [NUMERIC_VALUE_OUT_OF_RANGE" in shown
    assert world.found() == before


@pytest.mark.parametrize("wire", ["json"], indirect=True)
def test_only_the_models_and_days_that_are_asked_for_are_written(world: World) -> None:
    world.feed.play(history(5, 3))
    world.drain("--select", "top_salesmen", "--select", "salesman_daily", "--date", "2024-03-01")
    expected = world.expected()["top_salesmen"]
    first = {row: count for row, count in expected.items() if row[0] == "2024-03-01"}
    assert 0 < len(first) < len(expected)
    assert dict(world.found()["top_salesmen"]) == first
    world.drain("--select", "top_salesmen", "--date", "2024-03-02..2024-12-31")
    assert world.differences("top_salesmen") == {}
    assert dict(world.found()["salesman_daily"]).keys() <= world.expected()["salesman_daily"].keys()
    assert (world.epochs()["salesman_daily"], world.epochs()["top_salesmen"], world.epochs()["top_sales_by_city"]) == (1, 2, 0)
    shown = world.call("--date", "2024-03-01", expect=2)
    assert "rejected_sales has no column `date`" in shown
    shown = world.call("--select", "sales", expect=2)
    assert "no published model is named sales; there are" in shown
    for table in ("writer", "models"):
        world.sql(f"UPDATE _topline_{table} SET engine = 'live'")
    assert "were written by the live engine" in world.call(expect=1)
    world.drain("--take-over")
    assert world.differences() == {}


@pytest.mark.parametrize("wire", ["json"], indirect=True)
def test_what_cannot_be_done_is_refused_before_spark_starts(world: World) -> None:
    schema = world.company.schema
    with psycopg.connect(world.company.dsn) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (f"topline:{schema}",))
        assert f"another engine writes the schema '{schema}' now" in world.call(expect=1)
    assert "a day such as 2026-11-21 is expected" in world.call("--date", "yesterday", expect=2)
    assert "the first day comes after the last" in world.call("--date", "2026-11-21..2026-11-01", expect=2)
    assert "leave --select and --date out" in world.call("--take-over", "--select", "sales", expect=2)
    shown = world.project.call("run", "--select", "top_salesmen", expect=2, env=world.company.env)
    assert "go with --engine spark" in shown
    files = "sources.branches={kind: files, tables: {sales: {path: inbox, format: csv}}}"
    assert "sources branches: Spark reads topics" in world.call("--set", files, expect=2)


@pytest.mark.parametrize("wire", ["json"], indirect=True)
def test_a_run_that_is_killed_has_written_nothing_and_the_next_is_exact(world: World) -> None:
    asked = ("--select", "top_salesmen", "--select", "rejected_sales")
    nothing: dict[str, Rows] = {name: Counter() for name in world.expected()}
    for number, point in enumerate(("shadow:filled", "publish:before-commit")):
        world.feed.play(history(6 + number, 2))
        before = world.found() if number else nothing
        killed = world.project.start(
            "run", "--engine", "spark", *asked, env={**world.company.env, "TOPLINE_TEST_KILL_AT": point}
        )
        try:
            assert killed.wait(timeout=400) == -signal.SIGKILL, world.project.output()
        finally:
            killed.kill()
        assert world.found() == before
        assert world.differences("top_salesmen", "rejected_sales").keys() == {"top_salesmen", "rejected_sales"}
        world.drain(*asked)
        assert world.differences("top_salesmen", "rejected_sales") == {}


@pytest.mark.parametrize("wire", ["avro"], indirect=True)
def test_spark_submit_runs_it(world: World) -> None:
    world.feed.play(history(8, 2))
    jars = ",".join(map(str, sorted((JARS / "spark").glob("*.jar"))))
    submit = [
        str(Path(sys.executable).with_name("spark-submit")),
        "--master",
        "local[2]",
        "--jars",
        jars,
        "--driver-memory",
        "1g",
    ]
    command = [*submit, topline.cli.main.__file__, "run", "--engine", "spark", "--project", str(world.project.folder), "--json"]
    environment = {**os.environ, **world.company.env, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epoch"] == 1
    assert world.differences() == {}
