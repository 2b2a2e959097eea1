"""Connections to the results database, and its errors in the project's own words."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from topline.dsn import parse_dsn
from topline.errors import ConfigError, ModelHalted, StateError, TransientError
from topline.pgsilence import KEEPALIVES, PatientConnection, Session, end_session

Connection = PatientConnection[TupleRow]
Cursor = psycopg.Cursor[TupleRow]
T = TypeVar("T")


class RefusedError(TransientError):
    """The server answers, and does not let us in: another try alone does not help, but somebody may mend it meanwhile."""


OLDEST_SERVER = 150000  # MERGE
PASSING = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
# libpq gives no SQLSTATE for a connection that is refused; in another language of the server's, it is tried again.
_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "is not permitted to log in",
    "permission denied for database",
    '" does not exist',  # a database, a role
    "no such database",  # PgBouncer
    "no such user",
)
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "statement_timeout": "0",
    "enable_memoize": "off",  # a stage's keys are distinct
    "tcp_user_timeout": "30s",
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "3",
}
_ON_REQUEST = sys.maxsize  # a plan made for an empty stage would be kept for a full one
_SET = "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)"


def connect(dsn: str, purpose: str, before: Session | None = None, **settings: str) -> Connection:
    """An autocommit connection that shows as `topline PURPOSE`. TransientError when the server cannot be reached, or falls
    silent. `before`: the session of the connection that this one follows, which is ended where it still goes on."""
    with translated():
        connection: Connection = PatientConnection.connect(
            with_keepalives(dsn),
            autocommit=True,
            connect_timeout=10,
            application_name=f"topline {purpose}",
            client_encoding="UTF8",
        )
        connection.prepare_threshold = _ON_REQUEST
        chosen = {**_SETTINGS, **settings}
        connection.execute(_SET, (list(chosen), list(chosen.values())))
        connection.identify()
        if before is not None:
            end_session(connection, before)
    return connection


def with_keepalives(dsn: str) -> str:
    """`dsn` with our limits for a network that is silent, where it names none."""
    given: dict[str, Any] = {**KEEPALIVES, **parse_dsn(dsn)}
    return make_conninfo(**given)


def require_server(connection: Connection, schema: str) -> None:
    """ConfigError where the server is too old, keeps text in another encoding, or the schema's name is no name."""
    if not schema or len(schema.encode()) > 63:
        raise ConfigError(f"results.schema {schema!r} is not a schema's name: 1 to 63 bytes, such as topline")
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.server_version // 10000
        raise ConfigError(f"the results database is PostgreSQL {version}, but 15 or newer is needed: set results.dsn to one")
    row = connection.execute("SHOW server_encoding").fetchone()
    if row is None or row[0] != "UTF8":
        raise ConfigError(
            f"the results database keeps text as {row and row[0]}, but UTF8 is needed: "
            "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
        )


@contextmanager
def translated() -> Iterator[None]:
    """Errors of PostgreSQL as ours: a lost connection passes, a missing privilege does not."""
    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise StateError(
            f"the results database refuses: {_text(error)}. The user needs CREATE on the database, or must own the schema "
            "and its tables: ALTER SCHEMA name OWNER TO user"
        ) from error
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName) as error:
        raise StateError(
            f"the result tables are not as the engine left them: {_text(error)}. "
            "Start it again: what is missing is made and republished"
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if any(refusal in str(error) for refusal in _REFUSALS):
            raise RefusedError(f"the results database refuses: {_text(error)}. Correct results.dsn or the server") from error
        raise TransientError(f"the results database does not answer: {_text(error)}") from error


@contextmanager
def halting(model: str) -> Iterator[None]:
    """Rows that PostgreSQL cannot hold (a zero byte, a date out of range, a key twice, or too long for an index) halt
    their model."""
    try:
        yield
    except ModelHalted as error:
        raise ModelHalted(str(error), model=model) from error
    except (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, errors.CardinalityViolation) as error:
        raise ModelHalted(f"model {model}: PostgreSQL cannot hold its rows: {_text(error)}", model=model) from error


def with_retries(work: Callable[[int], T], attempts: int = 6) -> T:
    """`work(attempt)` until it meets no lock, deadlock or serialization failure; TransientError after `attempts`."""
    for attempt in range(attempts - 1):
        try:
            return work(attempt)
        except PASSING:
            time.sleep(0.05 * 2**attempt)
    return work(attempts - 1)


def qualified(schema: str, table: str) -> sql.Identifier:
    return sql.Identifier(schema, table)


def _text(error: Exception) -> str:
    return " ".join(str(error).split())
