"""The `_topline_` tables of a results schema: who writes it, at which epoch each model stands, and what the engine says.

They stand beside the result tables, in the same schema, so that one grant and one backup cover both.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from psycopg import sql

from topline.changes import Position
from topline.results.connection import Cursor, qualified
from topline.results.epoch import Epoch


@dataclass(frozen=True, slots=True)
class Writer:
    """Who may write the result tables. `token` is new with each opening: an older opening of the same state is fenced too."""

    engine: str
    state_id: str
    epoch: int
    token: str
    holder: str


@dataclass(frozen=True, slots=True)
class Registered:
    """What a result table shows: the epoch (0: nothing yet) and who wrote it."""

    engine: str
    state_id: str
    epoch: int
    fingerprint: str
    retired: bool


def create_registry(cursor: Cursor, schema: str) -> None:
    """Create what is missing. A schema that stands is used as it is: creating asks for more privileges than using."""
    cursor.execute("SELECT to_regnamespace(%s)", (sql.Identifier(schema).as_string(cursor),))
    if cursor.fetchone() == (None,):
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    for name, columns in _TABLES.items():
        cursor.execute("SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = %s", (schema, name))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(qualified(schema, name), sql.SQL(columns)))


def read_writer(cursor: Cursor, schema: str, *, lock: bool) -> Writer | None:
    """The writer's row; with `lock`, held until the transaction ends, so that a take-over waits for it."""
    columns = sql.SQL("SELECT engine, state_id, epoch, token, holder FROM {} {}")
    cursor.execute(columns.format(qualified(schema, "_topline_writer"), sql.SQL("FOR UPDATE" if lock else "")))
    row = cursor.fetchone()
    return None if row is None else Writer(*row)


def write_writer(cursor: Cursor, schema: str, writer: Writer) -> None:
    statement = sql.SQL(
        "INSERT INTO {} (engine, state_id, epoch, token, holder) VALUES (%s, %s, %s, %s, %s) ON CONFLICT (one) DO UPDATE SET "
        "engine = excluded.engine, state_id = excluded.state_id, epoch = excluded.epoch, token = excluded.token, "
        "holder = excluded.holder, since = now()"
    )
    values = (writer.engine, writer.state_id, writer.epoch, writer.token, writer.holder)
    cursor.execute(statement.format(qualified(schema, "_topline_writer")), values)


def read_models(cursor: Cursor, schema: str) -> dict[str, Registered]:
    statement = sql.SQL("SELECT model, engine, state_id, epoch, fingerprint, retired FROM {}")
    cursor.execute(statement.format(qualified(schema, "_topline_models")))
    return {row[0]: Registered(*row[1:]) for row in cursor.fetchall()}


def add_model(cursor: Cursor, schema: str, model: str, *, disown: bool) -> None:
    """`disown`: nobody's rows stand in it, so that it is republished even if the engine is killed before it could."""
    statement = sql.SQL(
        "INSERT INTO {} AS m (model) VALUES (%s) ON CONFLICT (model) DO UPDATE SET retired = false, "
        "state_id = CASE WHEN %s OR m.retired THEN '' ELSE m.state_id END"
    )
    cursor.execute(statement.format(qualified(schema, "_topline_models")), (model, disown))


def retire_models(cursor: Cursor, schema: str, models: Iterable[str]) -> None:
    statement = sql.SQL("UPDATE {} SET retired = true WHERE model = ANY (%s)")
    cursor.execute(statement.format(qualified(schema, "_topline_models")), (list(models),))


def advance(cursor: Cursor, schema: str, token: str, epochs: tuple[int, int]) -> None:
    """The writer comes from an epoch that is not before the first of `epochs` to the second. DivisionByZero where the row
    is not `token`'s, or stands elsewhere."""
    first, last = epochs
    cursor.execute(_in_schema(_ADVANCE, schema), {"token": token, "first": first, "last": last}, prepare=True)


def record(
    cursor: Cursor, schema: str, writer: Writer, epoch: Epoch, models: Mapping[str, tuple[str, Mapping[str, datetime | None]]]
) -> None:
    """These models now show the epoch: model -> (fingerprint, source -> time of its newest change). Also each source's
    position and time in it."""
    names = sorted({*epoch.source_times, *epoch.positions})
    values = {
        "engine": writer.engine,
        "state_id": writer.state_id,
        "epoch": epoch.number,
        "models": list(models),
        "fingerprints": [fingerprint for fingerprint, _ in models.values()],
        "model_times": [json.dumps({s: t and t.isoformat() for s, t in sources.items()}) for _, sources in models.values()],
        "sources": names,
        "times": [epoch.source_times.get(name) for name in names],
        "positions": [_json(epoch.positions.get(name, {})) for name in names],
    }
    cursor.execute(_in_schema(_RECORD, schema), values, prepare=True)


@cache
def _in_schema(statement: str, schema: str) -> bytes:
    tables = {name: qualified(schema, f"_topline_{name}") for name in ("writer", "models", "sources")}
    return sql.SQL(statement).format(**tables).as_bytes(None)


def _json(positions: Mapping[str, Position]) -> str:
    return json.dumps({partition: [position[0], position[1]] for partition, position in positions.items()})


_ADVANCE = """
WITH advanced AS (
    UPDATE {writer} SET epoch = %(last)s WHERE token = %(token)s AND epoch BETWEEN %(first)s AND %(last)s RETURNING 1
)
SELECT 1 / count(*) FROM advanced
"""

_RECORD = """
WITH sources AS (
    INSERT INTO {sources} (source, epoch, time, positions)
    SELECT s, %(epoch)s, t, p::jsonb
    FROM unnest(%(sources)s::text[], %(times)s::timestamptz[], %(positions)s::text[]) AS v (s, t, p)
    ON CONFLICT (source) DO UPDATE SET epoch = excluded.epoch, time = excluded.time, positions = excluded.positions
)
UPDATE {models} m
SET engine = %(engine)s, state_id = %(state_id)s, epoch = %(epoch)s, published_at = now(), fingerprint = v.fingerprint,
    source_times = v.times::jsonb
FROM unnest(%(models)s::text[], %(fingerprints)s::text[], %(model_times)s::text[]) AS v (model, fingerprint, times)
WHERE m.model = v.model
"""

_TABLES = {
    "_topline_writer": """
        one boolean PRIMARY KEY DEFAULT true CHECK (one), engine text NOT NULL, state_id text NOT NULL, epoch bigint NOT NULL,
        token text NOT NULL, holder text NOT NULL, since timestamptz NOT NULL DEFAULT now()""",
    "_topline_models": """
        model text PRIMARY KEY, engine text NOT NULL DEFAULT '', state_id text NOT NULL DEFAULT '',
        epoch bigint NOT NULL DEFAULT 0, fingerprint text NOT NULL DEFAULT '', source_times jsonb NOT NULL DEFAULT '{}',
        published_at timestamptz, retired boolean NOT NULL DEFAULT false""",
    "_topline_sources": "source text PRIMARY KEY, epoch bigint NOT NULL, time timestamptz, positions jsonb NOT NULL",
    "_topline_engine": """
        one boolean PRIMARY KEY DEFAULT true CHECK (one), heartbeat timestamptz NOT NULL, started timestamptz NOT NULL,
        details jsonb NOT NULL""",
    "_topline_source_status": """
        source text PRIMARY KEY, kind text NOT NULL, state text NOT NULL, phase text NOT NULL, detail text NOT NULL,
        last_error text NOT NULL, lag_bytes bigint, time timestamptz, rows bigint NOT NULL, rejected bigint NOT NULL,
        dead_letters bigint NOT NULL""",
    "_topline_dead_letters": """
        id bigint PRIMARY KEY, source text NOT NULL, "table" text NOT NULL, locator text NOT NULL, reason text NOT NULL,
        time timestamptz NOT NULL, state text NOT NULL, raw bytea NOT NULL, raw_bytes bigint NOT NULL""",
    "_topline_job": "one boolean PRIMARY KEY DEFAULT true CHECK (one), details jsonb NOT NULL",
    "_topline_commands": """
        id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, kind text NOT NULL, arguments jsonb NOT NULL,
        submitted timestamptz NOT NULL DEFAULT now(), taken timestamptz, finished timestamptz, ok boolean,
        message text NOT NULL DEFAULT ''""",
}
