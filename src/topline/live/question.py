"""Asks DuckDB: queries that are prepared once and read whatever batch is put before them. DuckDB keeps nothing."""

import itertools
import warnings
from collections.abc import Sequence
from threading import Lock
from typing import Any

import duckdb
import pyarrow as pa

from topline.errors import ModelHalted
from topline.schema import Column

_COUNTED = "__row"  # a column for expressions without columns
_numbers = itertools.count()
_one_at_a_time = Lock()  # a connection has one result; nodes that fold at once share it
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")  # the copy is what a prepared plan costs


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB that keeps nothing: one thread, times in UTC."""
    connection = duckdb.connect(":memory:", config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


class _Feed:
    """An Arrow source (PyCapsule interface) whose rows are set before each reading, so that a prepared plan stays valid."""

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self.rows.__arrow_c_stream__(requested_schema)


class Question:
    """Expressions over rows, in the rows' order: columns c0, c1, ... Planning costs 5 to 10 ms once, a call half of one."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, expressions: Sequence[str], columns: Sequence[Column]) -> None:
        self._connection = connection
        self._name = f"question{next(_numbers)}"
        fields = [(column.name, column.type.arrow) for column in columns]
        self._schema = pa.schema(fields or [(_COUNTED, pa.null())])
        self._feed = _Feed(self._schema)
        named = ", ".join(f"{text} AS c{place}" for place, text in enumerate(expressions))
        with _one_at_a_time:
            connection.register(f"{self._name}_rows", self._feed)
            connection.execute(f"PREPARE {self._name} AS SELECT {named} FROM {self._name}_rows")

    def ask(self, columns: Sequence[pa.Array], count: int) -> pa.Table:
        """DuckDB's own errors (an overflow, a cast that fails) halt the models behind."""
        self._feed.rows = pa.Table.from_arrays(list(columns) or [pa.nulls(count)], schema=self._schema)
        try:
            with _one_at_a_time:
                answer: pa.Table = self._connection.execute(f"EXECUTE {self._name}").to_arrow_table()
        except duckdb.Error as error:
            raise ModelHalted(f"{error}; correct the value at the source or the model's expression") from error
        finally:
            self._feed.rows = self._schema.empty_table()
        return answer
