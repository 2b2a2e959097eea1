"""Reading result tables whole, as they stood at one moment: for the audit, and for comparing by digest."""

from collections.abc import Iterator, Mapping
from types import TracebackType

import pyarrow as pa
from psycopg import sql

from topline.results import registry
from topline.results.connection import Connection, connect, qualified, translated
from topline.results.registry import Registered
from topline.results.tables import identifiers
from topline.results.transfer import copy_out
from topline.schema import TableSchema


class Snapshot:
    """One REPEATABLE READ transaction over result tables; a context manager.

    The tables are locked (ACCESS SHARE) before the snapshot is taken, so that none is swapped between the two.
    `epochs`: model -> the epoch that its table shows; 0 where nothing was published.
    """

    def __init__(self, dsn: str, schema: str, models: Mapping[str, TableSchema]) -> None:
        self._schema = schema
        self._models = models
        self._connection: Connection = connect(dsn, "snapshot")
        try:
            with translated():
                found = self._begin()
        except BaseException:
            self._connection.close()
            raise
        self.epochs = {name: found[name].epoch if name in found else 0 for name in models}

    def rows(self, model: str) -> Iterator[pa.Table]:
        """The model's rows in its schema's types, in tables of bounded size; none for an empty table."""
        schema = self._models[model]
        query = sql.SQL("SELECT {} FROM {}").format(identifiers(schema.names), qualified(self._schema, model))
        with translated(), self._connection.cursor() as cursor:
            yield from copy_out(cursor, query, schema.arrow)

    def read(self, model: str) -> pa.Table:
        """All rows of the model in one table."""
        schema = self._models[model].arrow
        return pa.concat_tables([schema.empty_table(), *self.rows(model)])

    def digest(self, model: str) -> tuple[int, str]:
        """(count, hash) of the rows, whatever their order: the sum of the first 60 bits of each row's MD5."""
        statement = sql.SQL(
            "SELECT count(*), coalesce(sum(('x' || substr(md5(ROW({})::text), 1, 15))::bit(60)::bigint), 0)::text FROM {}"
        ).format(identifiers(self._models[model].names), qualified(self._schema, model))
        with translated():
            row = self._connection.execute(statement).fetchone()
        assert row is not None
        return row[0], row[1]

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _begin(self) -> dict[str, Registered]:
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        tables = sql.SQL(", ").join(qualified(self._schema, name) for name in self._models)
        if self._models:
            self._connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))
        with self._connection.cursor() as cursor:
            return registry.read_models(cursor, self._schema)
