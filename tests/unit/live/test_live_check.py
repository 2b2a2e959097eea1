"""`topline check`: every fault of a project at once, each where it is."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.live.engines import Told
from tests.unit.models.small import project as models_project
from topline.config import Project, load_project
from topline.errors import ConfigError, TransientError
from topline.live import check
from topline.live.asking import EngineFile
from topline.live.check import check_project
from topline.log import Log
from topline.sources.base import Fault


class Checked:
    """A project with one source whose results find `faults`; `asked`: what they were asked with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = models_project(folder, {"rows": "select id, day from $t"})
        self.source = Told("s")
        self.faults: list[tuple[str, str]] = []
        self.asked: list[tuple[str, ...]] = []
        monkeypatch.setattr(check, "check_results", self._results)
        monkeypatch.setattr(check, "build", lambda *_, **__: [self.source])

    def _results(self, *arguments: str) -> list[tuple[str, str]]:
        self.asked.append(arguments)
        return self.faults

    def project(self, port: int = 0, host: str = "127.0.0.1") -> Project:
        results = "results: {dsn: 'postgresql://nobody@localhost:1/none', schema: shown}"
        (self.folder / "topline.yml").write_text(f"project: small\n{results}\napi:\n  host: '{host}'\n  port: {port}\n")
        return load_project(self.folder)

    def found(self, **settings: Any) -> list[tuple[str, str, str]]:
        return [(fault.where, fault.problem, fault.remedy) for fault in check_project(self.project(**settings))]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    return Checked(tmp_path / "small", monkeypatch)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_project_without_faults_has_none(checked: Checked) -> None:
    assert checked.found() == []
    assert checked.asked == [("postgresql://nobody@localhost:1/none", "shown", "")]
    assert not (checked.folder / ".topline").exists(), "reads only"


def test_all_faults_are_told_at_once(checked: Checked, taken: int) -> None:
    checked.source.faults = [Fault("s", "no column day", "ALTER TABLE")]
    checked.faults = [("not reachable", "start it")]
    with Log.open(checked.folder / ".topline", "another"):
        pass
    state, port, source, results = checked.found(port=taken)
    assert (state[0], source, results) == (
        "state",
        ("s", "no column day", "ALTER TABLE"),
        ("results", "not reachable", "start it"),
    )
    assert "another" in state[1]
    assert port == (
        f"{checked.folder / 'topline.yml'}:5", f"127.0.0.1 port {taken}: Address already in use",
        "set api.port to another one; 0 takes a free one",
    )  # fmt: skip
    assert checked.asked[-1][2] == "", "a state that cannot be read is nobody's"


def test_the_results_are_looked_at_as_this_state(checked: Checked) -> None:
    with Log.open(checked.folder / ".topline", "small") as log:
        mine = log.state_id
    assert checked.found() == []
    assert checked.asked[-1][2] == mine


def test_a_port_that_our_own_engine_holds_is_no_fault(checked: Checked, taken: int) -> None:
    (checked.folder / ".topline").mkdir()
    EngineFile(os.getpid(), "", 0.0).write(checked.folder / ".topline")
    assert checked.found(port=taken) == []


def test_a_port_that_was_used_a_moment_ago_is_no_fault(checked: Checked) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()
            client.recv(1)
    assert checked.found(port=port) == []


def test_a_port_of_ipv6_is_looked_at_as_such(checked: Checked) -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        (fault,) = checked.found(port=server.getsockname()[1], host="::1")
    assert fault[1].startswith("::1 port ")


def test_models_that_cannot_be_read_are_told_with_what_can_be_looked_at(checked: Checked) -> None:
    (checked.folder / "models" / "live" / "rows.sql").write_text("select nothing from nowhere")
    checked.faults = [("not reachable", "start it")]
    models, results = checked.found()
    assert (models[0], results[0]) == ("models", "results")


def test_each_line_of_a_sources_settings_is_a_fault(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> list[Told]:
        raise ConfigError("one\ntwo")

    monkeypatch.setattr(check, "build", refuse)
    assert checked.found() == [("topline.yml", "one", ""), ("topline.yml", "two", "")]


def test_a_source_that_cannot_be_looked_at_says_why(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[Fault]:
        raise TransientError("not reachable")

    monkeypatch.setattr(checked.source, "check", fail)
    assert checked.found() == [("s", "not reachable", "")]
