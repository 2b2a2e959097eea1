"""Debian's PostgreSQL 15: the oldest version that is supported, and the one here that has TLS."""

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from tests.conftest import scratch
from tests.polling import until
from topline.embedded.account import server_account

BIN = Path("/usr/lib/postgresql/15/bin")


class DebianServer:
    """A server with TLS, a superuser `postgres` with the password `secret`, in a folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="topline-pg15-", dir=scratch()))
        self.account = server_account(self.folder / "none")
        self.account.give(self.folder)
        self.data = self.folder / "data"
        self._number = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> None:
        (self.folder / "secret").write_text("secret")
        self.account.give(self.folder / "secret")
        options = [
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--locale=C",
            "-E",
            "UTF8",
            f"--pwfile={self.folder / 'secret'}",
            "-N",
        ]
        self._run(BIN / "initdb", "-D", self.data, *options)
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        keys: list[str | Path] = ["-keyout", self.data / "server.key", "-out", self.certificate]
        self._run("openssl", "req", "-new", "-x509", "-days", "2", "-nodes", *subject, *keys)
        settings = {"ssl": "on", "wal_level": "logical", "listen_addresses": "127.0.0.1", "port": self.port, "fsync": "off"}
        settings |= {"unix_socket_directories": "", "max_prepared_transactions": 10}
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")
        self._launch()

    def _launch(self) -> None:
        self.process = subprocess.Popen(
            [BIN / "postgres", "-D", self.data], stderr=subprocess.DEVNULL, cwd=self.folder, **self.account.popen
        )
        until(self._answers, timeout=30)

    def restart(self) -> None:
        """As an administrator does: settings of ALTER SYSTEM count from then on."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self._launch()

    def fail_over(self) -> None:
        """A standby of this server takes its place, address and all: on the same data, on another timeline."""
        base = ["--host=127.0.0.1", f"--port={self.port}", "--username=postgres", "--no-password", "--checkpoint=fast"]
        environment = {**os.environ, "PGPASSWORD": "secret"}
        standby = self.folder / "standby"
        self._run(BIN / "pg_basebackup", "-D", standby, "--write-recovery-conf", *base, env=environment)
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)
        self.data = standby
        self._launch()
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    def dsn(self, prefix: str = "test") -> str:
        self._number += 1
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {prefix}_{self._number}".encode())
        return self._dsn(f"{prefix}_{self._number}")

    def stop(self) -> None:
        os.kill(self.process.pid, signal.SIGQUIT)
        self.process.wait()
        subprocess.run(["rm", "-rf", self.folder], check=True)

    @property
    def certificate(self) -> Path:
        return self.data / "server.crt"

    def _dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} dbname={database} user=postgres password=secret"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._dsn("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, *command: str | Path, env: dict[str, str] | None = None) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, env=env, **self.account.popen)


def skip_or_fail(what: str) -> None:
    """A missing system package skips by name; under TOPLINE_TEST_STRICT it fails."""
    if os.environ.get("TOPLINE_TEST_STRICT") == "1":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")
