"""The log as the engine has it: one transaction a batch, and everything behind it."""

import logging
import threading
import time as clock
from collections.abc import Iterable, Mapping
from pathlib import Path
from sqlite3 import Connection

from topline.changes import Sweep, TableChanges
from topline.errors import StateError, TransientError, WorkError
from topline.faults import point
from topline.log import letters, unfinished
from topline.log.books import _KEPT
from topline.log.codec import encode_changes, encode_schema, encode_sweep, encode_table, to_micros
from topline.log.compaction import Compactor, weight
from topline.log.contents import ORDER_BITS
from topline.log.database import FILE, SEGMENTS, Database, create, damaged, verify
from topline.log.entry import HeldChange, LetterState, LogEntry
from topline.log.lock import FileLock, lock_engine
from topline.log.pins import floor
from topline.log.reader import LogReader
from topline.schema import TableSchema

_REST = 10.0  # seconds after which a fold that failed is tried again
_BATCH = "INSERT INTO batches (epoch, table_name, partition, rows, bytes, data) VALUES (?, ?, ?, ?, ?, ?)"
_HELD = "INSERT INTO held (table_name, kind, partition, rows, data) VALUES (?, ?, ?, ?, ?)"
_POSITION = "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)"
_DIRTY = "INSERT INTO dirty (model, epoch, keys) VALUES (?, ?, ?)"
_SCHEMA = "INSERT OR REPLACE INTO schemas VALUES (?, ?)"


class Log(LogReader):
    """The log, opened for writing by the one engine of its state. Methods may be called from any of its threads."""

    def __init__(self, database: Database, lock: FileLock) -> None:
        super().__init__(database)
        self._lock = lock
        self._compactor = Compactor(database)
        self._background: threading.Thread | None = None
        self._failure: WorkError | None = None
        self._next_fold = 0.0
        self.trouble = ""  # why the last fold in the background failed; '' once one went through
        self._last_epoch = super().epoch
        self._schemas = self.schemas()
        self._appended, self._done = self._unfolded(), 0

    @classmethod
    def open(cls, state_dir: Path, project: str) -> "Log":
        """Open or create the log of `project`, and repair what a crash left behind.

        StateError: another engine runs on it (names its process); it is damaged, newer, or another project's.
        """
        _make(state_dir)
        lock = lock_engine(state_dir)
        database = Database(state_dir / FILE)
        try:
            _prepare(database, project)
            with database.write() as connection:
                unfinished.discard(connection)
            log = cls(database, lock)
            _remove_strangers(database)
            log._compactor.clean()
        except BaseException:
            database.close()
            lock.release()
            raise
        return log

    def __enter__(self) -> "Log":
        return self

    def close(self) -> None:
        """Ends a compaction that is under way (nothing of it is lost) and lets the state go."""
        self._compactor.stop()
        if self._background is not None:
            self._background.join()
        super().close()
        self._lock.release()

    @property
    def epoch(self) -> int:
        return self._last_epoch

    def require_there(self) -> None:
        """StateError where the state folder was removed under the engine: what it commits would be kept by nobody."""
        if self._lock.removed:
            raise StateError(
                f"the state folder {self._database.path.parent} was removed while the engine ran on it; "
                "start it again: it reads its sources anew"
            )

    @property
    def pending(self) -> int:
        """What is not folded into segments yet: changes, an epoch counted as some more."""
        return self._appended - self._done

    def append(self, entry: LogEntry) -> int:
        """Commit one epoch, and return its number. It is on the disk then; WorkError when it is not, and nothing of it stays.

        1. changes, held changes and dirty keys are encoded, outside the transaction
        2. BEGIN IMMEDIATE; the epoch, with its time, and whether it stands amid a transaction
        3. schemas that are new or changed
        4. changes, in order; changes of held tables apart; those of released tables go
        5. positions, memory and times of the sources
        6. dead letters, and what became of those that this entry replays, or whose file was read anew
        7. dirty keys
        8. COMMIT, with an fsync of the write-ahead file: from here on the epoch exists
        """
        epoch, time = self._last_epoch + 1, to_micros(entry.time) if entry.time else clock.time_ns() // 1000
        batches, held = self._encode(entry, epoch)
        dirty = [(model, epoch, encode_table(keys)) for model, keys in entry.dirty.items() if keys.num_rows]
        rows = sum(len(part) for part in entry.changes if isinstance(part, TableChanges) and part.table not in entry.held)
        with self._database.write() as connection:
            connection.execute("INSERT INTO commits VALUES (?, ?, ?, ?)", (epoch, time, entry.complete, rows))
            unfinished.note(connection, entry.complete)
            connection.executemany(_SCHEMA, [(name, encode_schema(s)) for name, s in entry.schemas.items()])
            connection.executemany(_BATCH, batches)
            connection.executemany(_HELD, held)
            _release(connection, entry.released)
            _sources(connection, entry)
            for source, replaced in entry.replaced.items():
                letters.supersede(connection, source, replaced)
            letters.insert(connection, epoch, time, entry.dead_letters)
            letters.mark(connection, entry.letters.items())
            if entry.dead_letters:
                point("append:letters")
            connection.executemany(_DIRTY, dirty)
            point("append:before-commit")
        self._last_epoch, self._appended = epoch, self._appended + weight(1, rows)
        self._schemas |= entry.schemas
        point("append:after-commit")
        return epoch

    def _encode(self, entry: LogEntry, epoch: int) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
        schemas = self._schemas | dict(entry.schemas)
        batches: list[tuple[object, ...]] = []
        held: list[tuple[object, ...]] = []
        for part in entry.changes:
            if part.table in entry.held:
                held.append(_held_row(part))
            elif isinstance(part, Sweep):
                raise ValueError(f"a sweep of {part.table} must be resolved into explicit rows before it is logged")
            elif len(part):
                _check(part, schemas.get(part.table))
                data = encode_changes(part)
                batches.append((epoch, part.table, part.partition, len(part), len(data), data))
        return batches, held

    def discard_unfinished(self) -> None:
        """Forget the parts of a transaction whose last part has not come: back to the last complete epoch."""
        with self._database.write() as connection:
            unfinished.discard(connection)
        self._last_epoch = super().epoch
        self._appended, self._done = self._unfolded(), 0

    def declare(self, schemas: Mapping[str, TableSchema]) -> None:
        """The schemas in which tables are logged from now on. Writes only what differs."""
        changed = {name: schema for name, schema in schemas.items() if self._schemas.get(name) != schema}
        if changed:
            with self._database.write() as connection:
                connection.executemany(_SCHEMA, [(name, encode_schema(schema)) for name, schema in changed.items()])
            self._schemas |= changed

    def mark_published(self, epoch: int, models: Iterable[str]) -> None:
        """The results hold `models` as of `epoch`: their dirty keys up to it are done with."""
        marks = [(model, epoch) for model in models]
        with self._database.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO published VALUES (?, ?)", marks)
            connection.executemany("DELETE FROM dirty WHERE model = ? AND epoch <= ?", marks)

    def hold(self, table: str, reason: str) -> None:
        """Remember over restarts that the changes of `table` are only kept, and why."""
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO holds VALUES (?, ?)", (table, reason))

    def release(self, table: str) -> None:
        """End the hold and drop what it kept: for a table that is copied anew. To apply what it kept, read `held(table)`,
        resolve it, and append it with `released={table}`, which is one transaction."""
        with self._database.write() as connection:
            _release(connection, [table])

    def mark_letter(self, letter: int, state: LetterState) -> None:
        with self._database.write() as connection:
            letters.mark(connection, [(letter, state)])

    def set(self, key: str, value: str | None) -> None:
        """Keep a small text over restarts; None forgets it."""
        with self._database.write() as connection:
            if value is None:
                connection.execute("DELETE FROM meta WHERE key = ?", (_KEPT + key,))
            else:
                connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEPT + key, value.encode()))

    def compact(self, through: int | None = None, *, hurried: bool = False) -> None:
        """Fold batches into segments, up to the published epoch (or `through`, where nothing is published yet) and the
        oldest pin. Appends go on meanwhile; `hurried`: they have much to do, and what can wait is left."""
        published = max(self.published_epochs().values(), default=None)
        bounds = [bound for bound in (published, through) if bound is not None]
        if bounds:
            self._done += self._compactor.run(min(bounds), hurried=hurried)

    def compact_in_background(self, through: int | None = None, *, hurried: bool = False) -> bool:
        """`compact` in a thread. False when one is under way, or when a disk did not take the last one, which is tried again
        after a rest. Raises what else the one before failed with."""
        if self.compacting or clock.monotonic() < self._next_fold:
            return False
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        self._background = threading.Thread(target=self._compact_apart, args=(through, hurried), name="compaction", daemon=True)
        self._background.start()
        return True

    @property
    def compacting(self) -> bool:
        return self._background is not None and self._background.is_alive()

    def _compact_apart(self, through: int | None, hurried: bool) -> None:
        try:
            self.compact(through, hurried=hurried)
            self.trouble = ""
        except TransientError as error:
            self._rest(str(error))
        except WorkError as error:
            self._failure = error
        finally:
            self._database.release_thread()

    def _rest(self, trouble: str) -> None:
        if trouble != self.trouble:
            logging.getLogger(__name__).warning("%s", trouble)
        self.trouble, self._next_fold = trouble, clock.monotonic() + _REST

    def _unfolded(self) -> int:
        with self._database.read() as connection:
            sql = "SELECT count(*), coalesce(sum(rows), 0) FROM commits WHERE epoch > ?"
            return weight(*connection.execute(sql, (floor(connection),)).fetchone())


def _held_row(part: HeldChange) -> tuple[object, ...]:
    if isinstance(part, Sweep):
        return part.table, "sweep", "", 0, encode_sweep(part)
    return part.table, "changes", part.partition, len(part), encode_changes(part)


def _check(part: TableChanges, schema: TableSchema | None) -> None:
    if schema is None:
        raise ValueError(f"the log has no schema of {part.table}: declare it first, or give it in the entry's `schemas`")
    if tuple(part.rows.column_names) != schema.names:
        raise ValueError(f"changes of {part.table} have the columns {part.rows.column_names}, its schema {list(schema.names)}")
    if part.unchanged is not None and part.unchanged.any():
        raise ValueError(f"changes of {part.table} leave columns `unchanged`: they must be filled in before they are logged")
    if len(part) >= 1 << ORDER_BITS:
        raise ValueError(f"{len(part)} changes of {part.table} in one part; the log takes less than {1 << ORDER_BITS}")


def _release(connection: Connection, tables: Iterable[str]) -> None:
    names = [(table,) for table in tables]
    connection.executemany("DELETE FROM held WHERE table_name = ?", names)
    connection.executemany("DELETE FROM holds WHERE table_name = ?", names)


def _sources(connection: Connection, entry: LogEntry) -> None:
    connection.executemany(
        _POSITION, [(source, partition, *at) for source, ps in entry.positions.items() for partition, at in ps.items()]
    )
    memory = [(source, key, value) for source, kept in entry.memory.items() for key, value in kept.items()]
    connection.executemany("INSERT OR REPLACE INTO memory VALUES (?, ?, ?)", [m for m in memory if m[2] is not None])
    connection.executemany("DELETE FROM memory WHERE source = ? AND key = ?", [m[:2] for m in memory if m[2] is None])
    times = [(source, to_micros(time)) for source, time in entry.source_times.items()]
    connection.executemany("INSERT OR REPLACE INTO source_times VALUES (?, ?)", times)


def _make(state_dir: Path) -> None:
    try:
        (state_dir / SEGMENTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkError(
            f"cannot make the state folder {state_dir}: {error.strerror}. Give this user rights, or set `state`"
        ) from None


def _prepare(database: Database, project: str) -> None:
    if database.path.exists() and database.path.stat().st_size:
        verify(database, project)
    elif any((database.path.parent / SEGMENTS).iterdir()):
        raise damaged(database.path, "it is missing or empty, but its segments are there")
    else:
        create(database, project)


def _remove_strangers(database: Database) -> None:
    """Delete segment files that no transaction names: a compaction died before its commit."""
    with database.read() as connection:
        named = {file for (file,) in connection.execute("SELECT file FROM segments")}
    for path in (database.path.parent / SEGMENTS).iterdir():
        if path.name not in named:
            path.unlink()
