"""Connections to the source: the same session settings for queries, copies and the stream, so that a value has one text."""

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult

from topline.dsn import parse_dsn
from topline.errors import ConfigError, SourceHalted, SourceNotReady, TransientError
from topline.pgsilence import KEEPALIVES

# The text of values: the decoder relies on it, so a user's own options do not change it.
_FORMS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
# A walsender gives up on a reader that is silent for wal_sender_timeout; ours is, while the engine digests a large batch.
_PATIENCE = {
    "statement_timeout": "0",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "0",
    "wal_sender_timeout": "300s",
}


def session_conninfo(dsn: str, connect_timeout: int, **more: Any) -> str:
    """`dsn` with our session settings; of the user's own options, those on patience win. SourceHalted when it is not a DSN."""
    try:
        given = parse_dsn(dsn)
    except ConfigError as error:
        raise SourceHalted(str(error)) from None
    options = " ".join([_options(_PATIENCE), str(given.pop("options", "") or ""), _options(_FORMS)])
    defaults: dict[str, Any] = {
        "connect_timeout": connect_timeout,
        "application_name": "topline",
        **KEEPALIVES,
    }
    return make_conninfo(**{**defaults, **given, "client_encoding": "UTF8", "options": options, **more})


def _options(settings: dict[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """psycopg's errors as ours: a lost or refused connection is transient; a missing privilege or object is a person's."""
    try:
        yield
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable) as error:
        raise SourceNotReady(f"{doing}: {message(error)}") from None
    except psycopg.Error as error:
        raise TransientError(f"{doing}: {message(error)}") from None


def message(error: psycopg.Error) -> str:
    """The server's own words with its hint, on one line."""
    primary = error.diag.message_primary or str(error).strip() or type(error).__name__
    details = [part for part in (primary, error.diag.message_detail, error.diag.message_hint) if part]
    return " ".join(" ".join(part.split()) for part in details)


def result_error(result: PGresult) -> psycopg.Error:
    """The error that a low-level result carries, as psycopg's class for its SQLSTATE."""
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    text = " ".join(result.error_message.decode(errors="replace").split())
    try:
        kind: type[psycopg.Error] = psycopg.errors.lookup(state)
    except KeyError:
        kind = psycopg.OperationalError
    return kind(text)
