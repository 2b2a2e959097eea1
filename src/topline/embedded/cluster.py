"""One data folder with its server process: made, started, looked at and shut down. Who uses it is not known here."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from topline.embedded.account import Account, server_account
from topline.embedded.binaries import bin_dir
from topline.errors import StateError, TransientError

USER = "topline"
_PATIENCE = 60.0  # seconds for start (crash recovery included) and for stop
_LOG_LIMIT = 10_000_000
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "jit": "off",
}


class Cluster:
    """`home` holds password and port; data and log lie in `place`. Errors: StateError, TransientError."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._last = home  # where the place was when it was last looked at: `home` may be removed

    def ensure(self) -> None:
        account = server_account(self._data)
        self._settle(account)
        self._last = self.place
        if not self._data.exists():
            self._initialise(account)
        if self.pid() is None or not self.answers():
            self._launch(account)

    def pid(self) -> int | None:
        """Process id of the server, None when it does not run."""
        pid = self._recorded_pid()
        return pid if pid and self._is_server(pid) else None

    @property
    def port(self) -> int:
        return int((self._home / "port").read_text())

    @property
    def place(self) -> Path:
        """The folder that holds data and log: `state_dir`/postgres, or, where the server's user cannot go, one in /var/tmp."""
        location = self._home / "location"
        return Path(location.read_text()) if location.exists() else self._last

    def answers(self) -> bool:
        """True when our server takes connections: its own lock file names it ready on our port, and the port answers."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            ready = len(lines) >= 8 and int(lines[3]) == self.port and lines[7].strip() == "ready"
        except (OSError, ValueError):
            return False
        return ready and self.pid() is not None and PGconn.ping(self.conninfo("postgres").encode()) == Ping.OK

    def shut_down(self) -> None:
        for number, patience in ((signal.SIGINT, _PATIENCE), (signal.SIGQUIT, 10.0)):
            deadline = time.monotonic() + patience
            if (pid := self.pid()) is not None:
                os.kill(pid, number)
            while self.pid() is not None and time.monotonic() < deadline:
                time.sleep(0.02)

    def conninfo(self, database: str) -> str:
        password = (self._home / "password").read_text()
        return make_conninfo(host="127.0.0.1", port=self.port, dbname=database, user=USER, password=password, sslmode="disable")

    @property
    def _data(self) -> Path:
        return self.place / "data"

    @property
    def _log(self) -> Path:
        return self.place / "server.log"

    def _settle(self, account: Account) -> None:
        """Choose the place once; data that the server's user can no longer reach is an error, not a new database."""
        if account.reaches(self._data):
            return
        if self._data.exists():
            raise StateError(
                f"user id {account.uid}, which runs the embedded PostgreSQL, cannot reach {self._data}: "
                f"`chmod a+x` the folders above it"
            )
        place = Path(tempfile.mkdtemp(prefix="topline-", dir="/var/tmp"))
        place.chmod(0o711)
        (self._home / "location").write_text(str(place))

    def _initialise(self, account: Account) -> None:
        """initdb beside, then rename: a killed initdb leaves nothing that looks like a database."""
        fresh = self.place / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        account.give(fresh)
        password = self.place / "password.new"
        self._write_secret(self._home / "password", secrets.token_urlsafe(24))
        self._write_secret(password, (self._home / "password").read_text())
        account.give(password)
        program = bin_dir(account, self.place) / "initdb"
        options = ["-U", USER, "-A", "scram-sha-256", "--locale=C", "-E", "UTF8", f"--pwfile={password}"]
        done = subprocess.run([program, "-D", fresh, *options], capture_output=True, cwd="/", check=False, **account.popen)
        password.unlink()
        if done.returncode:
            raise StateError(f"initdb in {fresh} failed: {done.stderr.decode(errors='replace').strip()}")
        fresh.rename(self._data)

    def _write_secret(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)

    def _launch(self, account: Account) -> None:
        """Start until it answers; tried again on "pre-existing shared memory block" (after SIGKILL) or a port just taken."""
        deadline = time.monotonic() + _PATIENCE
        while not self._launched(account, deadline):
            if time.monotonic() > deadline:
                raise TransientError(f"the embedded PostgreSQL does not start; end of {self._log}: {self._log_end()}")

    def _launched(self, account: Account, deadline: float) -> bool:
        self._choose_port()
        pid = self._spawn(account)
        while time.monotonic() < deadline and _alive(pid):
            if self.answers():
                return True
            time.sleep(0.02)
        time.sleep(0.2)
        return False

    def _spawn(self, account: Account) -> int:
        """The server as a child of init, not of ours: a child that nobody waits for would look alive after its death."""
        program = bin_dir(account, self.place) / "postgres"
        settings = [part for name, value in {**_SETTINGS, "port": str(self.port)}.items() for part in ("-c", f"{name}={value}")]
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT:
            self._log.rename(self._log.with_suffix(".old"))
        # A recorded process that is not our server (ids are reused after a restart) must not keep it from starting;
        # PostgreSQL exempts the process named here, and still looks for live shared memory (CreateLockFile, miscinit.c).
        environment = {**os.environ, "PG_GRANDPARENT_PID": str(self._recorded_pid())}
        with self._log.open("ab") as log:
            done = subprocess.run(
                ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", program, "-D", self._data, *settings],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._data,
                env=environment,
                check=True,
                start_new_session=True,  # Ctrl-C in a terminal is for us: the server ends when its last user lets go
                **account.popen,
            )
        return int(done.stdout)

    def _recorded_pid(self) -> int:
        try:
            return int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return 0

    def _is_server(self, pid: int) -> bool:
        """True when `pid` lives and works in our data folder (as far as the system tells: Linux does)."""
        if not _alive(pid):
            return False
        try:
            return not Path("/proc/self/cwd").exists() or Path(f"/proc/{pid}/cwd").readlink() == self._data
        except OSError:
            return False

    def _choose_port(self) -> None:
        try:
            port = self.port
        except (OSError, ValueError):
            port = 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            fresh = self._home / "port.new"
            fresh.write_text(str(probe.getsockname()[1]))
            fresh.rename(self._home / "port")

    def _log_end(self) -> str:
        return self._log.read_text(errors="replace")[-500:].strip() if self._log.exists() else "(no log)"


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # where we are process 1, the dead server is ours to reap
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
