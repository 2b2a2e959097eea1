"""The launcher: one PostgreSQL 18 a state folder, shared by the processes that use it, stopped by the last of them."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql

from topline.embedded.cluster import Cluster
from topline.errors import ConfigError, StateError, TransientError

_DATABASE = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class EmbeddedPostgres:
    """PostgreSQL in `state_dir`/postgres: loopback only, password in a 0600 file, `wal_level=logical`.

    Each process that uses it holds a shared file lock; who lets go of the last one stops the server. A killed process
    loses its lock by itself. Not for use by several threads at once. Errors: StateError (it cannot run here),
    TransientError (it did not start in time), ConfigError (a database name).
    """

    def __init__(self, state_dir: Path) -> None:
        self._home = state_dir.resolve() / "postgres"
        self._cluster = Cluster(self._home)
        self._users: int | None = None

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Count this object among the users, and start the server unless it runs. May be called again.

        StateError, too, where the folder was removed since: another, empty database would be no help to anybody.
        """
        if self._removed():
            raise StateError(f"{self._home} was removed while it was in use; end this process, and begin with what is left")
        try:
            self._home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"cannot make the folder {self._home}: {error.strerror}") from None
        with self._lock("start.lock"):
            if self._users is None:
                self._users = self._open_lock("users.lock")
                fcntl.flock(self._users, fcntl.LOCK_SH)
            try:
                self._cluster.ensure()
            except BaseException:
                self._leave()
                raise

    ensure_running = start

    def stop(self) -> None:
        """Let go; the last user stops the server (a fast shutdown). May be called again."""
        if self._users is None:
            return
        if self._removed():  # and so for all who use it
            self._leave()
            self._cluster.shut_down()
            return
        with self._lock("start.lock"):
            self._leave()
            if self._unused():
                self._cluster.shut_down()

    def dsn(self, database: str) -> str:
        """A DSN of `database`, which is created when it is missing. Starts the server when it does not run."""
        if not _DATABASE.fullmatch(database):
            raise ConfigError(
                f"embedded:{database}: not a database name; allowed are lower case letters, digits and underscore, up to 63"
            )
        if self._users is None or not self._cluster.answers():
            self.start()
        self._create(database)
        return self._cluster.conninfo(database)

    def pid(self) -> int | None:
        """Process id of the server, None when it does not run."""
        return self._cluster.pid()

    @property
    def port(self) -> int:
        return self._cluster.port

    @property
    def place(self) -> Path:
        """The folder that holds data and log: `state_dir`/postgres, or, where the server's user cannot go, one in /var/tmp."""
        return self._cluster.place

    def _removed(self) -> bool:
        return self._users is not None and not os.fstat(self._users).st_nlink

    def _create(self, database: str) -> None:
        try:
            with psycopg.connect(self._cluster.conninfo("postgres"), autocommit=True) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
                if known is None:
                    with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        except psycopg.OperationalError as error:
            raise TransientError(f"the embedded PostgreSQL does not answer on port {self.port}: {error}") from None

    def _open_lock(self, name: str) -> int:
        return os.open(self._home / name, os.O_RDWR | os.O_CREAT, 0o600)

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        descriptor = self._open_lock(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _leave(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def _unused(self) -> bool:
        descriptor = self._open_lock("users.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True
