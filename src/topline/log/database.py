"""The SQLite file of the log: its tables, its connections (one a thread), its transactions, and its errors in our words."""

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from topline.errors import StateError, WorkError

FILE = "log.sqlite"
SEGMENTS = "segments"
FORMAT = 1
_BUSY_SECONDS = 60.0

# batches.seq grows with every change record, so (seq, place of the row) orders all changes of a table.
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE commits (epoch INTEGER PRIMARY KEY, time INTEGER NOT NULL, complete INTEGER NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE batches (seq INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL, table_name TEXT NOT NULL,
    partition TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX batches_by_table ON batches (table_name, epoch);
CREATE INDEX batches_by_epoch ON batches (epoch);
CREATE TABLE holds (table_name TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE held (seq INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, kind TEXT NOT NULL,
    partition TEXT NOT NULL, rows INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX held_by_table ON held (table_name);
CREATE TABLE positions (source TEXT, partition TEXT, hi INTEGER NOT NULL, lo INTEGER NOT NULL,
    PRIMARY KEY (source, partition)) WITHOUT ROWID;
CREATE TABLE memory (source TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY (source, key));
CREATE TABLE dead_letters (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, table_name TEXT NOT NULL,
    partition TEXT NOT NULL, hi INTEGER NOT NULL, lo INTEGER NOT NULL, locator TEXT NOT NULL, reason TEXT NOT NULL,
    epoch INTEGER NOT NULL, time INTEGER NOT NULL, state TEXT NOT NULL, size INTEGER NOT NULL, raw BLOB NOT NULL);
CREATE INDEX dead_letters_by_state ON dead_letters (state, source, table_name, epoch);
CREATE TABLE dirty (seq INTEGER PRIMARY KEY, model TEXT NOT NULL, epoch INTEGER NOT NULL, keys BLOB NOT NULL);
CREATE INDEX dirty_by_model ON dirty (model, epoch);
CREATE TABLE published (model TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE schemas (table_name TEXT PRIMARY KEY, definition TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE source_times (source TEXT PRIMARY KEY, time INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE segments (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, file TEXT NOT NULL,
    rows INTEGER NOT NULL, last_seq INTEGER NOT NULL, definition TEXT NOT NULL, retired_after_pin INTEGER);
CREATE TABLE pins (id INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL, file TEXT NOT NULL, pid INTEGER NOT NULL);
"""


class Database:
    """Connections to one log.sqlite. WAL: readers never wait. synchronous=FULL: a commit is on the disk when it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._writing = threading.Lock()

    def connection(self) -> sqlite3.Connection:
        """This thread's own connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect()
            self._all.append(found)
        return found

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("PRAGMA secure_delete = FAST")  # some builds wipe each page of a folded batch, and log the wiping
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: whole, or nothing of it. WorkError when the disk refuses."""
        with self._writing, self.errors():
            connection = self.connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One view of the database for several reads. Keep it short: the write-ahead file grows meanwhile."""
        with self.errors():
            connection = self.connection()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error

    def _translated(self, error: sqlite3.DatabaseError) -> WorkError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return damaged(self.path, str(error))
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return WorkError(
                f"cannot write the log {self.path}: {error}. Nothing of this commit was kept. "
                "Make room on that disk (or lift the limit on file sizes), then start again: it goes on where it stood"
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return WorkError(f"cannot open the log {self.path} for writing: {error}. Give this user rights to its folder")
        if code == sqlite3.SQLITE_BUSY:
            return WorkError(f"the log {self.path} was locked for {_BUSY_SECONDS:.0f} s by another process; end that process")
        return WorkError(f"the log {self.path} failed: {error}")

    def release_thread(self) -> None:
        """Closes this thread's connection: for threads that end before the log does."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            self._all.remove(connection)
            connection.close()

    def close(self) -> None:
        while self._all:
            self._all.pop().close()
        self._local = threading.local()


def damaged(path: Path, why: str) -> StateError:
    return StateError(
        f"the log {path} is damaged ({why}). Restore the state folder from a backup, or move the folder away "
        "and run again: tables are then copied anew from their sources"
    )


def create(database: Database, project: str) -> None:
    """The tables of a new log, and whose it is."""
    values = {"project": project, "format": str(FORMAT), "state_id": uuid.uuid4().hex, "floor": "0", "purged": "0"}
    with database.write() as connection:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [(key, value.encode()) for key, value in values.items()])


def verify(database: Database, project: str) -> None:
    """StateError where the file is damaged, of a newer version, or another project's."""
    _verify_size(database)
    with database.errors():
        try:
            stored = dict(database.connection().execute("SELECT key, value FROM meta"))
        except sqlite3.OperationalError as error:
            raise damaged(database.path, str(error)) from error
    version = int(stored.get("format", b"0"))
    if version > FORMAT:
        raise StateError(
            f"the log {database.path} has format {version}, written by a newer Topline; this one reads up to {FORMAT}. "
            "Upgrade Topline, or point `state` at another folder"
        )
    if stored["project"].decode() != project:
        raise StateError(
            f"the state folder {database.path.parent} belongs to the project {stored['project'].decode()!r}, "
            f"not to {project!r}. Give this project another `state` folder in topline.yml"
        )


def _verify_size(database: Database) -> None:
    """A file that is shorter than its own header says was cut, unless the write-ahead file still holds the rest."""
    with database.errors():
        pages = database.connection().execute("PRAGMA page_count").fetchone()[0]
        size = database.connection().execute("PRAGMA page_size").fetchone()[0]
    ahead = database.path.with_name(FILE + "-wal")
    actual = database.path.stat().st_size
    if actual < pages * size and not (ahead.exists() and ahead.stat().st_size):
        raise damaged(database.path, f"{actual} bytes of {pages * size} are there")
