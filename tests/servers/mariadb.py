"""A real MariaDB on loopback, from the system's package, in a folder of its own."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pymysql
import pytest

from tests.polling import until

_BINARIES = ("mariadbd", "mariadb-install-db")
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))


class MariaDb:
    """A running server. `url(name)` makes a fresh database and returns its SQLAlchemy URL."""

    def __init__(self, folder: Path, binaries: Mapping[str, str]) -> None:
        self._folder, self._binaries = folder, binaries
        self._numbers = iter(range(1, 1_000_000))
        self.port = _free_port()
        # The server does not run as root unless told so by name.
        self._user = ["--user=root"] if os.geteuid() == 0 else []
        self._install()
        self.start()

    def _install(self) -> None:
        command = [self._binaries["mariadb-install-db"], "--no-defaults", f"--datadir={self._data}", *self._user]
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*command, *options], check=True, capture_output=True)

    def start(self) -> None:
        options = [
            f"--datadir={self._data}",
            f"--socket={self._folder / 'socket'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=32M",
            "--skip-name-resolve",
            "--server-id=1",
            "--log-bin=changes",
            "--binlog-format=ROW",
        ]
        command = [self._binaries["mariadbd"], "--no-defaults", *self._user, *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._answers, timeout=60, what="MariaDB answers")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def url(self, prefix: str) -> str:
        name = f"{prefix}_{next(self._numbers)}"
        self.run(None, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{name}"

    def run(self, url: str | None, *statements: str) -> None:
        """Statements in one transaction of the database that `url` names."""
        with self.connect(url) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def connect(self, url: str | None = None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", database=url.rpartition("/")[2] if url else None)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
        try:
            self.connect().close()
        except pymysql.OperationalError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """Skips where Debian's package mariadb-server is absent; with TOPLINE_TEST_STRICT=1 that is a failure."""
    binaries = {name: shutil.which(name, path=_PATH) or "" for name in _BINARIES}
    if not all(binaries.values()):
        message = "MariaDB is absent: apt-get install mariadb-server"
        pytest.fail(message) if os.environ.get("TOPLINE_TEST_STRICT") else pytest.skip(message)
    with tempfile.TemporaryDirectory(prefix="topline-mariadb-") as folder:
        server = MariaDb(Path(folder), binaries)
        yield server
        server.stop()
