"""Each server and process between a sale and its ranking is killed while the company sells, and is started again: the rankings
are those of the ledger, and nothing was told twice. The seconds until then are printed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from tests.cluster.engines.company import add_engines
from tests.cluster.events import records
from tests.cluster.sales import Sales, running, sales
from tests.cluster.stack import Stack
from tests.conftest import discard
from tests.polling import until

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(900)]
WITHIN = 180.0  # seconds in which all is to be well again, on a machine with much else to do


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three brokers, Connect, a registry, Flink."""
    with Stack(tmp_path_factory.mktemp("large"), brokers=3) as made:
        yield made
        discard(made.postgres)


@dataclass
class House:
    """A company whose shop comes by Debezium, the others by a worker, and two engines that read topics only: the live one, and
    Flink, whose results are in a database of their own."""

    company: Sales
    stack: Stack
    by_flink: str
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    running: ExitStack = field(default_factory=ExitStack)

    def start(self, name: str, *arguments: str) -> None:
        env = self.company.env
        self.processes[name] = self.running.enter_context(running(self.company.project, *arguments, **env))

    def flink(self, *arguments: str) -> None:
        self.company.project.json("flink", *arguments, env={"TOPLINE_RESULTS__DSN": self.by_flink})

    def kill(self, name: str, *again: str) -> None:
        """A process of ours, which is started again."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait(30)
        self.start(name, *again)


@contextmanager
def house(folder: Path, stack: Stack) -> Iterator[House]:
    results = stack.postgres.dsn("results")
    with sales(folder, stack, "avro", ("branches", "partner"), results) as company, company.debezium():
        add_engines(company.project, stack)
        company.project.run("ingest", "--until-idle", env=company.env)  # it makes the topics
        made = House(company, stack, stack.postgres.dsn("by_flink"))
        with made.running:
            made.start("worker", "ingest")
            made.start("engine", "run")
            company.generator.start()
            made.flink("deploy", "--timeout", "300")
            yield made
            made.flink("stop")


def kill_broker(made: House) -> None:
    node = made.stack.kafka.nodes[1]
    node.kill()
    made.company.sell(2)
    node.start()


def kill_connect(made: House) -> None:
    made.stack.connect.process.kill()
    made.company.sell(1)
    made.stack.connect.process.start()


def kill_registry(made: House) -> None:
    """Whoever begins meanwhile needs schemas: the engine is killed beside it."""
    made.stack.registry.process.kill()
    made.kill("engine", "run")
    made.company.sell(1)
    made.stack.registry.process.start()


def kill_worker(made: House) -> None:
    made.kill("worker", "ingest")


def kill_engine(made: House) -> None:
    made.kill("engine", "run")


def kill_results(made: House) -> None:
    """The registry has its schemas there, too. Flink's JDBC connector may end its TaskManager with it: what supervises one
    starts it again."""
    pid = made.stack.postgres.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    made.company.sell(1)
    made.stack.postgres.start()
    made.company.sell(5)
    if made.stack.flink.task_manager.pid is None:
        made.stack.flink.task_manager.start()


def kill_task_manager(made: House) -> None:
    made.stack.flink.task_manager.kill()
    made.company.sell(1)
    made.stack.flink.task_manager.start()


def kill_job_manager(made: House) -> None:
    """Without high availability it forgets its jobs: who deploys again goes on from the checkpoint that `status` saw."""
    made.flink("status")
    made.stack.flink.job_manager.kill()
    made.company.sell(1)
    made.stack.flink.job_manager.start()
    until(lambda: made.stack.flink.task_manager.healthy, timeout=WITHIN, what="the TaskManager is back")
    made.flink("deploy", "--no-wait")


FAULTS: dict[str, Callable[[House], None]] = {
    "a broker of three": kill_broker,
    "Connect": kill_connect,
    "the registry": kill_registry,
    "a worker of `topline ingest`": kill_worker,
    "the live engine": kill_engine,
    "PostgreSQL with the results": kill_results,
    "Flink's TaskManager": kill_task_manager,
    "Flink's JobManager": kill_job_manager,
}


def test_whatever_is_killed_the_rankings_come_to_be_the_ledger_s(tmp_path: Path, large: Stack) -> None:
    seconds: dict[str, float] = {}
    with house(tmp_path / "sales", large) as made:
        company = made.company
        until(lambda: len(times(company)) == 3, timeout=WITHIN, every=0.2, what="sales of all sources are shown")
        for name, kill in FAULTS.items():
            company.sell(2)
            began = time.time()
            kill(made)
            seconds[name] = recovered(made, began, name)
        company.generator.stop()
        company.await_truth(WITHIN)
        until(lambda: not any(company.differences(made.by_flink).values()), timeout=WITHIN, every=0.5, what="so are Flink's")
        audited = company.project.json("audit", env=company.env)
        assert [one for one in audited if not one["equal"]] == []
        assert twice(large, f"{company.prefix}.branches.files.sales") == []
    print("\n".join(f"{name}: {taken:.1f} s" for name, taken in seconds.items()))


def recovered(made: House, began: float, name: str) -> float:
    """Seconds until both engines show what was sold after it."""
    again = datetime.now(UTC)
    until(lambda: flows(made.company, again), timeout=WITHIN, every=0.2, what=f"sales flow after {name}")
    shown = counted(made.company.results)
    until(lambda: counted(made.by_flink) >= shown, timeout=WITHIN, every=0.2, what=f"Flink has them after {name}")
    return time.time() - began


def counted(dsn: str) -> int:
    """Sales that a ranking counts."""
    try:
        with psycopg.connect(dsn, connect_timeout=2) as connection:
            row = connection.execute("SELECT coalesce(sum(transaction_count), 0) FROM topline.top_sales_by_city").fetchone()
            return int(row[0]) if row else 0
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return 0


def times(company: Sales) -> dict[str, datetime]:
    """Source -> when the newest change that is shown was committed there."""
    try:
        with psycopg.connect(company.results, connect_timeout=2) as connection:
            return dict(
                connection.execute("SELECT source, time FROM topline._topline_sources WHERE time IS NOT NULL").fetchall()
            )
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return {}


def flows(company: Sales, since: datetime) -> bool:
    """What every source sold since then is shown."""
    found = times(company)
    return len(found) == 3 and min(found.values()) > since


def twice(stack: Stack, topic: str) -> list[str]:
    """Records that stand in a topic twice, byte for byte: a change has a place of its own at its source."""
    seen: set[bytes] = set()
    again = []
    for message in records(stack.kafka.bootstrap, topic):
        value = message.value()
        if value is not None and value in seen:
            again.append(f"{topic}[{message.partition()}] at {message.offset()}")
        seen.add(value or b"")
    return again
