"""What the partner has on record, in one SQLite file: whoever sells writes it, the service reads it."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

from topline.errors import StateError

_PATIENCE = 30.0  # seconds to wait for another writer
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id TEXT PRIMARY KEY, changed_at TEXT NOT NULL, entry_no TEXT, sold_on TEXT, country TEXT, district TEXT, town TEXT,
    agent_no TEXT, agent_name TEXT, amount TEXT, currency TEXT, state TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_change ON entries (changed_at, id);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the partner writes it down; None: he left it out.

    id          his own, which he tells nobody: an entry may lack its number for a while
    changed_at  as `stamp` writes it
    state       A: active, C: cancelled
    """

    id: str
    changed_at: str
    entry_no: str | None
    sold_on: str | None
    country: str | None
    district: str | None
    town: str | None
    agent_no: str | None
    agent_name: str | None
    amount: str | None
    currency: str | None
    state: str = "A"


def stamp(moment: datetime) -> str:
    """An aware instant in UTC, whole milliseconds: texts that sort as the instants do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def book_of(state_dir: Path, name: str) -> Path:
    """Where the book of the service `embedded:NAME` lies."""
    return state_dir / "partner" / f"{name}.sqlite"


class Book:
    """One connection, for one thread at a time. The file and its folder are made where they are missing."""

    def __init__(self, path: Path) -> None:
        """StateError where the file cannot be made or is no book."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            self._connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_SCHEMA}")
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"the partner's book {path} cannot be opened: {error}; removed, it is made anew, empty") from None

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator["Book"]:
        with closing(cls(path)) as book:
            yield book

    def put(self, entries: Iterable[Entry]) -> None:
        """In one transaction; an entry takes the place of the one with its id."""
        marks = ", ".join("?" * len(Entry.__slots__))
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(f"REPLACE INTO entries VALUES ({marks})", map(astuple, entries))
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def changed(self, since: str, after: tuple[str, str] | None, size: int) -> list[Entry]:
        """At most `size` entries changed at `since` or later, in the order of (changed_at, id), behind `after`, one such pair.

        A page begins where another one ended, so an entry that changes meanwhile moves behind the end and pushes none aside.
        """
        query = "SELECT * FROM entries WHERE changed_at >= ? AND (changed_at, id) > (?, ?) ORDER BY changed_at, id LIMIT ?"
        return [Entry(*row) for row in self._connection.execute(query, (since, *(after or ("", "")), size))]

    def newest(self) -> str:
        """The greatest `changed_at`; '' where there is no entry."""
        ((found,),) = self._connection.execute("SELECT coalesce(max(changed_at), '') FROM entries")
        return str(found)

    def close(self) -> None:
        self._connection.close()
