"""PostgreSQL killed under the engine, or not there when it starts: the engine waits, says why, and goes on where it stood."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.faults.company import PATIENCE, Company, company
from tests.faults.report import note
from tests.polling import Clock, until
from tests.project import TestProject, new_project
from topline.embedded import EmbeddedPostgres


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with company(tmp_path_factory.mktemp("servers"), seed=21) as one:
        yield one


def test_results_that_are_down_at_the_start_are_waited_for(made: Company) -> None:
    """What is read meanwhile is kept; /readyz, status and log say what is missing."""
    kill(made.results)
    process, before = made.start(), made.log_epoch()
    address = until(made.address, timeout=PATIENCE, what="the API is there")
    answer = httpx2.get(f"{address}/readyz", timeout=30)
    assert answer.status_code == 503
    assert "the results database does not answer" in answer.text
    assert "the results database does not answer" in made.project.output()
    assert "does not answer" in made.project.call("status", expect=1)
    until(lambda: made.log_epoch() > before + 2, timeout=PATIENCE, what="the engine folds on")
    made.results.start()
    until(made.is_ready, timeout=PATIENCE, what="ready")
    assert process.poll() is None
    made.kill()
    made.require_audited()


@pytest.mark.parametrize("which", ["shop", "results", "both"])
def test_servers_that_are_killed_and_come_back_are_gone_on_with(made: Company, which: str) -> None:
    outage(made, which, random.Random(which))


def test_after_all_of_this_nothing_is_lost_and_nothing_twice(made: Company) -> None:
    _, balance = made.finish()
    assert (balance.lost, balance.doubled) == (0, 0)
    assert made.differences() == {}


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_servers_that_are_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    with company(tmp_path, seed) as one:
        for number in range(4):
            for which in ("shop", "results", "both"):
                seconds = outage(one, which, draw)
                part = "source and results" if which == "both" else "the source" if which == "shop" else "the results"
                what = f"kill -9 of PostgreSQL: {part}"
                note(fault=what, point=str(number), seed=seed, round=f"servers {seed}", kills=1, restart=seconds)
        _, balance = one.finish()
        note(round=f"servers {seed}", lost=balance.lost, doubled=balance.doubled)
        assert (balance.lost, balance.doubled) == (0, 0)
        assert one.differences() == {}


def outage(made: Company, which: str, draw: random.Random) -> float:
    """In the middle of a batch, mostly. The seconds from when the servers are back until the engine has caught up with them."""
    process = made.running()
    until(Clock(draw.uniform(0.0, 1.0)), timeout=PATIENCE)
    servers = {"shop": [made.shop], "results": [made.results], "both": [made.shop, made.results]}[which]
    for server in servers:
        kill(server)
    until(lambda: names_the_fault(made, which), timeout=PATIENCE, what=f"/readyz names {which}")
    for server in servers:
        server.start()
    seconds = made.seconds_until_ready()
    assert process.poll() is None, made.project.output()[-3000:]
    made.require_audited()
    return seconds


def names_the_fault(made: Company, which: str) -> bool:
    answer = httpx2.get(f"{made.address()}/readyz", timeout=30)
    return answer.status_code == 503 and ("source shop: down" if which == "shop" else "the results database") in answer.text


def kill(server: EmbeddedPostgres) -> None:
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: server.pid() is None, timeout=PATIENCE)


REFUSALS = [("nowhere", None, 'database "nowhere" does not exist'), ("shop", "wrong", "password authentication failed")]


@pytest.mark.parametrize(("database", "password", "said"), REFUSALS)
def test_results_that_refuse_are_not_waited_for(tmp_path: Path, database: str, password: str | None, said: str) -> None:
    project: TestProject = new_project(tmp_path / "sales")
    with project.server() as server:
        right = server.dsn("shop")
        secret = password or project.password()
        dsn = f"postgresql://topline:{secret}@127.0.0.1:{server.port}/{database}"
        assert right
        shown = project.run("run", expect=1, env={"TOPLINE_RESULTS__DSN": dsn})
        assert said in shown
        assert "results.dsn" in shown
        assert secret not in shown
