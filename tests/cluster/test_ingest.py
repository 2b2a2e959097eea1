"""`topline ingest`: a company whose three sources it brings to Kafka, by workers that die; nothing is lost, nothing doubled."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Message

from tests.cluster.events import records
from tests.cluster.sales import Sales, running, sales
from tests.cluster.stack import Stack
from tests.polling import until
from tests.project import embedded_dsn, new_project

pytestmark = pytest.mark.cluster
ALL = ("shop", "branches", "partner")


@pytest.fixture(params=["json", pytest.param("avro", marks=pytest.mark.long)])
def company(request: pytest.FixtureRequest, tmp_path: Path, stack: Stack) -> Iterator[Sales]:
    with sales(tmp_path / "sales", stack, request.param, ALL) as made:
        yield made


@pytest.mark.parametrize("company", ["json"], indirect=True)
def test_a_stand_by_takes_over_when_the_engine_dies(company: Sales, tmp_path: Path) -> None:
    """A second machine: its own folder and state, the same topics and results."""
    other = new_project(tmp_path / "other")
    dsn = embedded_dsn(company.project, "topline")
    written = yaml.safe_load((company.project.folder / "topline.yml").read_text())
    (other.folder / "topline.yml").write_text(yaml.safe_dump({**written, "results": {"dsn": "${env:RESULTS}"}}))
    company.generator.start()
    with company.worker(), running(company.project, "run", "--stand-by") as leader:
        until(lambda: company.published() > 0, timeout=60, every=0.2, what="the first engine publishes")
        with running(other, "run", "--stand-by", RESULTS=dsn):
            company.sell(3)
            os.killpg(leader.pid, signal.SIGKILL)
            company.sell(2)
            company.generator.stop()
            company.await_truth()
    refused = company.project.run("run", "--until-idle", expect=1)
    assert "were written by the live engine of state" in refused


def origins(messages: list[Message]) -> Counter[tuple[bytes | None, str, int, int, str]]:
    """How often each change of the origin stands in a topic (JSON). What a file lost at once has one place there."""
    events = [(one.key(), json.loads(one.value() or b"")) for one in messages if one.value() is not None]
    places = [(key, event["source"], event["op"]) for key, event in events]
    return Counter((key, s["partition"], s["hi"], s["lo"], op) for key, s, op in places)


def test_workers_die_and_the_rankings_are_the_ledger_s(company: Sales, stack: Stack) -> None:
    company.generator.start()
    with company.worker():
        company.sell(4)
    with company.worker(TOPLINE_TEST_KILL_AT="ingest:written@5") as dying:
        assert dying.wait(120) == -signal.SIGKILL
    with company.worker(TOPLINE_TEST_KILL_AT="ingest:committed@5") as dying:
        assert dying.wait(120) == -signal.SIGKILL
    with company.worker() as last:
        company.sell(2)
        company.generator.stop()
        company.is_exact()
        last.send_signal(signal.SIGTERM)
        assert last.wait(60) == 0, company.project.output()
    topic = f"{company.prefix}.branches.files.sales"
    if company.wire == "json":
        found = origins(records(stack.kafka.bootstrap, topic))
        assert found
        assert max(found.values()) == 1
    letters = records(stack.kafka.bootstrap, f"{topic}.dlq")
    assert letters
    assert {header[0] for header in letters[0].headers() or []} >= {"__connect.errors.exception.message", "topline.locator"}
