"""A PostgreSQL connection that does not wait for ever. libpq limits how long connecting may take; of a server that is connected
and says nothing, only the kernel may tell, and it cannot where something on the way keeps the connection up."""

import time
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.rows import Row

T = TypeVar("T")
Session = tuple[int, datetime]  # a server's process, and when it began

# On our side of a connection; the server's own are settings of the session.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
SILENCE = 10.0  # seconds without a byte after which somebody asks
_ANSWER = 3  # seconds in which another connection must have asked
_INTERVAL = 0.1
SESSION = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_WORKS = (
    "SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client' FROM pg_stat_activity "
    "WHERE (pid, backend_start) = (%s, %s)"
)


class PatientConnection(psycopg.Connection[Row]):
    """Where the server says nothing for `silence` seconds while we wait for it, another connection asks whether it is at work
    for us. Where it is not (no answer, no such session, or one that waits for us), this connection is lost: it is closed, and
    OperationalError raised. A statement may take as long as it likes.

    `given_up` is looked at while waiting: once it is true, the connection is lost too. It may be set from another thread.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.silence = SILENCE
        self.given_up: Callable[[], bool] = _never
        self.session: Session | None = None

    def identify(self) -> Session:
        """Who serves us there, as others see it; a connection by way of a pooler does not know otherwise."""
        found = self.cursor(row_factory=psycopg.rows.tuple_row).execute(SESSION).fetchone()
        assert found is not None
        self.session = (found[0], found[1])
        return self.session

    def wait(self, gen: PQGen[T], interval: float = _INTERVAL, timeout: float | None = None) -> T:
        return super().wait(self._watched(gen), interval, timeout)

    def _watched(self, gen: PQGen[T]) -> Generator[Any, Any, T]:
        """As `gen`, which is told of every interval without news; psycopg's protocol for whoever waits."""
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif self.given_up():
                    raise self._lost("it was given up: we stop")
                elif time.monotonic() - heard > self.silence:
                    self._require_work()
                    heard = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result

    def _require_work(self) -> None:
        try:
            working = self._works()
        except psycopg.Error as error:
            if error.sqlstate is None:  # with one, a server answered, and refuses another connection
                raise self._lost(f"no answer for {self.silence:g} s, and none to another connection") from error
            return
        if not working:
            raise self._lost(f"no answer for {self.silence:g} s, while the server waits for us or has no such session")

    def _works(self) -> bool:
        info = self.info
        given = make_conninfo(
            info.dsn,
            host=info.host,
            port=info.port,
            password=info.password,
            connect_timeout=_ANSWER,
            application_name="topline",
        )
        with _Brief.connect(given, autocommit=True) as other:
            row = other.execute(_WORKS, self.session or (0, datetime.min)).fetchone()
        return row is not None and bool(row[0])

    def _lost(self, why: str) -> psycopg.OperationalError:
        self.pgconn.finish()
        return psycopg.OperationalError(f"the connection is lost: {why}")


class _Brief(psycopg.Connection[Row]):
    def wait(self, gen: PQGen[T], interval: float = _INTERVAL, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, timeout or _ANSWER)
        except errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError("no answer") from None


def end_session(connection: psycopg.Connection[Any], session: Session) -> None:
    """End what a lost connection of ours left at the server, which may not know yet, with the locks that it holds."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE (pid, backend_start) = (%s, %s)", session
    )


def _never() -> bool:
    return False
