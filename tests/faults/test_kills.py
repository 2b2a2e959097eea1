"""kill -9 of the engine at each step of a commit, and of PostgreSQL in the middle: the results are exact all the same."""

import os
import random
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project
from topline.config import load_project
from topline.embedded import EmbeddedPostgres
from topline.embedded.partner import book_of
from topline.generate import Generator, Options, compare
from topline.live.audit import audit_results
from topline.live.start import load_plan
from topline.log import LogReader
from topline.results import Snapshot

POINTS = [
    "engine:folded",
    "append:before-commit",
    "append:after-commit@2",
    "engine:logged",
    "publish:before-note",
    "checkpoint:before-note",
]
MORE = [f"{point.partition('@')[0]}@{passes}" for point in POINTS[:-1] for passes in (3, 7, 20)]

AFTER = """sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency
after-1,2026-01-02,Italy,Lazio,Roma,1,Ada,1.00,EUR
"""


class Stream:
    """A generator over all sources of a project that goes on while the engine is killed."""

    def __init__(self, project: TestProject, seed: int) -> None:
        self._project = project
        self.generator = Generator(
            Options(
                shop_dsn=embedded_dsn(project, "shop"),
                folder=project.folder / "inbox",
                ledger_dsn=embedded_dsn(project, "ledger"),
                partner=book_of(project.folder / ".topline", "partner"),
                seed=seed,
                rate=150,
                history=300,
            )
        )
        self.generator.prepare()

    def differences(self) -> dict[str, list[str]]:
        found = compare(embedded_dsn(self._project, "ledger"), embedded_dsn(self._project, "topline"), "topline", "Europe/Rome")
        return {model: lines for model, lines in found.items() if lines}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestProject]:
    quick = ("TOPLINE_SOURCES__BRANCHES__SETTLE=0.2", "TOPLINE_SOURCES__PARTNER__EVERY=0.2")
    settings = [*quick, "TOPLINE_ENGINE__CHECKPOINT_SHARE=0.2"]
    made = new_project(tmp_path_factory.mktemp("kills") / "sales", settings)
    with made.server() as server:
        for database in ("shop", "ledger", "topline"):
            server.dsn(database)
        yield made


@pytest.fixture(scope="module")
def stream(project: TestProject) -> Iterator[Stream]:
    made = Stream(project, seed=11)
    made.generator.start()
    yield made
    made.generator.stop()


@pytest.mark.parametrize("where", POINTS)
def test_killed_at_a_point_of_the_commit_it_leaves_a_whole_epoch(project: TestProject, stream: Stream, where: str) -> None:
    """Each start is the recovery from the kill before it. What is published is exact at once, not only after a recovery."""
    process = project.start("run", env={"TOPLINE_TEST_KILL_AT": where})
    assert process.wait(60) == -signal.SIGKILL, project.output()
    require_audited(project)


@pytest.mark.long
@pytest.mark.parametrize("where", MORE)
def test_killed_at_a_later_pass_of_a_point_it_leaves_a_whole_epoch(project: TestProject, stream: Stream, where: str) -> None:
    test_killed_at_a_point_of_the_commit_it_leaves_a_whole_epoch(project, stream, where)
    survives(project)


@pytest.mark.parametrize("seed", [4, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(5, 10))])
def test_killed_at_random_instants_it_leaves_a_whole_epoch(project: TestProject, stream: Stream, seed: int) -> None:
    """The whole process group dies, mostly in the middle of something: a stream of sales goes on all the while."""
    instants = random.Random(seed)
    for _ in range(3):
        process = project.start("run")
        engine = project.folder / ".topline" / "engine.json"
        until(engine.exists, timeout=60)
        until(Clock(instants.uniform(0.1, 1.5)))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        engine.unlink(missing_ok=True)
        require_audited(project)


def test_after_all_kills_the_ledger_agrees(project: TestProject, stream: Stream) -> None:
    stream.generator.stop()
    survives(project)
    assert stream.differences() == {}


def test_results_and_source_killed_together_come_back_and_the_engine_goes_on(project: TestProject) -> None:
    process = project.start("run")
    try:
        until((project.folder / ".topline" / "engine.json").exists, timeout=60)
        server = EmbeddedPostgres(project.folder / ".topline")
        pid = server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: server.pid() not in (None, pid), timeout=60, what="the engine starts the server again")
        before = until(lambda: epoch(project), timeout=60)
        (project.folder / "inbox" / "after.csv").write_text(AFTER)
        until(lambda: epoch(project) > before, timeout=60, what="a new epoch is published")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, project.output()
    survives(project)


def require_audited(project: TestProject) -> None:
    """In this process: what PostgreSQL shows is the truth as of the epoch that it names."""
    loaded = load_project(project.folder)
    plan = load_plan(loaded)
    published = {name: model.schema for name, model in plan.models.items() if model.published}
    with (
        LogReader.open(loaded.state_dir, loaded.config.project) as log,
        log.pin(),
        Snapshot(embedded_dsn(project, "topline"), "topline", published) as snapshot,
    ):
        epochs = {name: epoch for name, epoch in snapshot.epochs.items() if epoch}
        assert [one for one in audit_results(log, plan, epochs, snapshot.rows) if not one.equal] == []


def survives(project: TestProject) -> None:
    project.run("run", "--until-idle")
    project.run("audit")


def epoch(project: TestProject) -> int:
    try:
        with psycopg.connect(embedded_dsn(project, "topline"), connect_timeout=2) as connection:
            row = connection.execute("SELECT epoch FROM topline._topline_writer").fetchone()
    except psycopg.Error:
        return 0
    return int(row[0]) if row else 0


class Clock:
    """True once so many seconds have passed since it was made."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def __call__(self) -> bool:
        return time.monotonic() >= self._end
