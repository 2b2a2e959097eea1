"""Several processes of `topline serve` over one results database, as an operator runs them."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.integration.api.conftest import Results
from tests.integration.results.support import SCHEMA
from tests.polling import until
from tests.project import TestProject, new_project

CITY = "/api/v1/sales/city?date=2026-11-21"
REFERENCE = "${env:RESULTS}"


@contextmanager
def serving(folder: Path, dsn: str) -> Iterator[tuple["subprocess.Popen[bytes]", httpx2.Client]]:
    """A process, and a client of it."""
    project = new_project(folder)
    sets = [f"results.dsn={REFERENCE}", f"results.schema={SCHEMA}", f"results.replicas=['{REFERENCE}']"]
    arguments = [part for one in sets for part in ("--set", one)]
    process = project.start("serve", "--json", *arguments, env={"RESULTS": dsn})
    try:
        url = until(lambda: _url(project), timeout=30, what="the address")
        with httpx2.Client(base_url=url, timeout=20) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()


def _url(project: TestProject) -> str | None:
    text = project.output()
    return str(json.loads(text[text.index("{") :])["url"]) if "}" in text else None


def test_two_processes_give_one_answer_and_one_drains_without_the_other(published: Results, tmp_path: Path) -> None:
    with serving(tmp_path / "a", published.dsn) as (first, one), serving(tmp_path / "b", published.dsn) as (_, other):
        answers = [client.get(CITY) for client in (one, other)]
        assert answers[0].content == answers[1].content
        assert answers[0].headers["etag"] == answers[1].headers["etag"]
        again = other.get(CITY, headers={"If-None-Match": answers[0].headers["etag"]})
        assert again.status_code == 304
        with one.stream("GET", "/api/v1/events") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 1000"
            begun = time.monotonic()
            first.send_signal(signal.SIGTERM)
            assert list(lines) == [""], "the stream ends as it should, not broken off"
            assert first.wait(10) == 0
            assert time.monotonic() - begun < 8
        assert other.get(CITY).content == answers[0].content
        with pytest.raises(httpx2.ConnectError):
            one.get(CITY)
