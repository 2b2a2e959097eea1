"""The shipped project's company: it sells in three ways, all of which reach the engine through Kafka or some of which do, and
writes a ledger of truth."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg

from tests.cluster.shop import Format, changed, configure
from tests.cluster.stack import Stack
from tests.networks.world import engine
from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project
from topline.embedded.partner import book_of
from topline.generate import Generator, Options, compare

QUICK = (
    "TOPLINE_SOURCES__PARTNER__EVERY=0.1",
    "TOPLINE_SOURCES__BRANCHES__SETTLE=0.05",
    "TOPLINE_SOURCES__BRANCHES__POLL=0.05",
)
RATE = 100.0


class Sales:
    """`ingested`: sources that `topline ingest` brings to Kafka. A shop that is not among them comes by Debezium, once
    `debezium` is called; branches and partner that are not, directly. `results`: the database of the results, where that is
    not the project's own."""

    def __init__(self, project: TestProject, stack: Stack, wire: Format, ingested: tuple[str, ...], results: str = "") -> None:
        self.project, self._stack, self.wire = project, stack, wire
        self.results = results or embedded_dsn(project, "topline")
        self.env = {"TOPLINE_RESULTS__DSN": results} if results else {}
        self.prefix = configure(project, stack, wire, connect="shop" not in ingested)
        with changed(project.folder) as written:
            for source in ingested:
                written["sources"][source]["from"] = "kafka"
                if source == "shop":
                    written["sources"][source]["via"] = "ingest"
        self.generator = Generator(
            Options(
                shop_dsn=embedded_dsn(project, "shop"),
                folder=project.folder / "inbox",
                partner=book_of(project.folder / ".topline", "partner"),
                ledger_dsn=embedded_dsn(project, "ledger"),
                rate=RATE,
                history=300,
            )
        )
        self.generator.prepare()

    @contextmanager
    def debezium(self) -> Iterator[None]:
        """The shop's connector; nothing of it is left at the end."""
        self.project.call("debezium", "apply")
        yield
        self.project.call("debezium", "remove", "--forget")

    def worker(self, **env: str) -> "AbstractContextManager[subprocess.Popen[bytes]]":
        return running(self.project, "ingest", **self.env, **env)

    def sell(self, seconds: float) -> None:
        enough = self.generator.written + seconds * RATE
        until(lambda: self.generator.written >= enough, timeout=60)

    def differences(self, results: str = "") -> dict[str, list[str]]:
        """Of the results, or of those in another database, to the ledger."""
        return compare(embedded_dsn(self.project, "ledger"), results or self.results, "topline", "Europe/Rome")

    def await_truth(self, timeout: float = 90) -> None:
        """The rankings come to be those of the ledger, which stands still meanwhile."""
        until(lambda: not any(self.differences().values()), timeout=timeout, every=0.5, what="the results are the ledger's")

    def is_exact(self) -> None:
        with engine(self.project):
            self.await_truth()

    def published(self) -> int:
        """The epoch of the results, 0 before the first one."""
        with psycopg.connect(self.results) as connection:
            found = connection.execute("SELECT to_regclass('topline._topline_writer')").fetchone()
            if found is None or found[0] is None:
                return 0
            row = connection.execute("SELECT epoch FROM topline._topline_writer").fetchone()
            return int(row[0]) if row else 0


@contextmanager
def sales(folder: Path, stack: Stack, wire: Format, ingested: tuple[str, ...] = (), results: str = "") -> Iterator[Sales]:
    """With a database server of its own; the generator does not sell yet."""
    project = new_project(folder, QUICK)
    with project.server() as server:
        for database in ("shop", "ledger", "topline"):
            server.dsn(database)
        made = Sales(project, stack, wire, ingested, results)
        yield made
        made.generator.stop()


@contextmanager
def running(project: TestProject, *arguments: str, **env: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A command that runs on; killed at the end, if it has not ended by then."""
    process = project.start(*arguments, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
