"""Everything that the engine published of itself, read at once: for `topline status`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from topline.results.connection import connect, qualified, translated


@dataclass(frozen=True, slots=True)
class Overview:
    """heartbeat: when the engine last spoke (UTC; None: never). sources, models: the rows of the status tables, by name."""

    epoch: int
    heartbeat: datetime | None
    details: Mapping[str, Any]
    sources: tuple[Mapping[str, Any], ...]
    models: tuple[Mapping[str, Any], ...]


def read_overview(dsn: str, schema: str) -> Overview | None:
    """None where nothing was ever published to the schema. TransientError when PostgreSQL cannot be reached."""
    connection = connect(dsn, "status reader")
    try:
        with translated(), connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute("SELECT to_regclass(%s) AS found", (f'"{schema}"._topline_engine',))
            if (cursor.fetchone() or {}).get("found") is None:
                return None

            def rows(query: str, table: str) -> list[dict[str, Any]]:
                cursor.execute(sql.SQL(query).format(qualified(schema, table)))
                return cursor.fetchall()

            engine = rows("SELECT heartbeat, details FROM {}", "_topline_engine")
            writer = rows("SELECT epoch FROM {}", "_topline_writer")
            sources = rows("SELECT * FROM {} ORDER BY source", "_topline_source_status")
            models = rows("SELECT model, epoch, published_at FROM {} WHERE NOT retired ORDER BY model", "_topline_models")
    finally:
        connection.close()
    found = engine[0] if engine else {"heartbeat": None, "details": {}}
    return Overview(writer[0]["epoch"] if writer else 0, found["heartbeat"], found["details"], tuple(sources), tuple(models))
