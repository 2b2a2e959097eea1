"""A project of the shipped kind in a temporary folder, and the command line run as a user runs it: in a process."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tests.conftest import discard
from topline.cli.main import app
from topline.embedded import EmbeddedPostgres
from topline.errors import ToplineError

TOPLINE = (sys.executable, "-m", "topline.cli.main")


@dataclass(frozen=True)
class TestProject:
    """`run` fails with the command's output when the exit code is not the expected one."""

    __test__ = False
    folder: Path

    def run(self, *arguments: str, expect: int | None = 0, timeout: float = 180, env: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [*TOPLINE, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **(env or {})},
        )
        assert expect is None or done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def call(self, *arguments: str, expect: int | None = 0, env: dict[str, str] | None = None) -> str:
        """As `run`, but within this process, where a process of its own would show nothing more."""
        code, output, _ = self._called(arguments, env)
        assert expect is None or code == expect, f"exit {code}\n{output}"
        return output

    def json(self, *arguments: str, expect: int | None = 0, env: dict[str, str] | None = None) -> Any:
        """The answer with --json, within this process."""
        code, output, answer = self._called([*arguments, "--json"], env)
        assert expect is None or code == expect, f"exit {code}\n{output}"
        return json.loads(answer)

    def _called(self, arguments: Sequence[str], env: dict[str, str] | None) -> tuple[int, str, str]:
        """(exit code, all output, standard output)"""
        environment = {"TOPLINE_PROJECT_DIR": str(self.folder), "NO_COLOR": "1", **(env or {})}
        done = CliRunner().invoke(app, arguments, env=environment)
        error = done.exception
        if isinstance(error, ToplineError):
            return error.exit_code, f"{done.output}error: {error}", done.stdout
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return done.exit_code, done.output, done.stdout

    def raw(self, *arguments: str) -> bytes:
        return subprocess.run([*TOPLINE, *arguments], cwd=self.folder, capture_output=True, timeout=180, check=True).stdout

    @contextmanager
    def server(self) -> Iterator[EmbeddedPostgres]:
        """Keep the embedded PostgreSQL running meanwhile, so that each command finds it up; its folder goes at the end."""
        server = EmbeddedPostgres(self.folder / ".topline")
        with server:
            yield server
            discard(server)
        shutil.rmtree(server.place, ignore_errors=True)

    def password(self) -> str:
        return (self.folder / ".topline" / "postgres" / "password").read_text()

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """The command in a process group of its own, its output in `run.log`."""
        with (self.folder / "run.log").open("ab") as log:
            return subprocess.Popen(
                [*TOPLINE, *arguments],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "NO_COLOR": "1", **(env or {})},
            )

    def output(self) -> str:
        path = self.folder / "run.log"
        return path.read_text(errors="replace") if path.exists() else ""


def new_project(folder: Path, settings: Sequence[str] = ()) -> TestProject:
    """`topline init`, with lines added to .env (TOPLINE_... overrides), the API on a free port."""
    made = subprocess.run([*TOPLINE, "init", str(folder)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (folder / ".env").write_text("\n".join(["TOPLINE_API__PORT=0", *settings]) + "\n")
    return TestProject(folder)


def embedded_dsn(project: TestProject, database: str, *, secret: bool = True) -> str:
    """The DSN of a database of the project's embedded server; with `${env:PASSWORD}` for the password unless `secret`."""
    server = EmbeddedPostgres(project.folder / ".topline")
    password = project.password() if secret else "${env:PASSWORD}"
    return f"postgresql://topline:{password}@127.0.0.1:{server.port}/{database}"
