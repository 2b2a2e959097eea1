"""Waiting for a server at the low level of libpq: never for ever, and never so that all threads wait."""

import select

from psycopg import OperationalError
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult


def run(connection: PGconn, command: str, silence: float) -> PGresult:
    """The result of one command (that of COPY and START_REPLICATION: their beginning). OperationalError where nothing comes
    for `silence` seconds."""
    connection.send_query(command.encode())
    while connection.flush():
        _wait_for(connection, silence, writable=True)
    result = _next(connection, silence)
    assert result is not None  # a command that was sent has one
    if result.status not in (ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
        while _next(connection, silence) is not None:  # so that the next command may follow
            continue
    return result


def has_come(connection: PGconn, seconds: float) -> bool:
    """Whether something to read comes within so many seconds."""
    return _ready(connection, select.POLLIN, seconds)


def silent(seconds: float) -> OperationalError:
    return OperationalError(f"the server says nothing, for {seconds:g} s now: the connection is taken for lost")


def _next(connection: PGconn, silence: float) -> PGresult | None:
    while connection.is_busy():
        _wait_for(connection, silence)
        connection.consume_input()
    return connection.get_result()


def _wait_for(connection: PGconn, silence: float, *, writable: bool = False) -> None:
    if not _ready(connection, select.POLLIN | select.POLLOUT if writable else select.POLLIN, silence):
        raise silent(silence)


def _ready(connection: PGconn, events: int, seconds: float) -> bool:
    """By poll: select knows no descriptor above 1,023."""
    asked = select.poll()
    asked.register(connection.socket, events)
    return bool(asked.poll(max(0.0, seconds) * 1000))
