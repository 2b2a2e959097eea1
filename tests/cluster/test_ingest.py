"""`topline ingest`: a company whose three sources it brings to Kafka, by workers that die; nothing is lost, nothing doubled."""

import itertools
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
import yaml
from confluent_kafka import Message

from tests.cluster.events import records
from tests.cluster.stack import Stack
from tests.networks.world import engine
from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project
from topline.embedded.partner import book_of
from topline.generate import Generator, Options, compare

pytestmark = pytest.mark.cluster
QUICK = (
    "TOPLINE_SOURCES__PARTNER__EVERY=0.1",
    "TOPLINE_SOURCES__BRANCHES__SETTLE=0.05",
    "TOPLINE_SOURCES__BRANCHES__POLL=0.05",
)
RATE = 100.0
_numbers = itertools.count(1)
Format = Literal["json", "avro"]


class Company:
    """The shipped project, all of whose sources go through `topline ingest` and Kafka, and a generator that sells."""

    def __init__(self, project: TestProject, stack: Stack, wire: Format) -> None:
        self.project, self._stack = project, stack
        self.prefix = f"ingest_{wire}_{next(_numbers)}"
        path = project.folder / "topline.yml"
        written: dict[str, Any] = yaml.safe_load(path.read_text())
        registry = {"registry": {"url": stack.registry.url}} if wire == "avro" else {}
        brokers = {"brokers": stack.kafka.bootstrap, "format": wire, "prefix": self.prefix, "topics": {"partitions": 3}}
        written["kafka"] = {**brokers, **registry}
        for source in written["sources"].values():
            source["from"] = "kafka"
        written["sources"]["shop"]["via"] = "ingest"
        path.write_text(yaml.safe_dump(written))
        folder = project.folder
        self.generator = Generator(
            Options(
                shop_dsn=embedded_dsn(project, "shop"),
                folder=folder / "inbox",
                partner=book_of(folder / ".topline", "partner"),
                ledger_dsn=embedded_dsn(project, "ledger"),
                rate=RATE,
                history=300,
            )
        )

    def worker(self, **env: str) -> "AbstractContextManager[subprocess.Popen[bytes]]":
        """Killed at the end, if it has not ended by then."""
        return running(self.project, "ingest", **env)

    def published(self) -> int:
        """The epoch of the results, 0 before the first one."""
        with psycopg.connect(embedded_dsn(self.project, "topline")) as connection:
            found = connection.execute("SELECT to_regclass('topline._topline_writer')").fetchone()
            if found is None or found[0] is None:
                return 0
            row = connection.execute("SELECT epoch FROM topline._topline_writer").fetchone()
            return int(row[0]) if row else 0

    def sell(self, seconds: float) -> None:
        enough = self.generator.written + seconds * RATE
        until(lambda: self.generator.written >= enough, timeout=60)

    def differences(self) -> dict[str, list[str]]:
        return compare(embedded_dsn(self.project, "ledger"), embedded_dsn(self.project, "topline"), "topline", "Europe/Rome")

    def is_exact(self) -> None:
        """The rankings come to be those of the ledger."""
        with engine(self.project):
            until(lambda: not any(self.differences().values()), timeout=90, every=0.5, what="the results are the ledger's")

    def records(self, topic: str) -> list[Message]:
        return records(self._stack.kafka.bootstrap, topic)


@pytest.fixture(params=["json", "avro"])
def company(request: pytest.FixtureRequest, tmp_path: Path, stack: Stack) -> Iterator[Company]:
    project = new_project(tmp_path / "sales", QUICK)
    with project.server() as server:
        for database in ("shop", "ledger", "topline"):
            server.dsn(database)
        made = Company(project, stack, request.param)
        made.generator.prepare()
        yield made
        made.generator.stop()


@pytest.mark.parametrize("company", ["json"], indirect=True)
def test_a_stand_by_takes_over_when_the_engine_dies(company: Company, tmp_path: Path) -> None:
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
            until(lambda: not any(company.differences().values()), timeout=90, every=0.5, what="the second one has taken over")
    refused = company.project.run("run", "--until-idle", expect=1)
    assert "were written by the live engine of state" in refused


@contextmanager
def running(project: TestProject, *arguments: str, **env: str) -> "Iterator[subprocess.Popen[bytes]]":
    process = project.start(*arguments, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def origins(messages: list[Message]) -> Counter[tuple[str, int, int, str]]:
    """How often each change of the origin stands in a topic (JSON)."""
    events = [json.loads(message.value() or b"") for message in messages if message.value() is not None]
    places = [(event["source"], event["op"]) for event in events]
    return Counter((s["partition"], s["hi"], s["lo"], op) for s, op in places)


def test_workers_die_and_the_rankings_are_the_ledger_s(company: Company) -> None:
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
    if "json" in company.prefix:
        found = origins(company.records(f"{company.prefix}.branches.files.sales"))
        assert found
        assert max(found.values()) == 1
    letters = company.records(f"{company.prefix}.branches.files.sales.dlq")
    assert letters
    assert {header[0] for header in letters[0].headers() or []} >= {"__connect.errors.exception.message", "topline.locator"}
