"""Asking the engine from another process: the command is a row in the results database; the engine answers in it."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from topline.config import Project
from topline.errors import WorkError
from topline.live.start import databases
from topline.results import Commands

FILE = "engine.json"
PATIENCE = 60.0  # seconds that an asker waits for a running engine


@dataclass(frozen=True, slots=True)
class EngineFile:
    """What a running engine leaves in the state folder (mode 0600): its process and the address of its API.

    WorkError where the disk does not take it.
    """

    pid: int
    api: str
    started: float

    def write(self, state_dir: Path) -> None:
        fresh = state_dir / f"{FILE}.new"
        try:
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(asdict(self), file)
            fresh.rename(state_dir / FILE)
        except OSError as error:
            raise WorkError(f"cannot write {state_dir / FILE}: {error.strerror}. Make room on that disk") from None


def running_engine(state_dir: Path) -> EngineFile | None:
    """The engine that runs on this state; None when none does (a file that a killed one left is not believed)."""
    try:
        found = EngineFile(**json.loads((state_dir / FILE).read_text()))
        os.kill(found.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return found


def ask(project: Project, kind: str, arguments: Mapping[str, Any]) -> str:
    """The engine's answer. Without a running engine the command waits for the next one, and the answer says so.

    WorkError when the engine refuses it, or does not answer in time.
    """
    with databases(project) as real:
        commands = Commands(real(project.config.results.dsn), project.config.results.schema_)
        try:
            number = commands.submit(kind, arguments)
            if running_engine(project.state_dir) is None:
                return "no engine runs on this state: the next `topline run` carries it out"
            return _await(commands, number)
        finally:
            commands.close()


def _await(commands: Commands, number: int) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = commands.answer(number)
        if answer is not None:
            if not answer.ok:
                raise WorkError(answer.message)
            return answer.message
        time.sleep(0.1)
    raise WorkError(f"the engine did not answer command {number} within {PATIENCE:.0f} s: `topline status` says what it does")
