"""What the engine says of itself, and what `topline status` says with or without it, and without PostgreSQL."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.polling import until
from tests.unit.live.engines import NOON, Rig, Rigs, Told, batch
from tests.unit.live.histories import order, upserts
from tests.unit.live.plans import ORDERS, sums
from topline.changes import DeadLetter, Position
from topline.config import Project, load_project
from topline.errors import SourceHalted, TransientError
from topline.live import status
from topline.live.asking import EngineFile
from topline.live.status import Status, collect_status, disk_troubles, report
from topline.log import Log, LogEntry
from topline.results import SourceStatus
from topline.results.overview import Overview
from topline.sources.base import Progress, Resume

# of the engine itself


def shown(rig: Rig, name: str = "shop") -> SourceStatus:
    return next(found for found in report(rig.engine, {"shop": "postgres", "branches": "files"})[1] if found.source == name)


def test_the_engine_tells_its_numbers(rig: Rigs) -> None:
    one = rig(sums(), Told("shop"), Told("branches"))
    letter = DeadLetter("shop.orders", "one", Position(1, 9), b"?", "unreadable", "line 9")
    one.take(batch(upserts("shop.orders", order(1, "1"), order(2, "1")), dead_letters=(letter,)))
    one.engine.holds.tables["shop.items"] = "table shop.items lost a column"
    one.engine.holds.models["pieces"] = "a sum overflows"
    engine, sources = report(one.engine, {"shop": "postgres", "branches": "files"})
    details = dict(engine.details)
    assert engine.started == datetime.fromtimestamp(one.engine.counts.started, UTC)
    assert details.pop("state") == [list(size) for size in one.engine.machinery.dataflow.state()]
    assert details == {
        "changes": 2, "batches": 1, "rows_read": one.engine.counts.rows_read, "epoch": 1, "queued": 0, "publishing_error": "",
        "disk": [], "held_tables": {"shop.items": "table shop.items lost a column"},
        "halted_models": {"pieces": "a sum overflows"}, "rejected": 0,
    }  # fmt: skip
    json.dumps(engine.details)
    shop, branches = sources
    assert (shop.source, shop.kind, shop.state, shop.phase) == ("shop", "postgres", "running", "streaming")
    assert (shop.rows, shop.dead_letters, shop.time) == (2, 1, NOON + timedelta(minutes=1))
    assert (shop.detail, shop.last_error, shop.lag_bytes) == ("table shop.items lost a column", "", None)
    assert (branches.rows, branches.dead_letters, branches.time, branches.detail) == (0, 0, None, "")


def test_a_source_tells_how_far_it_is(rig: Rigs) -> None:
    one = rig(sums(), Told("shop"), Told("branches"))
    one.engine.holds.tables["shop.items"] = "held"
    one.sources["shop"].shown = Progress("copying", 1, 2, 77, "half of it")
    until(lambda: shown(one).phase == "copying")
    assert (shown(one).detail, shown(one).lag_bytes) == ("held; half of it", 77)
    assert shown(one, "branches").detail == ""


def test_a_source_that_does_not_run_says_why(rig: Rigs) -> None:
    class Failing(Told):
        error: Exception = TransientError("not reachable")

        def open(self, resume: Resume) -> None:
            raise self.error

    class Halted(Failing):
        error = SourceHalted("a slot is gone")

    one = rig(sums(), Failing("shop"), Halted("branches"), start=False)
    assert shown(one).state == "starting"
    one.readers.start()
    until(lambda: shown(one).state == "down" and shown(one, "branches").state == "halted")
    assert shown(one).last_error.startswith("not reachable (since ")
    assert shown(one, "branches").last_error == "a slot is gone"


def test_a_disk_that_refuses_is_told(rig: Rigs) -> None:
    one = rig(sums())
    assert disk_troubles(one.engine) == []
    one.log.trouble = "cannot fold"
    one.engine.machinery.checkpoints.trouble = "cannot save"
    assert disk_troubles(one.engine) == ["cannot fold", "cannot save"]
    assert report(one.engine, {})[0].details["disk"] == ["cannot fold", "cannot save"]


# from outside


OVERVIEW = Overview(
    5,
    datetime.now(UTC),
    {"halted_models": {"money": "a sum overflows"}, "rejected": 3, "disk": ["cannot fold", "cannot save"]},
    ({"source": "shop", "kind": "files", "state": "running", "phase": "idle", "time": NOON, "last_error": "", "detail": "all"},
     {"source": "web", "kind": "push", "state": "down", "phase": "", "time": None, "last_error": "gone", "detail": "all"}),
    ({"model": "money", "epoch": 5, "published_at": NOON}, {"model": "pieces", "epoch": 4, "published_at": NOON}),
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    (tmp_path / "topline.yml").write_text("project: small\nresults: {dsn: 'postgresql://nobody@localhost:1/none', schema: s}\n")
    (tmp_path / ".topline").mkdir()
    results(monkeypatch, OVERVIEW)
    return load_project(tmp_path)


def results(monkeypatch: pytest.MonkeyPatch, answer: Overview | Exception | None) -> None:
    def read(dsn: str, schema: str) -> Overview | None:
        assert (dsn, schema) == ("postgresql://nobody@localhost:1/none", "s")
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(status, "read_overview", read)


def running(project: Project, api: str = "http://127.0.0.1:1") -> None:
    EngineFile(os.getpid(), api, 0.0).write(project.state_dir)


def test_of_a_running_engine_everything_is_told(project: Project) -> None:
    running(project)
    with Log.open(project.state_dir, "small") as log:
        log.declare({"shop.orders": ORDERS})
        letters = [("shop", DeadLetter("shop.orders", "one", Position(1, n), b"?", "bad", "")) for n in range(2)]
        log.append(LogEntry(dead_letters=letters))
    found = collect_status(project)
    summary = dict(found.summary)
    assert summary.pop("heartbeat age").endswith(" s")
    assert summary == {
        "project": "small", "engine": f"running, process {os.getpid()}", "api": "http://127.0.0.1:1", "log epoch": 1,
        "open dead letters": 2, "disk": "cannot fold; cannot save", "published epoch": 5, "rejected": 3,
    }  # fmt: skip
    assert found.source_rows() == [("shop", "files", "running", "idle", NOON, "all"), ("web", "push", "down", "", None, "gone")]
    assert found.model_rows() == [("money", "5", NOON, "a sum overflows"), ("pieces", "4", NOON, "")]


def test_the_heartbeats_age_is_counted_to_now(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    results(monkeypatch, Overview(5, datetime.now(UTC) - timedelta(seconds=100), {}, (), ()))
    assert 100 <= float(collect_status(project).summary["heartbeat age"].split()[0]) < 130
    assert "disk" not in collect_status(project).summary
    results(monkeypatch, Overview(5, None, {}, (), ()))
    assert "heartbeat age" not in collect_status(project).summary


def test_without_an_engine_its_sources_are_stopped(project: Project) -> None:
    found = collect_status(project)
    assert (found.summary["engine"], found.summary["api"], [s["state"] for s in found.sources]) == (
        "not running", None, ["stopped", "stopped"],
    )  # fmt: skip
    assert "log" in found.summary, "there is no state yet"


def test_where_nothing_was_published_yet_the_rest_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    results(monkeypatch, None)
    found = collect_status(project)
    assert (found.sources, found.models, "results" in found.summary, "troubles" in found.summary) == ((), (), False, False)


@contextmanager
def api(code: int, body: Any) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/readyz"
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("code", "body", "troubles"),
    [
        (503, {"errors": ["results: down", "source shop: down"]}, "results: down; source shop: down"),
        (503, {}, ""),
        (200, {}, None),
    ],
)
def test_where_the_results_are_down_the_engine_itself_says_what_is_wrong(
    code: int, body: Any, troubles: str | None, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    results(monkeypatch, TransientError("the results database does not answer"))
    with api(code, body) as address:
        running(project, address)
        found = collect_status(project)
    assert found.summary["results"] == "the results database does not answer"
    assert found.summary.get("troubles") == troubles
    assert (found.sources, found.models) == ((), ())


def test_an_engine_whose_api_does_not_answer_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    results(monkeypatch, TransientError("down"))
    with api(200, {}) as gone:
        pass
    running(project, gone)
    assert collect_status(project).summary["troubles"].startswith("the engine's API does not answer: ")


def test_a_status_without_rows_has_none() -> None:
    assert (Status({}, (), ()).source_rows(), Status({}, (), ()).model_rows()) == ([], [])
