"""Fixtures that all tests share."""

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.polling import until
from topline.embedded import EmbeddedPostgres


class Postgres:
    """The session's PostgreSQL 18. `dsn(prefix)` makes a fresh, empty database at each call and returns its DSN."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._numbers = itertools.count(1)

    def dsn(self, prefix: str = "test") -> str:
        return self.server.dsn(f"{prefix}_{next(self._numbers)}")


@contextmanager
def serving(prefix: str) -> Iterator[Postgres]:
    """A server in a folder of its own, which goes with it."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=scratch()) as folder:
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder)) as server:
            yield Postgres(server)
            discard(server)
        remove(server)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with serving("topline-test-") as made:
        yield made


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """pytest's own, without leaving servers elsewhere."""
    yield tmp_path
    remove_servers(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def no_server_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same for folders that several tests share."""
    yield
    remove_servers(tmp_path_factory.getbasetemp())


def remove_servers(folder: Path) -> None:
    """What the commands of a test below `folder` put into /var/tmp (as root) goes, also when the test failed."""
    for location in folder.rglob("postgres/location"):
        server = EmbeddedPostgres(location.parent.parent)
        if server.place.exists():
            discard(server)
            remove(server)


def scratch() -> str | None:
    """Memory, where there is plenty: what the tests write need not reach a disk, and goes at once. None: the usual folder."""
    memory = Path("/dev/shm")
    plenty = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 6 << 30
    return str(memory) if plenty else None


def discard(server: EmbeddedPostgres) -> None:
    """Stop at once, without writing out databases that are deleted next."""
    if pid := server.pid():
        os.kill(pid, signal.SIGQUIT)
        until(lambda: server.pid() is None)


def remove(server: EmbeddedPostgres) -> None:
    """Delete a stopped server's folder, which lies in /var/tmp when we are root and the test's folder is private."""
    shutil.rmtree(server.place)
