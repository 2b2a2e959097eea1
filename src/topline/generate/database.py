"""One connection to PostgreSQL that is made anew when it breaks: a shop goes on selling after its database came back."""

import time
from collections.abc import Callable, Iterable

import psycopg
from psycopg import sql

from topline.errors import WorkError

Connection = psycopg.Connection[tuple[object, ...]]
_PATIENCE, _PAUSE = 60.0, 0.25  # seconds: for how long a lost connection is tried again, and how often


class Database:
    """`name` is for messages. WorkError where the first connection fails, or a lost one does not come back."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn, self._name = dsn, name
        try:
            self._connection = self._connect()
        except psycopg.OperationalError as error:
            raise WorkError(f"the generator cannot connect to {name}: {error}") from None

    def transact(self, work: Callable[[Connection], None], again: Callable[[Connection], None] | None = None) -> None:
        """Run `work` in a transaction. Where the connection breaks it may have been committed or not: `again` (or `work`
        itself) then runs in a transaction of a new connection, and must be right in both cases."""
        try:
            self._transact(work)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self._retry(again or work)

    def close(self) -> None:
        self._connection.close()

    def _connect(self) -> Connection:
        return psycopg.connect(self._dsn, autocommit=True)

    def _transact(self, work: Callable[[Connection], None]) -> None:
        with self._connection.transaction():
            work(self._connection)

    def _retry(self, work: Callable[[Connection], None]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            self._connection.close()
            try:
                self._connection = self._connect()
                self._transact(work)
                return
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if time.monotonic() > deadline:
                    raise WorkError(
                        f"the generator lost {self._name} and it did not come back in {_PATIENCE:.0f} s: {error}"
                    ) from None
                time.sleep(_PAUSE)


def copy_rows(connection: Connection, table: sql.Identifier, rows: Iterable[tuple[object, ...]]) -> None:
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
        for row in rows:
            copy.write_row(row)
