"""Compaction: old batches become Parquet segments, and segments merge by size, beside a running engine.

Level L holds segments of FAN^L rows and more. A new segment takes in older ones that are of a lower level, and FAN - 1 of its
own: so there are fewer than FAN of a level, and whenever a row is rewritten, it rises.
"""

import contextlib
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa

from topline.durable import sync
from topline.errors import TransientError
from topline.faults import point
from topline.log import pins
from topline.log.books import CHECKPOINT, Books
from topline.log.codec import encode_schema
from topline.log.contents import Contents, Segment, load_records, load_segments
from topline.log.database import SEGMENTS, Database
from topline.log.letters import oldest_open
from topline.log.reader import connect
from topline.log.segment import rows_of, write
from topline.schema import TableSchema

STEP_ROWS = 2_000_000  # changes folded at once, so that memory stays bounded in a long backlog
STEP_BYTES = 64 << 20  # the same as they lie in the log; decoded they are some ten times larger
FAN = 4  # more: fewer rewrites, and more segments to read
MOST = 12  # segments of a table that a backlog leaves unmerged: the processor is for what waits
EPOCH_ROWS = 100  # to read an epoch takes as long as to read so many of its rows more
_PATIENCE = 0.05  # seconds between two interrupts
_PRUNE_BYTES, _PRUNE_ROWS = 4_000_000, 5_000


@dataclass(frozen=True, slots=True)
class _Step:
    after: int
    to: int
    purge: int
    weight: int


@dataclass(frozen=True, slots=True)
class _Written:
    table: TableSchema
    file: str
    rows: int
    last_seq: int
    replaces: Sequence[Segment]


class Compactor:
    """Folds on request. One run at a time; `stop` ends one that is under way."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._books = Books(database)
        self._folder = database.path.parent
        self._running = threading.Lock()
        self._stopping = False
        self._connection: duckdb.DuckDBPyConnection | None = None

    def run(self, through: int, *, hurried: bool = False) -> int:
        """Fold what is at or below epoch `through` and every pin. Returns the weight of what it folded.

        `hurried`: a backlog waits; older segments are merged only where there are many."""
        folded, leave = 0, MOST if hurried else 0
        with self._running:
            while not self._stopping and (step := self._next_step(through)) is not None and self._fold(step, leave):
                folded += step.weight
            self.clean()
        return folded

    def stop(self) -> None:
        self._stopping = True
        while not self._running.acquire(timeout=_PATIENCE):  # an interrupt is lost on a query that has not begun
            connection = self._connection
            if connection is not None:
                with contextlib.suppress(duckdb.Error):  # it has just been closed
                    connection.interrupt()
        self._running.release()

    def clean(self) -> None:
        """Delete what nobody reads any more: files of merged segments, folded batches."""
        with self._database.write() as connection:
            oldest = min((pin for pin, _ in pins.live(connection, self._folder)), default=None)
            sql = "SELECT id, file FROM segments WHERE retired_after_pin IS NOT NULL AND coalesce(retired_after_pin < ?, 1)"
            gone = connection.execute(sql, (oldest,)).fetchall()
        if gone:
            point("compact:before-removal")
        for _, file in gone:
            (self._folder / SEGMENTS / file).unlink(missing_ok=True)
        if gone:
            point("compact:removed")
            with self._database.write() as connection:
                connection.executemany("DELETE FROM segments WHERE id = ?", [(number,) for number, _ in gone])
        while not self._stopping and self._prune():
            pass

    def _next_step(self, through: int) -> _Step | None:
        with self._database.write() as connection:
            limit = min([through, *(epoch for _, epoch in pins.live(connection, self._folder))])
            after = pins.floor(connection)
            size = "(SELECT coalesce(sum(bytes), 0) FROM batches WHERE batches.epoch = commits.epoch)"
            sql = f"SELECT epoch, complete, rows, {size} FROM commits WHERE epoch > ? AND epoch <= ? ORDER BY epoch"
            commits = connection.execute(sql, (after, limit)).fetchall()
            letter = oldest_open(connection)
        to, epochs, rows = _stretch(commits)
        if not to:
            return None
        checkpoint = self._books.get(CHECKPOINT)
        purge = min(to, to if checkpoint is None else int(checkpoint), to if letter is None else letter - 1)
        return _Step(after, to, purge, weight(epochs, rows))

    def _fold(self, step: _Step, leave: int = 0) -> bool:
        """Replace the batches of a step by segments. False when a reader pinned an epoch of the step meanwhile.

        1. write the new segments beside the old ones, and fsync files and folder
        2. one transaction names them, retires what they replace, and raises the floor
        3. old files and batches are deleted later, when nobody reads them (`clean`)
        """
        written: list[_Written] = []
        try:
            for table in self._tables(step):
                written.append(self._write(table, step, leave))
            sync(self._folder / SEGMENTS)
        except BaseException as error:
            self._discard(written)  # on a full disk, what was begun must not stay
            if not isinstance(error, duckdb.Error | pa.ArrowException | OSError):
                raise
            if self._stopping:  # an interrupted DuckDB comes as one of several errors out of Arrow's stream
                return False
            raise TransientError(
                f"cannot fold the log into {self._folder / SEGMENTS}: {error}. Nothing is lost, the log only grows; make room "
                "on that disk, and it is tried again"
            ) from error
        point("compact:before-commit")
        with self._database.write() as connection:
            pinned = any(epoch < step.to for _, epoch in pins.live(connection, self._folder))
            if not pinned:
                self._name(connection, step, written)
                point("compact:named")
        if pinned:
            self._discard(written)
            return False
        point("compact:after-commit")
        return True

    def _discard(self, written: Sequence[_Written]) -> None:
        for one in written:
            (self._folder / SEGMENTS / one.file).unlink(missing_ok=True)

    def _tables(self, step: _Step) -> list[TableSchema]:
        with self._database.read() as connection:
            sql = "SELECT DISTINCT table_name FROM batches WHERE epoch > ? AND epoch <= ?"
            names = {name for (name,) in connection.execute(sql, (step.after, step.to))}
        return [schema for name, schema in self._books.schemas().items() if name in names]

    def _write(self, schema: TableSchema, step: _Step, leave: int) -> _Written:
        with self._database.read() as connection:
            segments = load_segments(connection, self._folder / SEGMENTS, schema.name)
            records = load_records(connection, schema.name, step.after, step.to)
            counts = "SELECT sum(rows) FROM batches WHERE table_name = ? AND epoch > ? AND epoch <= ?"
            pending = connection.execute(counts, (schema.name, step.after, step.to)).fetchone()[0]
        merged = _merged(segments, pending) if len(segments) >= leave else ()
        whole = len(merged) == len(segments)
        purge = step.purge if whole else -1
        file = f"{uuid.uuid4().hex}.parquet"
        rows = self._make(schema, Contents(schema.name, merged, records), purge, self._folder / SEGMENTS / file)
        return _Written(schema, file, rows, records[-1].seq, merged)

    def _make(self, schema: TableSchema, contents: Contents, purge: int, path: Path) -> int:
        """Write the contents' last changes, but deletes up to epoch `purge`. Returns their number."""
        connection = self._connection = connect(self._folder)
        try:
            connection.execute("SET threads = 1")  # the other cores are for folding and publishing
            rows = rows_of(connection, schema, contents, purge)
            count = write(path, replace(rows, tables=self._until_stopped(rows.tables)), schema.key)
            sync(path)
            point("compact:segment")
        except BaseException:
            path.unlink(missing_ok=True)  # on a full disk, what was begun must not stay
            raise
        finally:
            self._connection = None
            connection.close()
        return count

    def _until_stopped(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        for table in tables:
            if self._stopping:
                raise InterruptedError
            yield table

    def _name(self, connection: sqlite3.Connection, step: _Step, written: Sequence[_Written]) -> None:
        last_pin = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'pins'").fetchone()[0]
        for one in written:
            retired = [(last_pin, segment.id) for segment in one.replaces]
            connection.executemany("UPDATE segments SET retired_after_pin = ? WHERE id = ?", retired)
            connection.execute(
                "INSERT INTO segments (table_name, file, rows, last_seq, definition) VALUES (?, ?, ?, ?, ?)",
                (one.table.name, one.file, one.rows, one.last_seq, encode_schema(one.table)),
            )
        connection.execute("UPDATE meta SET value = ? WHERE key = 'floor'", (str(step.to).encode(),))
        connection.execute(
            "UPDATE meta SET value = ? WHERE key = 'purged' AND CAST(value AS INTEGER) < ?",
            (str(step.purge).encode(), step.purge),
        )

    def _prune(self) -> bool:
        """Delete some folded batches, few enough that an append hardly waits. False when there are none left."""
        with self._database.write() as connection:
            floor = pins.floor(connection)
            sql = "SELECT seq, epoch, bytes FROM batches WHERE epoch <= ? ORDER BY seq LIMIT ?"
            rows = connection.execute(sql, (floor, _PRUNE_ROWS)).fetchall()
            last, size = 0, 0
            for seq, _, length in rows:
                last, size = seq, size + length
                if size >= _PRUNE_BYTES:
                    break
            connection.execute("DELETE FROM batches WHERE seq <= ? AND epoch <= ?", (last, floor))
            if not rows:
                connection.execute("DELETE FROM commits WHERE epoch <= ?", (floor,))
        return bool(rows)


def weight(epochs: int, rows: int) -> int:
    """What it takes to read so much of the log, in rows."""
    return rows + EPOCH_ROWS * epochs


def _stretch(commits: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int]:
    """The last epoch to fold in one step, the epochs and their changes: at least one, else within STEP_ROWS and STEP_BYTES.

    Never past the last complete one; before that also amid a transaction, for no reader asks for less than what is complete.
    """
    last = max((epoch for epoch, complete, _, _ in commits if complete), default=0)
    to, rows, size = 0, 0, 0
    for number, (epoch, _, count, length) in enumerate(commits):
        rows, size = rows + count, size + length
        if epoch > last or (to and (rows > STEP_ROWS or size > STEP_BYTES)):
            return to, number, rows - count
        to = epoch
    return to, len(commits), rows


def _merged(segments: Sequence[Segment], pending: int) -> tuple[Segment, ...]:
    """The segments, oldest first, that a new one of `pending` changes takes in: always the newest ones."""
    total, first = pending, len(segments)
    while first:
        level = _level(total)
        alike = segments[max(first - FAN + 1, 0) : first]
        if _level(segments[first - 1].rows) < level:
            first -= 1
            total += segments[first].rows
        elif len(alike) == FAN - 1 and all(_level(one.rows) == level for one in alike):
            first -= len(alike)
            total += sum(one.rows for one in alike)
        else:
            break
    return tuple(segments[first:])


def _level(rows: int) -> int:
    """The largest L with FAN^L <= rows."""
    level = 0
    while rows >= FAN ** (level + 1):
        level += 1
    return level
