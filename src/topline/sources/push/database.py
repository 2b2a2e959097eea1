"""The SQLite file of the inbox: its tables, its connections, and its errors in our words.

Several processes may write (an API each), one engine reads. WAL: neither waits for the other for long.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from topline.durable import sync
from topline.errors import StateError, TransientError

FILE = "inbox.sqlite"
FORMAT = 1
_BUSY_SECONDS = 10.0

# requests.last_seq is the sequence number of the request's last record; records have consecutive numbers.
_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('format', {FORMAT}), ('generation', 0), ('seq', 0), ('time', 0);
CREATE TABLE requests (last_seq INTEGER PRIMARY KEY, source TEXT NOT NULL, table_name TEXT NOT NULL,
    generation INTEGER NOT NULL, first_seq INTEGER NOT NULL, time INTEGER NOT NULL, bytes INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX requests_by_source ON requests (source, generation, last_seq);
CREATE TABLE letters (seq INTEGER PRIMARY KEY, raw BLOB NOT NULL, reason TEXT NOT NULL, locator TEXT NOT NULL);
CREATE TABLE sources (source TEXT PRIMARY KEY, waiting_rows INTEGER NOT NULL, waiting_bytes INTEGER NOT NULL,
    generation INTEGER NOT NULL, seq INTEGER NOT NULL, gone_generation INTEGER NOT NULL, gone_seq INTEGER NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE answers (table_name TEXT, caller TEXT, key TEXT, digest BLOB NOT NULL, time INTEGER NOT NULL,
    answer TEXT NOT NULL, PRIMARY KEY (table_name, caller, key)) WITHOUT ROWID;
CREATE INDEX answers_by_time ON answers (time);
"""

Identity = tuple[int, int]


def identity(path: Path) -> Identity:
    """Which file lies there: a restored one is another. TransientError where there is none."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise TransientError(f"the inbox {path} is gone: {error.strerror}") from None
    return found.st_dev, found.st_ino


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """A connection to the inbox, which is made where there is none. `durable`: a commit is on the disk when it returns.

    TransientError where it cannot be opened, StateError where it is damaged or newer than this Topline.
    """
    with errors(path):
        if not path.exists():
            _create(path)
        connection = _connection(path, durable=durable)
        try:
            (version,) = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
    if version > FORMAT:
        connection.close()
        raise StateError(f"the inbox {path} has format {version}; this Topline reads up to {FORMAT}: upgrade Topline")
    return connection


def _connection(path: Path, *, durable: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    return connection


def _create(path: Path) -> None:
    """Made whole under another name, then renamed, under a lock: of several processes one makes it, and none sees half."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / f"{FILE}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                _make(path)
    except OSError as error:
        raise TransientError(f"the inbox {path} cannot be made: {error.strerror}") from None


def _make(path: Path) -> None:
    fresh = path.with_name(f"{FILE}.new")
    for name in (fresh.name, f"{FILE}-wal", f"{FILE}-shm"):  # what a crash or a removed inbox left must not be taken for ours
        path.with_name(name).unlink(missing_ok=True)
    connection = sqlite3.connect(fresh, isolation_level=None)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
    finally:
        connection.close()
    fresh.chmod(0o600)
    sync(fresh)
    fresh.rename(path)
    sync(path.parent)


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction: whole, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def errors(path: Path) -> Iterator[None]:
    """SQLite's errors in our words: StateError for a damaged file, TransientError for what room or time may heal."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(path, error) from error


def _translated(path: Path, error: sqlite3.Error) -> StateError | TransientError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
        return StateError(
            f"the inbox {path} is damaged ({error}). Restore it; or stop Topline, move {FILE}, {FILE}-wal and {FILE}-shm "
            "away, and have sent again what was accepted and is not in the log yet"
        )
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return TransientError(f"the inbox {path} cannot be written: {error}. Nothing was kept; make room on that disk")
    if code == sqlite3.SQLITE_BUSY:
        return TransientError(f"the inbox {path} was locked for {_BUSY_SECONDS:.0f} s by another process")
    return TransientError(f"the inbox {path} cannot be used: {error}")
