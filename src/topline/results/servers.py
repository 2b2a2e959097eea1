"""The databases that hold the results: the one that is published to, and its read replicas, a pool of connections each."""

import itertools
import time
from collections.abc import Iterator, Sequence

from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from topline.pgsilence import PatientConnection
from topline.results.connection import with_keepalives

Pool = ConnectionPool[PatientConnection[DictRow]]
_SILENCE = 3.0  # seconds: who asks the API is told soon
_DOWN = 5.0  # seconds for which a replica that did not answer is passed over
_REPLICA_WAIT = 1.0  # seconds for a connection to a replica: there are others


class Server:
    """One database. `rest` passes it over for a while."""

    def __init__(self, dsn: str, connections: int, wait: float) -> None:
        self.pool: Pool = ConnectionPool(
            with_keepalives(dsn),
            connection_class=PatientConnection[DictRow],
            kwargs={"autocommit": True, "row_factory": dict_row, "application_name": "topline reader", "connect_timeout": 5},
            configure=_configure,
            reconnect_timeout=wait,
            min_size=1,
            max_size=connections,
            timeout=wait,
            open=False,
            name="topline-reader",
        )
        self._resting_until = 0.0

    @property
    def resting(self) -> bool:
        return time.monotonic() < self._resting_until

    def rest(self) -> None:
        self._resting_until = time.monotonic() + _DOWN


class Servers:
    """Replicas in turn, then the primary, which is asked last and always."""

    def __init__(self, dsn: str, replicas: Sequence[str], connections: int, wait: float) -> None:
        self.primary = Server(dsn, connections, wait)
        self._replicas = [Server(replica, connections, min(wait, _REPLICA_WAIT)) for replica in replicas]
        self._turns = itertools.count()

    def in_turn(self) -> Iterator[Server]:
        """Those to ask, one after the other, until one answers with what is wanted."""
        turn = next(self._turns) % (len(self._replicas) or 1)
        for server in (*self._replicas[turn:], *self._replicas[:turn]):
            if not server.resting:
                yield server
        yield self.primary
        yield self.primary  # another question may have been shown more since this one was asked

    def open(self) -> None:
        for server in (self.primary, *self._replicas):
            server.pool.open(wait=False)

    def close(self) -> None:
        for server in (self.primary, *self._replicas):
            server.pool.close(timeout=5)


def _configure(connection: PatientConnection[DictRow]) -> None:
    connection.silence = _SILENCE
    connection.execute("SET statement_timeout = '10s'; SET TimeZone = 'UTC'")
    connection.identify()
