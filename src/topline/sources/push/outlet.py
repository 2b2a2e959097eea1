"""The inbox as the engine reads it: what waits behind a position, and letting go of what the log has."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from topline.changes import Position
from topline.errors import SourceHalted, StateError, TransientError
from topline.sources.push import database
from topline.sources.push.inbox import Letter, forget_answers

NOWHERE = Position(0, 0)
_STEP = 500  # requests that one transaction lets go of: writers wait no longer than for these
_BYTES = 32 << 20  # of requests that are in memory at once
_PAGES = 2000  # free pages that stay in the file, and pages that one step gives back
_ANSWERS = 1000  # expired answers that one step takes out


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was accepted: consecutive numbers from `first` to `last`; `time` in microseconds since 1970 (UTC)."""

    table: str
    generation: int
    first: int
    last: int
    time: int
    data: bytes
    letters: tuple[Letter, ...]

    @property
    def at(self) -> Position:
        return Position(self.generation, self.last)


@dataclass(frozen=True, slots=True)
class Marks:
    """`end`: the last request that was accepted; `gone`: the last one that was let go of; what waits in between."""

    end: Position = NOWHERE
    gone: Position = NOWHERE
    rows: int = 0
    bytes: int = 0


class Outlet:
    """One source's part of the inbox; used by one thread. SourceHalted where the file is damaged."""

    def __init__(self, path: Path, source: str, remember: float) -> None:
        self._path, self._source, self._remember = path, source, remember
        self._connection: sqlite3.Connection | None = None
        self._identity: database.Identity = (0, 0)
        self._version = -1
        self._marks = Marks()

    def open(self) -> None:
        with _failures(self._path):
            self._connection = database.connect(self._path, durable=False)  # what is let go of twice does no harm
        self._identity = database.identity(self._path)
        self._version = -1

    def begin_above(self, position: Position) -> None:
        """Numbers given out from here on lie above `position`, also where the file is new and the clock was set back."""
        with _failures(self._path):
            query = "UPDATE meta SET value = ? WHERE key = 'generation' AND value < ?"
            self._used().execute(query, (position.hi + 1, position.hi))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def marks(self) -> Marks:
        """As they stand; cheap while nothing changes. TransientError where the file is another one by now."""
        connection = self._used()
        with _failures(self._path):
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                self._version, self._marks = version, self._read_marks(connection)
        return self._marks

    def after(self, position: Position, rows: int) -> list[Request]:
        """The requests behind `position`, in order: as many as come to at most `rows` rows and some MB, but one at least."""
        with _failures(self._path):
            found: list[Request] = []
            size = _BYTES
            for request in self._requests(position):
                rows -= request.last - request.first + 1
                size -= len(request.data)
                if found and (rows < 0 or size < 0):
                    break
                found.append(request)
            return found

    def let_go(self, position: Position) -> None:
        """Remove what lies at or below `position`, a bounded number of requests in each transaction, and expired answers."""
        connection = self._used()
        with _failures(self._path):
            while self._step(connection, position):
                pass
            self._shrink(connection)
            self._version = -1

    def forget_answers(self, tables: list[str]) -> None:
        with _failures(self._path), database.writing(connection := self._used()):
            for table in tables:
                forget_answers(connection, table, self._remember, _ANSWERS)

    def _used(self) -> sqlite3.Connection:
        if self._connection is None:
            raise TransientError(f"the inbox {self._path} is closed")
        if database.identity(self._path) != self._identity:
            raise TransientError(f"the inbox {self._path} was replaced by another file: it is opened anew")
        return self._connection

    def _read_marks(self, connection: sqlite3.Connection) -> Marks:
        query = "SELECT generation, seq, gone_generation, gone_seq, waiting_rows, waiting_bytes FROM sources WHERE source = ?"
        row = connection.execute(query, (self._source,)).fetchone()
        return Marks() if row is None else Marks(Position(*row[:2]), Position(*row[2:4]), *row[4:])

    def _requests(self, position: Position) -> Iterator[Request]:
        connection = self._used()
        cursor = connection.execute(
            "SELECT table_name, generation, first_seq, last_seq, time, data FROM requests "
            "WHERE source = ? AND (generation, last_seq) > (?, ?) ORDER BY generation, last_seq",
            (self._source, *position),
        )
        try:
            for row in cursor:
                table, generation, first, last, time, data = row
                yield Request(table, generation, first, last, time, data, _letters(connection, first, last))
        finally:
            cursor.close()

    def _step(self, connection: sqlite3.Connection, position: Position) -> bool:
        """One transaction; whether there is more to let go of."""
        query = (
            "SELECT generation, first_seq, last_seq, bytes FROM requests WHERE source = ? AND (generation, last_seq) <= (?, ?) "
            "ORDER BY generation, last_seq LIMIT ?"
        )
        old = connection.execute(query, (self._source, *position, _STEP)).fetchall()
        if not old:
            return False
        with database.writing(connection):
            connection.executemany("DELETE FROM requests WHERE last_seq = ?", [(row[2],) for row in old])
            connection.executemany("DELETE FROM letters WHERE seq BETWEEN ? AND ?", [(row[1], row[2]) for row in old])
            rows, size = sum(row[2] - row[1] + 1 for row in old), sum(row[3] for row in old)
            connection.execute(
                "UPDATE sources SET waiting_rows = waiting_rows - ?, waiting_bytes = waiting_bytes - ?, "
                "gone_generation = ?, gone_seq = ? WHERE source = ?",
                (rows, size, old[-1][0], old[-1][2], self._source),
            )
        return len(old) == _STEP

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Give back pages once many are free: the file is as large as what waits, not as what ever waited."""
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if free > 2 * _PAGES:
            connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")  # `execute` would give back a single page


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """A damaged file is a matter for a person."""
    try:
        with database.errors(path):
            yield
    except StateError as error:
        raise SourceHalted(str(error)) from None


def _letters(connection: sqlite3.Connection, first: int, last: int) -> tuple[Letter, ...]:
    query = "SELECT seq, raw, reason, locator FROM letters WHERE seq BETWEEN ? AND ? ORDER BY seq"
    return tuple(Letter(seq - first, *rest) for seq, *rest in connection.execute(query, (first, last)))
