"""PostgreSQL killed under the engine, or not there when it starts: the engine waits, says why, and goes on where it stood."""

import os
import random
import signal
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.faults.company import PATIENCE, Company, company
from tests.faults.report import note
from tests.faults.world import TABLES
from tests.polling import Clock, until
from tests.project import TestProject, embedded_dsn, new_project
from topline.embedded import EmbeddedPostgres

AFTER = """sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency
after-1,2026-01-02,Italy,Lazio,Roma,1,Ada,1.00,EUR
"""


def down_at_the_start(made: Company) -> None:
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


def test_an_embedded_server_that_is_killed_is_started_again(tmp_path: Path) -> None:
    """It holds results and source, and is the engine's own to start."""
    project = new_project(tmp_path / "sales", ["TOPLINE_SOURCES__BRANCHES__SETTLE=0.1"])
    with project.server() as server:
        with psycopg.connect(server.dsn("shop"), autocommit=True) as shop:
            for statement in TABLES:
                shop.execute(statement.encode())
        process = project.start("run")
        try:
            until(lambda: published(project), timeout=PATIENCE, what="a first epoch")
            killed = server.pid()
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            until(lambda: server.pid() not in (None, killed), timeout=PATIENCE, what="the engine starts the server again")
            before = until(lambda: published(project), timeout=PATIENCE, what="the server answers")
            (project.folder / "inbox" / "after.csv").write_text(AFTER)
            until(lambda: published(project) > before, timeout=PATIENCE, what="a new epoch is published")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0, project.output()


def published(project: TestProject) -> int:
    """The epoch; 0 where there is none, or nobody to say it."""
    try:
        with psycopg.connect(embedded_dsn(project, "topline"), connect_timeout=2) as connection:
            row = connection.execute("SELECT epoch FROM topline._topline_writer").fetchone()
    except psycopg.Error:
        return 0
    return int(row[0]) if row else 0


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_servers_that_are_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    with company(tmp_path, seed) as one:
        down_at_the_start(one)
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
