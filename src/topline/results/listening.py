"""Hears of each publication, so that an answer that was read once may be given again until the next one."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from topline.errors import ToplineError
from topline.results.connection import Connection, connect, qualified, translated
from topline.results.publisher import CHANNEL

_LOOK = 1.0  # seconds without news after which the epoch is asked for, lest a notice was lost
_SURE = 3.0  # seconds after which what was heard last says nothing of now
_RETRY = 1.0
_KEPT = 256  # publications that whoever comes back may have missed


@dataclass(frozen=True, slots=True)
class Publication:
    """`models`: those that changed; None: nobody told which."""

    epoch: int
    models: tuple[str, ...] | None


class Heard:
    """The last publications, and who wants to be told of the next ones. Any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: deque[Publication] = deque(maxlen=_KEPT)
        self._told: list[Callable[[Publication], None]] = []

    def add(self, publication: Publication) -> None:
        with self._lock:
            self._last.append(publication)
            told = list(self._told)
        for tell in told:
            tell(publication)

    @property
    def last(self) -> list[Publication]:
        """The newest at the end."""
        with self._lock:
            return list(self._last)

    def follow(self, tell: Callable[[Publication], None]) -> list[Publication]:
        """Have each later publication told, in the listener's thread; returns the last ones until now."""
        with self._lock:
            self._told.append(tell)
            return list(self._last)

    def leave(self, tell: Callable[[Publication], None]) -> None:
        with self._lock:
            self._told.remove(tell)


class Generation:
    """`number` changes with each publication. A thread listens between `start` and `stop`."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self.heard = Heard()
        self._lock = threading.Lock()
        self._count = 0
        self._epoch: int | None = None
        self._told_epoch: int | None = None
        self._sure_until = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    @property
    def number(self) -> int | None:
        """What was read while it is the same is as it was. None while nobody can tell."""
        return self._count if time.monotonic() < self._sure_until else None

    def saw(self, epoch: int) -> bool:
        """A statement read `epoch`, which may come before the notice of it. False where a newer one is known already."""
        with self._lock:
            if self._epoch is None or epoch > self._epoch:
                self._advance(epoch)
            return epoch == self._epoch

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

    def _hear(self, epoch: int | None, models: tuple[str, ...] | None = None) -> None:
        """The epoch as the database that is published to has it, so it may go back too: a backup was restored."""
        with self._lock:
            self._advance(epoch)
            self._sure_until = time.monotonic() + _SURE
            news = epoch != self._told_epoch
            self._told_epoch = epoch
        if news and epoch:
            self.heard.add(Publication(epoch, models))

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
            standing = self._standing(connection)
            if standing is not None and standing < (self._epoch or 0):  # read before that one was, or a backup was restored
                standing = self._standing(connection)
            if not self._take_notices(connection, 0.0):  # they say which models changed, and may be newer
                self._hear(standing)
            self._take_notices(connection, _LOOK)

    def _take_notices(self, connection: Connection, seconds: float) -> bool:
        """Whether there were any."""
        found = False
        for notice in connection.notifies(timeout=seconds):
            told = json.loads(notice.payload)
            if told["schema"] == self._schema:
                self._hear(told["epoch"], None if told["models"] is None else tuple(told["models"]))
                found = True
        return found

    def _standing(self, connection: Connection) -> int | None:
        statement = sql.SQL("SELECT epoch FROM {}").format(qualified(self._schema, "_topline_writer"))
        row = connection.execute(statement).fetchone()
        return None if row is None else row[0]
