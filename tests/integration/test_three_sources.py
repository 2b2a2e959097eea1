"""Database, files and SOAP service at once: the rankings equal the ledger, whatever stops and starts on the way."""

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project
from topline.cli.running import Session, session
from topline.config import load_project
from topline.embedded.partner import PartnerService, book_of
from topline.generate import Generator, Options, compare

QUICK = (
    "TOPLINE_SOURCES__PARTNER__EVERY=0.1",
    "TOPLINE_SOURCES__PARTNER__TABLES__ENTRIES__PAGING__SIZE=50",
    "TOPLINE_SOURCES__BRANCHES__SETTLE=0.05",
    "TOPLINE_SOURCES__BRANCHES__POLL=0.05",
)
RATE = 150.0


@pytest.fixture
def project(tmp_path: Path) -> Iterator[TestProject]:
    made = new_project(tmp_path / "sales", QUICK)
    with made.server() as server:
        for database in ("shop", "ledger", "topline"):
            server.dsn(database)
        yield made


@pytest.fixture
def generator(project: TestProject) -> Iterator[Generator]:
    """A stream over all three that has begun."""
    made = Generator(
        Options(
            shop_dsn=embedded_dsn(project, "shop"),
            folder=project.folder / "inbox",
            partner=book(project),
            ledger_dsn=embedded_dsn(project, "ledger"),
            rate=RATE,
            history=300,
        )
    )
    made.prepare()
    made.start()
    yield made
    made.stop()


def book(project: TestProject) -> Path:
    return book_of(project.folder / ".topline", "partner")


@contextmanager
def engine(project: TestProject, **settings: object) -> Iterator[Session]:
    """An engine that runs meanwhile, in a thread."""
    flags = {name.replace("__", "."): value for name, value in settings.items()}
    with session(load_project(project.folder, flags)) as running:
        stop = threading.Event()
        thread = threading.Thread(target=running.run, args=(stop.is_set,))
        thread.start()
        try:
            yield running
        finally:
            stop.set()
            thread.join(60)


def goes_on(generator: Generator, seconds: float) -> None:
    enough = generator.written + seconds * RATE
    until(lambda: generator.written >= enough, timeout=60)


def require_exact(project: TestProject, *words: str) -> None:
    """All that the sources hold is published, and equal to the log, to the sources, and to the ledger."""
    project.call("run", "--until-idle", *words)
    audited = project.json("audit", "--sources")
    assert [one for one in audited if not one["equal"]] == []
    differences = compare(embedded_dsn(project, "ledger"), embedded_dsn(project, "topline"), "topline", "Europe/Rome")
    assert not any(differences.values()), differences


def counted(project: TestProject) -> set[str]:
    """The sources whose sales are published as rejected: of each kind of event every source has some."""
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        return {str(row[0]) for row in connection.execute("SELECT DISTINCT source FROM topline.rejected_sales")}


def test_the_engine_stops_in_the_middle_while_all_sources_go_on(project: TestProject, generator: Generator) -> None:
    for _ in range(2):
        with engine(project) as running:
            goes_on(generator, 2)
            by_source = running.started.engine.counts.by_source
            until(lambda by_source=by_source: set(by_source) == {"shop", "branches", "partner"})  # type: ignore[misc]
        goes_on(generator, 1)
    generator.stop()
    require_exact(project)
    assert counted(project) == {"shop", "branches", "partner"}


def test_a_partner_that_is_down_holds_up_nobody_and_nothing_of_it_is_lost(project: TestProject, generator: Generator) -> None:
    service = PartnerService(book(project))
    with service, engine(project, sources__partner__wsdl=service.wsdl) as running:
        until(lambda: running.started.engine.counts.by_source.get("partner", 0), timeout=30)
        service.stop()
        reasons = until(lambda: [one for one in not_ready(running) if "partner" in one], timeout=30)
        # The first question after it went down, or a later one, which asks for the description again.
        assert re.match(r"source partner: down: partner\.entries \(GetSales\): (POST|GET) http://127\.0\.0\.1", reasons[0])
        before = dict(running.started.engine.counts.by_source)
        until(lambda: others_went_on(running, before), timeout=30)
        service.start()
        until(lambda: not not_ready(running), timeout=60)
        generator.stop()
    with service:
        require_exact(project, "--set", f"sources.partner.wsdl={service.wsdl}")


def not_ready(running: Session) -> list[str]:
    """The reasons, where it is not ready."""
    try:
        with urllib.request.urlopen(f"{running.url}/readyz", timeout=10):
            return []
    except urllib.error.HTTPError as error:
        answer: dict[str, Any] = json.loads(error.read())
        return list(answer["errors"])


def others_went_on(running: Session, before: dict[str, int]) -> bool:
    now = running.started.engine.counts.by_source
    return all(now.get(source, 0) > before.get(source, 0) for source in ("shop", "branches"))
