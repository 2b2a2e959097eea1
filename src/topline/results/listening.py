"""Hears of each publication, so that an answer that was read once may be given again until the next one."""

import json
import threading
import time

import psycopg
from psycopg import sql

from topline.errors import ToplineError
from topline.results.connection import Connection, connect, qualified, translated
from topline.results.publisher import CHANNEL

_LOOK = 1.0  # seconds without news after which the epoch is asked for, lest a notice was lost
_SURE = 3.0  # seconds after which what was heard last says nothing of now
_RETRY = 1.0


class Generation:
    """`number` changes with each publication. A thread listens between `start` and `stop`."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self._lock = threading.Lock()
        self._count = 0
        self._epoch: int | None = None
        self._sure_until = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    @property
    def number(self) -> int | None:
        """What was read while it is the same is as it was. None while nobody can tell."""
        return self._count if time.monotonic() < self._sure_until else None

    def saw(self, epoch: int) -> None:
        """A statement read `epoch`, which may come before the notice of it."""
        with self._lock:
            if self._epoch is None or epoch > self._epoch:
                self._advance(epoch)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)

    def _advance(self, epoch: int | None) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self._count += 1

    def _hear(self, epoch: int | None) -> None:
        with self._lock:
            self._advance(epoch)
            self._sure_until = time.monotonic() + _SURE

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with translated(), connect(self._dsn, "listener") as connection:
                    connection.given_up = self._stop.is_set
                    self._listen(connection)
            except (ToplineError, psycopg.Error):  # whoever reads meets the same, and says it
                self._sure_until = 0.0
                self._stop.wait(_RETRY)

    def _listen(self, connection: Connection) -> None:
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        while not self._stop.is_set():
            self._hear(self._standing(connection))
            for notice in connection.notifies(timeout=_LOOK):
                told = json.loads(notice.payload)
                if told["schema"] == self._schema:
                    self._hear(told["epoch"])

    def _standing(self, connection: Connection) -> int | None:
        statement = sql.SQL("SELECT epoch FROM {}").format(qualified(self._schema, "_topline_writer"))
        row = connection.execute(statement).fetchone()
        return None if row is None else row[0]
