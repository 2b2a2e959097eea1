"""SIGTERM and SIGINT: the engine drains and ends in seconds, whatever it is at, and goes on where it stood."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.faults.world import TABLES
from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project

ROWS = 150_000
SOON = 45.0  # seconds: it takes a few, on a machine of its own
HEADER = "sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\n"
NOWHERE = "postgresql://topline:x@127.0.0.1:1/topline"
CODES = {signal.SIGTERM: 0, signal.SIGINT: 130}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestProject]:
    """With more to load than is read in a moment."""
    made = new_project(
        tmp_path_factory.mktemp("signals") / "sales",
        ["TOPLINE_SOURCES__BRANCHES__SETTLE=0.1", "TOPLINE_ENGINE__BATCH_ROWS=10000"],
    )
    inbox = made.folder / "inbox"
    inbox.mkdir(exist_ok=True)
    line = "{0},2026-01-02,Italy,Lazio,Roma,{1},Ada,1.00,EUR\n"
    (inbox / "many.csv").write_text(HEADER + "".join(line.format(n, n % 1000) for n in range(ROWS)))
    with made.server() as server:
        with psycopg.connect(server.dsn("shop"), autocommit=True) as shop:
            for statement in TABLES:
                shop.execute(statement.encode())
        yield made


def test_amid_a_first_load_and_then_all_of_it_is_there(project: TestProject) -> None:
    process = started(project)
    until(lambda: logged(project) > 0, timeout=90, what="the load has begun")
    assert ended(process, signal.SIGTERM) == 0, project.output()
    done = project.json("run", "--until-idle")
    assert done["epochs"] > 0
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        row = connection.execute("SELECT sum(transaction_count) FROM topline.top_sales_by_city").fetchone()
    assert row == (ROWS,)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_amid_a_rebuild_it_ends_at_once_and_nothing_was_begun(project: TestProject, number: signal.Signals) -> None:
    project.run("run", "--until-idle")  # all is there, whichever test came before
    change_model(project, str(number))
    before = epoch(project)
    process = project.start("run")
    until(lambda: holds_the_log(project, process), timeout=90, what="the state is being rebuilt")
    assert ended(process, number) == CODES[number], project.output()
    assert epoch(project) == before


def test_while_the_results_are_down(project: TestProject) -> None:
    process = started(project, TOPLINE_RESULTS__DSN=NOWHERE)
    assert ended(process, signal.SIGTERM) == 0, project.output()


@pytest.mark.long
def test_while_a_source_hangs(project: TestProject) -> None:
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wsdl = f"http://127.0.0.1:{silent.getsockname()[1]}/sales?wsdl"
        process = started(project, TOPLINE_SOURCES__PARTNER__WSDL=wsdl)
        silent.accept()
        assert ended(process, signal.SIGTERM) == 0, project.output()


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(project: TestProject, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # so that it does not end before the second signal comes
        wsdl = f"http://127.0.0.1:{silent.getsockname()[1]}/sales?wsdl"
        process = started(project, TOPLINE_SOURCES__PARTNER__WSDL=wsdl)
        silent.accept()
        until(lambda: sent_again(process, number), every=0.2, timeout=SOON)
        assert process.wait() == 128 + number  # clean, it would be 0
    project.run("run", "--until-idle")
    project.run("audit")


def started(project: TestProject, **settings: str) -> "subprocess.Popen[bytes]":
    """`topline run`, once it has begun to turn."""
    engine = project.folder / ".topline" / "engine.json"
    engine.unlink(missing_ok=True)
    process = project.start("run", env=settings)
    until(lambda: engine.exists() or process.poll() is not None, timeout=90, what="the engine runs")
    assert process.poll() is None, project.output()
    assert json.loads(engine.read_text())["pid"] == process.pid
    return process


def ended(process: "subprocess.Popen[bytes]", number: signal.Signals) -> int:
    process.send_signal(number)
    return process.wait(SOON)


def sent_again(process: "subprocess.Popen[bytes]", number: signal.Signals) -> bool:
    """Whether it has ended: two signals that come at once may count as one."""
    process.send_signal(number)
    return process.poll() is not None


def logged(project: TestProject) -> int:
    log = project.folder / ".topline" / "log.sqlite-wal"
    return log.stat().st_size if log.exists() else 0


def holds_the_log(project: TestProject, process: "subprocess.Popen[bytes]") -> bool:
    log = str(project.folder / ".topline" / "log.sqlite")
    return any(_leads_to(link) == log for link in Path(f"/proc/{process.pid}/fd").iterdir())


def _leads_to(link: Path) -> str:
    """A descriptor may be closed while the others are looked at."""
    with suppress(FileNotFoundError):
        return os.readlink(link)
    return ""


def change_model(project: TestProject, mark: str) -> None:
    """The same rows under another text, so that the checkpoint no longer fits."""
    model = project.folder / "models" / "live" / "sales.sql"
    text = model.read_text().rpartition("-- form")[0] or model.read_text() + "\n"
    model.write_text(f"{text.rstrip()} and sale_id <> 'none-{mark}'\n-- form {mark}\n")


def epoch(project: TestProject) -> int:
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        row = connection.execute("SELECT epoch FROM topline._topline_writer").fetchone()
    return int(row[0]) if row else 0
