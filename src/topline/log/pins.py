"""Pins: what a reader holds so that the epochs it reads are not folded away and its segment files stay.

A pin is a row (epoch, file) and a lock on that file. The lock falls with the reader's process, so no dead pin lasts.
"""

import os
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path

from topline.errors import StateError
from topline.log.database import Database
from topline.log.lock import FileLock, is_free

FOLDER = "pins"


@dataclass(frozen=True, slots=True)
class Pin:
    """Every epoch from `epoch` on stays readable until the pin is released."""

    id: int
    epoch: int
    lock: FileLock

    def release(self) -> None:
        """Lets the lock go; the row, now dead, goes with the next compaction. Safe in a finalizer: touches no database."""
        self.lock.release(remove=True)


def take(database: Database, epoch: int | None = None) -> Pin:
    """A pin at `epoch`, or at the oldest epoch that is readable. StateError when `epoch` was folded away already."""
    folder = database.path.parent / FOLDER
    folder.mkdir(exist_ok=True)
    name = uuid.uuid4().hex
    lock = FileLock(folder / name)
    lock.acquire()
    try:
        with database.write() as connection:
            at = _checked(floor(connection), epoch)
            row = connection.execute("INSERT INTO pins (epoch, file, pid) VALUES (?, ?, ?)", (at, name, os.getpid()))
            return Pin(int(row.lastrowid or 0), at, lock)
    except BaseException:
        lock.release(remove=True)
        raise


def _checked(oldest: int, epoch: int | None) -> int:
    if epoch is not None and epoch < oldest:
        raise StateError(f"epoch {epoch} was folded into segments: the oldest that can be read is {oldest}. Read a newer epoch")
    return oldest if epoch is None else epoch


def floor(connection: sqlite3.Connection) -> int:
    """The epoch up to which everything is folded."""
    return int(connection.execute("SELECT value FROM meta WHERE key = 'floor'").fetchone()[0])


def live(connection: sqlite3.Connection, folder: Path) -> list[tuple[int, int]]:
    """(id, epoch) of the pins whose process lives. Rows of others are removed (inside the caller's transaction)."""
    rows = connection.execute("SELECT id, epoch, file FROM pins").fetchall()
    dead = [(number, file) for number, _, file in rows if is_free(folder / FOLDER / file)]
    for number, file in dead:
        connection.execute("DELETE FROM pins WHERE id = ?", (number,))
        (folder / FOLDER / file).unlink(missing_ok=True)
    gone = {number for number, _ in dead}
    return [(number, epoch) for number, epoch, _ in rows if number not in gone]
