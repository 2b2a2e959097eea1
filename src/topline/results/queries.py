"""The questions that the API asks. Each is one statement: rows, epoch and source times belong together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from topline.errors import StateError, TransientError
from topline.pgsilence import PatientConnection
from topline.results.connection import qualified, translated, with_keepalives
from topline.results.listening import Generation

_SILENCE = 3.0  # seconds: who asks the API is told soon


@dataclass(frozen=True, slots=True)
class AsOf:
    """What a model's rows stand for. epoch 0: nothing was published yet. `held_back`: other models have gone further."""

    epoch: int
    held_back: bool
    sources: Mapping[str, datetime | None]

    @property
    def time(self) -> datetime | None:
        """The oldest of the sources' times; None without any."""
        return min((time for time in self.sources.values() if time is not None), default=None)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows with money as text."""

    rows: Sequence[Mapping[str, Any]]
    as_of: AsOf


@dataclass(frozen=True, slots=True)
class Readiness:
    """heartbeat_age: seconds since the engine spoke, None if it never did. sources: (name, state, last error).

    halted: model -> why it stands still; held: table -> why its changes are kept and not folded.
    """

    epoch: int
    unpublished: tuple[str, ...]
    heartbeat_age: float | None
    sources: tuple[tuple[str, str, str], ...]
    halted: Mapping[str, str]
    held: Mapping[str, str]


class Reader:
    """Reads one results schema through a pool of connections; any number of threads. TransientError when it cannot."""

    def __init__(self, dsn: str, schema: str, *, connections: int = 8, wait: float = 3.0) -> None:
        self._schema = schema
        self._listening = Generation(dsn, schema)
        self._pool: ConnectionPool[PatientConnection[DictRow]] = ConnectionPool(
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

    def open(self) -> "Reader":
        """Start connecting in the background; the first question waits for it."""
        self._pool.open(wait=False)
        self._listening.start()
        return self

    @property
    def generation(self) -> int | None:
        """Changes with each publication; None while nobody can tell."""
        return self._listening.number

    def close(self) -> None:
        self._listening.stop()
        self._pool.close(timeout=5)

    def top_cities(self, day: date, limit: int) -> Ranking:
        """The cities with the highest sales of a day, with their places from 1; ties by country, region, city in bytes."""
        return self._ranking("top_sales_by_city", _CITIES, {"day": day, "limit": limit})

    def top_salesmen(self, day: date, limit: int) -> Ranking:
        """The best salesmen of a day in the whole country, by rank."""
        return self._ranking("top_salesmen", _SALESMEN, {"day": day, "limit": limit})

    def salesman_history(self, salesman: str, limit: int) -> Ranking:
        """A salesman's days, newest first."""
        return self._ranking("salesman_daily", _HISTORY, {"salesman": salesman, "limit": limit})

    def readiness(self) -> Readiness:
        row = self._one(_READINESS, {}, {})
        details = row["details"] or {}
        return Readiness(
            row["epoch"] or 0,
            tuple(row["unpublished"]),
            row["heartbeat_age"],
            tuple(map(tuple, row["sources"])),
            details.get("halted_models", {}),
            details.get("held_tables", {}),
        )

    def _ranking(self, model: str, query: str, values: Mapping[str, Any]) -> Ranking:
        statement = _WITH_AS_OF.replace("QUERY", query)
        row = self._one(statement, {"data": qualified(self._schema, model)}, {**values, "model": model})
        self._listening.saw(row["newest"] or 0)
        times = {source: t and datetime.fromisoformat(t) for source, t in (row["source_times"] or {}).items()}
        return Ranking(row["rows"], AsOf(row["epoch"] or 0, bool(row["held_back"]), times))

    def _one(self, query: str, names: Mapping[str, sql.Composable], values: Mapping[str, Any]) -> DictRow:
        own = {name: qualified(self._schema, f"_topline_{name}") for name in ("models", "writer", "engine", "source_status")}
        statement = sql.SQL(query).format(**own, **names)
        try:
            with translated(), self._pool.connection() as connection:
                row = connection.execute(statement, values).fetchone()
        except StateError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                raise TransientError(_not_there(self._schema, values.get("model", ""))) from error
            raise TransientError(f"the schema {self._schema!r} does not hold these results yet: {error}") from error
        assert row is not None  # an aggregate yields one row
        return row


def _not_there(schema: str, model: str) -> str:
    if not model:
        return f"the schema {schema!r} of the results database holds no results yet: `topline run` publishes the models there"
    return f"no {model} is published in the schema {schema!r}: `topline run` does, where the project has a model of that name"


def _configure(connection: PatientConnection[DictRow]) -> None:
    connection.silence = _SILENCE
    connection.execute("SET statement_timeout = '10s'; SET TimeZone = 'UTC'")
    connection.identify()


_WITH_AS_OF = """
SELECT m.epoch, m.source_times, m.epoch < w.epoch AS held_back, w.epoch AS newest, r.rows
FROM (SELECT coalesce(json_agg(q), '[]') AS rows FROM (QUERY) q) r
LEFT JOIN {models} m ON m.model = %(model)s AND NOT m.retired
LEFT JOIN {writer} w ON true
"""

_CITIES = """
SELECT row_number() OVER () AS rank, date, country, region, city, total_sales::text, transaction_count, avg_sale::text,
       max_sale::text
FROM (SELECT * FROM {data} WHERE date = %(day)s ORDER BY total_sales DESC, country, region, city LIMIT %(limit)s) t
"""

_SALESMEN = """
SELECT rank, date, salesman_id, salesman_name, total_sales::text, deals_closed, avg_deal_size::text, cities_covered
FROM {data} WHERE date = %(day)s ORDER BY rank LIMIT %(limit)s
"""

_HISTORY = """
SELECT date, salesman_id, salesman_name, total_sales::text, deals_closed, avg_deal_size::text, cities_covered
FROM {data} WHERE salesman_id = %(salesman)s ORDER BY date DESC LIMIT %(limit)s
"""

_READINESS = """
SELECT (SELECT epoch FROM {writer}) AS epoch,
       (SELECT coalesce(array_agg(model ORDER BY model), '{{}}') FROM {models} WHERE epoch = 0 AND NOT retired) AS unpublished,
       (SELECT extract(epoch FROM clock_timestamp() - heartbeat)::float8 FROM {engine}) AS heartbeat_age,
       (SELECT details FROM {engine}) AS details,
       (SELECT coalesce(json_agg(json_build_array(source, state, last_error) ORDER BY source), '[]')
        FROM {source_status}) AS sources
"""
