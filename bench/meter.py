"""What a process spends: wall seconds, CPU-seconds with those of its children, and the most memory it had (Linux)."""

import contextlib
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass
class Spent:
    """Seconds; `peak` in bytes; `others`: CPU-seconds of processes that worked for it meanwhile, by name."""

    wall: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    output: str = ""
    others: dict[str, float] = field(default_factory=dict)


class FailedError(Exception):
    """A measured command ended with another code than 0."""


def _environment() -> dict[str, str]:
    """As users have it: Python keeps what it compiled."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(
    command: Sequence[str],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    beside: Mapping[str, int] | None = None,
    timeout: float = 3600,
    whole_tree: bool = False,
) -> Spent:
    """Run to the end. `beside`: name -> pid of servers whose CPU counts beside. `whole_tree`: processes count that it started
    and did not wait for, as they are seen while it runs. FailedError: with what it wrote."""
    before = {name: tree_cpu(pid) for name, pid in (beside or {}).items()}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment() | dict(env or {})
        )
        watch = _Watch(process.pid, whole_tree)
        killer = threading.Timer(timeout, process.kill)
        killer.daemon = True
        killer.start()
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        errors.seek(0)
        if process.returncode:
            raise FailedError(f"{' '.join(command)} ended with {process.returncode}\n{output[-2000:]}{errors.read()[-4000:]}")
    others = {name: tree_cpu(pid) - before[name] for name, pid in (beside or {}).items()}
    most, seen = watch.stop()
    return Spent(wall, max(usage.ru_utime + usage.ru_stime, seen), most, output, others)


class _Watch:
    """Looks at the most memory that a process had until now (what getrusage tells begins with its parent's), and, for
    `whole_tree`, at the CPU-seconds of all that it started."""

    def __init__(self, pid: int, whole_tree: bool) -> None:
        self._peak, self._cpu, self._end = 0, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, args=(pid, whole_tree), daemon=True)
        self._thread.start()

    def _look(self, pid: int, whole_tree: bool) -> None:
        while not self._end.wait(0.1):
            self._peak = max(self._peak, peak(pid))
            if whole_tree:
                self._cpu = max(self._cpu, tree_cpu(pid))

    def stop(self) -> tuple[int, float]:
        self._end.set()
        self._thread.join()
        return self._peak, self._cpu


def peak(pid: int) -> int:
    """Most resident bytes that the process had; 0 once it is gone."""
    return _status(pid, "VmHWM")


def resident(pid: int) -> int:
    """Resident bytes now; 0 once it is gone."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    with contextlib.suppress(OSError):
        found = re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0


def tree_cpu(pid: int) -> float:
    """CPU-seconds of a process, of its living descendants, and of those that it has waited for."""
    return sum(_cpu(process) for process in _tree(pid))


def _tree(pid: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_fields(int(entry.name))[1]), []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += children.get(found, [])


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError):
        return sum(int(ticks) for ticks in _fields(pid)[11:15]) / _TICKS
    return 0.0


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat those behind the name: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
