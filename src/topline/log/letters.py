"""Dead letters in the log: kept byte for byte, listed, counted, and marked once they were replayed."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from topline.changes import DeadLetter, Position
from topline.errors import UsageError
from topline.log.codec import from_micros
from topline.log.database import Database
from topline.log.entry import LetterState, StoredLetter

_COLUMNS = "id, source, table_name, partition, hi, lo, locator, reason, epoch, time, state, size"


class Letters:
    """Dead letters, by id. Reads work beside a running engine."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self,
        *,
        source: str | None = None,
        table: str | None = None,
        state: LetterState | None = LetterState.OPEN,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[StoredLetter]:
        """Letters that pass every filter (None: any), by id. Without their bytes."""
        where, values = _filter(source, table, state)
        order = "DESC" if newest_first else "ASC"
        sql = f"SELECT {_COLUMNS} FROM dead_letters WHERE {where} ORDER BY id {order} LIMIT ?"
        with self._database.read() as connection:
            return [_letter(row) for row in connection.execute(sql, (*values, -1 if limit is None else limit))]

    def count(
        self, *, source: str | None = None, table: str | None = None, state: LetterState | None = LetterState.OPEN
    ) -> int:
        where, values = _filter(source, table, state)
        with self._database.read() as connection:
            return int(connection.execute(f"SELECT count(*) FROM dead_letters WHERE {where}", values).fetchone()[0])

    def get(self, letter: int) -> StoredLetter:
        """UsageError when there is none with this id."""
        with self._database.read() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM dead_letters WHERE id = ?", (letter,)).fetchone()
        if row is None:
            raise UsageError(f"there is no dead letter {letter}; `topline dead-letters list` shows the ids")
        return _letter(row)

    def raw(self, letter: int) -> bytes:
        """The bytes as they came."""
        self.get(letter)
        with self._database.read() as connection:
            return bytes(connection.execute("SELECT raw FROM dead_letters WHERE id = ?", (letter,)).fetchone()[0])


def _filter(source: str | None, table: str | None, state: LetterState | None) -> tuple[str, list[str]]:
    pairs = {"source": source, "table_name": table, "state": state.value if state else None}
    chosen = {name: value for name, value in pairs.items() if value is not None}
    return " AND ".join(f"{name} = ?" for name in chosen) or "true", list(chosen.values())


def _letter(row: tuple[Any, ...]) -> StoredLetter:
    number, source, table, partition, hi, lo, locator, reason, epoch, time, state, size = row
    at = Position(hi, lo)
    return StoredLetter(
        number, source, table, partition, at, locator, reason, epoch, from_micros(time), LetterState(state), size
    )


def insert(connection: sqlite3.Connection, epoch: int, time: int, letters: Iterable[tuple[str, DeadLetter]]) -> None:
    connection.executemany(
        f"INSERT INTO dead_letters ({_COLUMNS.removeprefix('id, ')}, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?)",
        [
            (source, x.table, x.partition, *x.position, x.locator, x.reason, epoch, time, len(x.raw), x.raw)
            for source, x in letters
        ],
    )


def mark(connection: sqlite3.Connection, states: Iterable[tuple[int, LetterState]]) -> None:
    connection.executemany("UPDATE dead_letters SET state = ? WHERE id = ?", [(state.value, i) for i, state in states])


def supersede(connection: sqlite3.Connection, source: str, replaced: Mapping[str, int]) -> None:
    """Open letters of these partitions, from below `hi`, are done with."""
    if not replaced:
        return
    found = connection.execute("SELECT DISTINCT partition FROM dead_letters WHERE state = 'open' AND source = ?", (source,))
    places = [(source, partition, replaced[partition]) for (partition,) in found.fetchall() if partition in replaced]
    update = "UPDATE dead_letters SET state = 'superseded' WHERE state = 'open' AND source = ? AND partition = ? AND hi < ?"
    connection.executemany(update, places)


def oldest_open(connection: sqlite3.Connection) -> int | None:
    """The lowest epoch of a letter that may still be replayed."""
    found: int | None = connection.execute("SELECT min(epoch) FROM dead_letters WHERE state = 'open'").fetchone()[0]
    return found
