"""Reads what was published: questions to one results schema, on its database or on a replica of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow

from topline.errors import StateError, TransientError
from topline.results.asof import AsOf
from topline.results.commands import Commands
from topline.results.connection import qualified, translated
from topline.results.listening import Generation, Heard
from topline.results.questions import Listing
from topline.results.readiness import READINESS, Readiness
from topline.results.servers import Server, Servers


@dataclass(frozen=True, slots=True)
class Page:
    """Rows with money as text. `more`: others follow. `extra`: what the question answers beside its rows."""

    rows: Sequence[Mapping[str, Any]]
    as_of: AsOf
    more: bool
    extra: Any = None


class Reader:
    """Reads one results schema through pools of connections; any number of threads. TransientError when it cannot.

    `replicas`: DSNs of read replicas, which are asked in turn. One that does not answer, or has not come as far as what
    this reader has shown already, is passed over: epochs never go back.
    """

    def __init__(self, dsn: str, schema: str, *, replicas: Sequence[str] = (), connections: int = 8, wait: float = 3.0) -> None:
        self.schema = schema
        self._dsn = dsn
        self._listening = Generation(dsn, schema)
        self._servers = Servers(dsn, replicas, connections, wait)

    def open(self) -> "Reader":
        """Start connecting in the background; the first question waits for it."""
        self._servers.open()
        self._listening.start()
        return self

    @property
    def generation(self) -> int | None:
        """Changes with each publication; None while nobody can tell."""
        return self._listening.number

    @property
    def publications(self) -> Heard:
        """Each publication as it is heard of."""
        return self._listening.heard

    def close(self) -> None:
        self._listening.stop()
        self._servers.close()

    def page(self, listing: Listing, limit: int, after: Sequence[Any] | None = None) -> Page:
        """At most `limit` rows behind the place `after` (see `Listing.place_of`); None: from the first on."""
        names = (*listing.models, *(f"_topline_{name}" for name in ("models", "writer", "sources")))
        tables: dict[str, sql.Composable] = {name: qualified(self.schema, name) for name in names}
        tables |= {name: qualified(self.schema, table) for name, table in listing.tables.items()}
        frame = _OF_MODELS if listing.models else _OF_SCHEMA
        statement = sql.SQL(frame).format(**tables, page=listing.page(tables, after))
        values = {**listing.page_values(limit, after), "_models": list(listing.models)}
        row = self._row(statement, values, listing.models)
        newest = row["newest"] or 0
        as_of = (
            AsOf.of_models(listing.models, row["registered"], newest)
            if listing.models
            else AsOf.of_schema(row["registered"], newest)
        )
        return Page(row["rows"][:limit], as_of, len(row["rows"]) > limit, row["extra"])

    def readiness(self) -> Readiness:
        return Readiness.of(self._row(self._own(READINESS), {}, ()))

    def submit(self, kind: str, arguments: Mapping[str, Any]) -> int:
        """Ask the engine for something, as a row that it takes; returns the command's number."""
        commands = Commands(self._dsn, self.schema)
        try:
            return commands.submit(kind, arguments)
        finally:
            commands.close()

    def _own(self, query: str) -> sql.Composed:
        names = ("models", "writer", "engine", "source_status")
        return sql.SQL(query).format(**{name: qualified(self.schema, f"_topline_{name}") for name in names})

    def _row(self, statement: sql.Composed, values: Mapping[str, Any], models: Sequence[str]) -> DictRow:
        """The one row, from whoever has come as far as we have."""
        for server in self._servers.in_turn():
            replica = server is not self._servers.primary
            try:
                row = self._asked(server, statement, values, models)
            except TransientError:
                if not replica:
                    raise
                server.rest()
                continue
            if self._listening.saw(row["newest"] or 0):
                return row
        return row  # the primary's, twice: a backup was restored

    def _asked(self, server: Server, statement: sql.Composed, values: Mapping[str, Any], models: Sequence[str]) -> DictRow:
        try:
            with translated(), server.pool.connection() as connection:
                row = connection.execute(statement, values).fetchone()
        except StateError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                raise TransientError(_not_there(self.schema, models)) from error
            raise TransientError(f"the schema {self.schema!r} does not hold these results yet: {error}") from error
        assert row is not None  # an aggregate yields one row
        return row


def _not_there(schema: str, models: Sequence[str]) -> str:
    if not models:
        return f"the schema {schema!r} of the results database holds no results yet: `topline run` publishes the models there"
    names = " and ".join(models)
    return f"no {names} is published in the schema {schema!r}: `topline run` does, where the project has a model of that name"


_OF_MODELS = """
SELECT page.*, (SELECT epoch FROM {_topline_writer}) AS newest,
       (SELECT coalesce(json_agg(json_build_object('epoch', epoch, 'source_times', source_times)), '[]')
        FROM {_topline_models} WHERE model = ANY (%(_models)s) AND NOT retired) AS registered
FROM ({page}) page
"""

_OF_SCHEMA = """
SELECT page.*, (SELECT epoch FROM {_topline_writer}) AS newest,
       (SELECT json_object_agg(source, time) FROM {_topline_sources}) AS registered
FROM ({page}) page
"""
