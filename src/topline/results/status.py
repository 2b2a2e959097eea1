"""What the engine says of itself, written beside the results (outside of the publishing transactions) for API and people."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg import sql

from topline.results.connection import Connection, Cursor, connect, qualified, translated

RAW_LIMIT = 64 * 1024  # bytes of a dead letter that are mirrored; the log keeps all
SourceState = Literal["starting", "running", "down", "halted"]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """`down`: tried again with backoff. `halted`: until a person acts.

    `time`: of the newest change taken (UTC). `rows`: changes taken since the engine started.
    """

    source: str
    kind: str
    state: SourceState
    phase: str = ""
    detail: str = ""
    last_error: str = ""
    lag_bytes: int | None = None
    time: datetime | None = None
    rows: int = 0
    rejected: int = 0
    dead_letters: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetterStatus:
    """A dead letter as the log numbers it (`id`); `state` says where it stands (new, replayed)."""

    id: int
    source: str
    table: str
    locator: str
    reason: str
    time: datetime
    state: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """`details`: rates and counts, JSON-able. The heartbeat is the server's clock at the time of writing."""

    started: datetime
    details: Mapping[str, Any] = field(default_factory=dict)


class StatusWriter:
    """Writes the status tables. One thread. A lost connection raises TransientError, and the next call connects anew."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self._connection: Connection | None = None

    def write(
        self, engine: EngineStatus, sources: Sequence[SourceStatus], dead_letters: Sequence[DeadLetterStatus] = ()
    ) -> None:
        """Engine and sources as they are now (a source that is not named is forgotten); dead letters new or changed."""
        if self._connection is None or self._connection.closed:
            before = None if self._connection is None else self._connection.session
            self._connection = connect(self._dsn, "status", before, lock_timeout="5s", synchronous_commit="off")
        with translated(), self._connection.transaction(), self._connection.cursor() as cursor:
            self._write_engine(cursor, engine)
            self._write_sources(cursor, sources)
            self._write_dead_letters(cursor, dead_letters)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _write_engine(self, cursor: Cursor, engine: EngineStatus) -> None:
        statement = (
            "INSERT INTO {} (heartbeat, started, details) VALUES (now(), %s, %s) ON CONFLICT (one) DO UPDATE SET "
            "heartbeat = excluded.heartbeat, started = excluded.started, details = excluded.details"
        )
        cursor.execute(self._sql(statement, "_topline_engine"), (engine.started, _json(engine.details)))

    def _write_sources(self, cursor: Cursor, sources: Sequence[SourceStatus]) -> None:
        names = [source.source for source in sources]
        cursor.execute(self._sql("DELETE FROM {} WHERE source <> ALL (%s)", "_topline_source_status"), (names,))
        statement = (
            "INSERT INTO {} (source, kind, state, phase, detail, last_error, lag_bytes, time, rows, rejected, dead_letters) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (source) DO UPDATE SET "
            "(kind, state, phase, detail, last_error, lag_bytes, time, rows, rejected, dead_letters) = "
            "(excluded.kind, excluded.state, excluded.phase, excluded.detail, excluded.last_error, excluded.lag_bytes, "
            "excluded.time, excluded.rows, excluded.rejected, excluded.dead_letters)"
        )
        cursor.executemany(self._sql(statement, "_topline_source_status"), [_plain(astuple(source)) for source in sources])

    def _write_dead_letters(self, cursor: Cursor, letters: Sequence[DeadLetterStatus]) -> None:
        statement = (
            'INSERT INTO {} (id, source, "table", locator, reason, time, state, raw, raw_bytes) '
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET state = excluded.state"
        )
        rows = [(*_plain(astuple(letter)[:-1]), letter.raw[:RAW_LIMIT], len(letter.raw)) for letter in letters]
        cursor.executemany(self._sql(statement, "_topline_dead_letters"), rows)

    def _sql(self, statement: str, table: str) -> sql.Composed:
        return sql.SQL(statement).format(qualified(self._schema, table))


def _json(details: Mapping[str, Any]) -> str:
    return _ESCAPED_ZERO.sub("\\1\N{SYMBOL FOR NULL}", json.dumps(dict(details), default=str))


_ESCAPED_ZERO = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # after no backslash, or after an even number of them


def _plain(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """PostgreSQL holds no zero byte in text; messages may quote one."""
    return tuple(value.replace("\0", "\N{SYMBOL FOR NULL}") if isinstance(value, str) else value for value in values)
