"""Engines side by side on the topics of one company, and of TPC-H: each has what the ledger, or PostgreSQL itself, says."""

import random
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from examples.tpch.load import load, source
from examples.tpch.refresh import Refresh
from tests.cluster.engines.company import add_engines
from tests.cluster.sales import sales
from tests.cluster.shop import changed
from tests.cluster.stack import Stack
from tests.integration.examples.test_tpch import PLACES, copy_of_the_example
from tests.integration.examples.tpch_truth import Rows, expected, published
from tests.polling import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


@pytest.mark.long
def test_flink_and_spark_rank_what_debezium_and_workers_bring(tmp_path: Path, stack: Stack) -> None:
    """The shop by Debezium, branches and partner by a worker; rankings by Flink and by Spark, each in its own database."""
    flink, spark = ({"TOPLINE_RESULTS__DSN": stack.postgres.dsn(name)} for name in ("by_flink", "by_spark"))
    with sales(tmp_path / "sales", stack, "json", ("branches", "partner")) as company:
        add_engines(company.project, stack)
        company.project.run("ingest", "--until-idle")  # it makes the topics
        with company.debezium(), company.worker():
            company.generator.start()
            company.sell(3)
            company.project.json("flink", "deploy", "--timeout", "240", env=flink)
            company.sell(2)
            company.generator.stop()

            def wrong(results: Mapping[str, str]) -> dict[str, list[str]]:
                found = company.differences(results["TOPLINE_RESULTS__DSN"])
                return {name: differences for name, differences in found.items() if differences}

            until(lambda: not wrong(flink), timeout=180, every=1, what="Flink's results are the ledger's")
            company.project.json("run", "--engine", "spark", env=spark)
            assert wrong(spark) == {}
            company.project.json("flink", "stop", env=flink)


@pytest.mark.parametrize("scale", [0.01, pytest.param(0.1, marks=pytest.mark.long)])
def test_tpch_through_debezium_is_what_postgres_says(scale: float, tmp_path: Path, stack: Stack) -> None:
    project = copy_of_the_example(tmp_path)
    flink, spark = ({"TOPLINE_RESULTS__DSN": stack.postgres.dsn(name)} for name in ("tpch_by_flink", "tpch_by_spark"))
    prefix = f"tpch{scale}".replace(".", "_")
    with project.server(), source(project.folder) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        rows = load(dsn, scale)
        add_engines(project, stack)
        with changed(project.folder) as written:
            servers = {"brokers": stack.kafka.bootstrap, "connect": {"url": stack.connect.url}}
            written["kafka"] = {**servers, "format": "json", "prefix": prefix, "topics": {"partitions": 2}}
            written["sources"]["tpch"]["from"] = "kafka"
        project.call("debezium", "apply")
        project.json("flink", "deploy", "--timeout", "600", env=flink)
        refresh = Refresh(connection, rows["orders"], random.Random(7))
        for _ in range(60):
            refresh.step()
        wanted = expected(dsn, PLACES)
        until(lambda: shown(flink) == wanted, timeout=180, every=1, what="Flink's results are PostgreSQL's own answer")
        project.json("run", "--engine", "spark", env=spark)
        assert shown(spark) == wanted
        project.json("flink", "stop", env=flink)
        project.call("debezium", "remove", "--forget")


def shown(results: Mapping[str, str]) -> Rows:
    """What an engine has published."""
    try:
        return published(results["TOPLINE_RESULTS__DSN"])
    except psycopg.errors.UndefinedTable:
        return {}
