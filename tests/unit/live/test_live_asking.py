"""Another process finds the running engine, asks it something, and waits for the answer as long as it may."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.live.engines import Clock
from topline.config import Project, load_project
from topline.errors import WorkError
from topline.live import asking
from topline.live.asking import EngineFile, ask, running_engine
from topline.results import Answer, Commands


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "topline.yml").write_text("project: small\nresults: {dsn: 'postgresql://nobody@localhost:1/none', schema: s}\n")
    (tmp_path / ".topline").mkdir()
    return load_project(tmp_path)


class Asked(Commands):
    """Answers the number that it gave at the `after`th look, or never (0)."""

    def __init__(self, answer: Answer, after: int) -> None:
        self.submitted: list[tuple[str, Mapping[str, Any]]] = []
        self.looks, self.closed, self._answer, self._after = 0, False, answer, after

    def submit(self, kind: str, arguments: Mapping[str, Any]) -> int:
        self.submitted.append((kind, arguments))
        return 7

    def answer(self, command: int) -> Answer | None:
        assert command == 7
        self.looks += 1
        return self._answer if self.looks == self._after else None

    def close(self) -> None:
        self.closed = True


def asked(monkeypatch: pytest.MonkeyPatch, ok: bool = True, after: int = 3) -> tuple[Asked, Clock]:
    clock, inbox = Clock(), Asked(Answer(ok, "said"), after)
    monkeypatch.setattr(asking, "time", clock)

    def at(dsn: str, schema: str) -> Asked:
        assert (dsn, schema) == ("postgresql://nobody@localhost:1/none", "s")
        return inbox

    monkeypatch.setattr(asking, "Commands", at)
    return inbox, clock


def running(project: Project) -> None:
    EngineFile(os.getpid(), "http://127.0.0.1:1", 5.0).write(project.state_dir)


def test_a_running_engine_is_found_by_its_file_that_others_cannot_read(project: Project) -> None:
    assert running_engine(project.state_dir) is None
    running(project)
    running(project)
    assert running_engine(project.state_dir) == EngineFile(os.getpid(), "http://127.0.0.1:1", 5.0)
    path = project.state_dir / asking.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in project.state_dir.iterdir()] == ["engine.json"]


def test_what_a_killed_engine_left_is_not_believed(project: Project) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    path = project.state_dir / asking.FILE
    for text in (
        json.dumps({"pid": done.pid, "api": "x", "started": 1.0}),
        "{",
        "[1]",
        '{"pid": "x", "api": "", "started": 0}',
    ):
        path.write_text(text)
        assert running_engine(project.state_dir) is None


def test_a_disk_that_does_not_take_the_file_is_told(project: Project) -> None:
    with pytest.raises(WorkError, match=r"cannot write .*engine.json: No such file or directory. Make room"):
        EngineFile(1, "", 0.0).write(project.state_dir / "gone")


def test_the_answer_is_waited_for(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    running(project)
    inbox, clock = asked(monkeypatch)
    assert ask(project, "resync", {"target": "shop"}) == "said"
    assert (inbox.submitted, inbox.closed, clock.slept) == ([("resync", {"target": "shop"})], True, [0.1, 0.1])


def test_what_the_engine_refuses_is_an_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    running(project)
    inbox, _ = asked(monkeypatch, ok=False)
    with pytest.raises(WorkError, match=r"^said$"):
        ask(project, "resync", {"target": "shop"})
    assert inbox.closed


def test_after_a_minute_without_an_answer_nobody_waits_longer(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    running(project)
    _, clock = asked(monkeypatch, after=0)
    with pytest.raises(WorkError, match="the engine did not answer command 7 within 60 s"):
        ask(project, "resync", {"target": "shop"})
    assert sum(clock.slept) == pytest.approx(60, abs=0.15)


def test_without_an_engine_the_command_waits_for_the_next_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, _ = asked(monkeypatch)
    assert "the next `topline run` carries it out" in ask(project, "replay", {"letters": [1]})
    assert (len(inbox.submitted), inbox.looks, inbox.closed) == (1, 0, True)
