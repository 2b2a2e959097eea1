"""Finds the types of expressions by asking DuckDB, and brings them into the closed set of schema.Type."""

import re
from collections.abc import Mapping, Sequence

import duckdb

from topline.errors import ModelError
from topline.schema import MONEY_SCALE, Column, Type

_PLAIN = {
    "VARCHAR": Type.TEXT,
    "BIGINT": Type.BIGINT,
    "DATE": Type.DATE,
    "TIMESTAMP": Type.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": Type.TIMESTAMPTZ,
    "BOOLEAN": Type.BOOLEAN,
    "DECIMAL(18,4)": Type.DECIMAL,
}
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_FLOAT_HINT = "money is DECIMAL(18,4): use try_decimal(x) on the text; for an average, exact_avg(x)"


def quoted(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class Typer:
    """Types by DESCRIBE over no rows. One in-memory DuckDB, in UTC."""

    def __init__(self) -> None:
        self._duckdb = duckdb.connect()
        self._duckdb.execute("SET TimeZone = 'UTC'")

    def raw(self, columns: Sequence[Column], expressions: Sequence[str]) -> list[str]:
        """DuckDB's type of each expression over `columns`. ModelError with DuckDB's words where it refuses."""
        if not expressions:
            return []
        inputs = ", ".join(f"NULL::{column.type.value} AS {quoted(column.name)}" for column in columns)
        outputs = ", ".join(f"({text}) AS c{i}" for i, text in enumerate(expressions))
        try:
            rows = self._duckdb.execute(f"DESCRIBE SELECT {outputs} FROM (SELECT {inputs}) AS t").fetchall()
        except duckdb.Error as error:
            raise ModelError(_first(error)) from None
        return [row[1] for row in rows]

    def describe(self, sql: str, relations: Mapping[str, Sequence[Column]]) -> list[str]:
        """The columns of a whole query over empty `relations`. ModelError, with its line, where DuckDB refuses it."""
        for name, columns in relations.items():
            inputs = ", ".join(f"NULL::{column.type.value} AS {quoted(column.name)}" for column in columns)
            self._duckdb.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT {inputs}")
        try:
            return [row[0] for row in self._duckdb.execute(f"DESCRIBE {sql}").fetchall()]
        except duckdb.Error as error:
            line = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
            raise ModelError(f"DuckDB: {_first(error)}", line=int(line[1]) if line else 1) from None


def _first(error: duckdb.Error) -> str:
    return re.split(r"\n+LINE \d", str(error))[0].strip()


def normalise(raw: str, expression: str) -> tuple[Type, str]:
    """The column type for DuckDB's type `raw`, and the expression with a checked cast where they differ.

    ModelError (without place) for floats, more than 4 decimals, an untyped NULL and types outside the set.
    """
    if raw in _PLAIN:
        return _PLAIN[raw], expression
    if raw in _INTEGERS:
        return Type.BIGINT, f"CAST({expression} AS BIGINT)"
    if match := _DECIMAL.fullmatch(raw):
        return _money(int(match[2]), raw, expression)
    if raw in {"DOUBLE", "FLOAT"}:
        raise ModelError(f"a float ({raw}) is not exact", hint=_FLOAT_HINT)
    if raw == '"NULL"':
        raise ModelError("a NULL without a type", hint="write cast(null as text), or the type that is meant")
    allowed = ", ".join(kind.value for kind in Type)
    raise ModelError(f"type {raw} is not one of the live types ({allowed})", hint="cast it to one of them")


def _money(scale: int, raw: str, expression: str) -> tuple[Type, str]:
    if scale > MONEY_SCALE:
        raise ModelError(f"{raw} has more than {MONEY_SCALE} decimals", hint="round it once, by try_decimal(x)")
    return Type.DECIMAL, f"CAST({expression} AS {Type.DECIMAL.value})"
