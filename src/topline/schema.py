"""Columns and their types: the small closed set that tables, models, log and results share.

Exact by construction: there is no float. Numeric and float columns of a source travel as their exact (shortest) decimal
text and are cast once, in staging, by `try_decimal`.
"""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Type(StrEnum):
    """A column's type. The value is its name in DuckDB and PostgreSQL SQL alike."""

    TEXT = "TEXT"
    BIGINT = "BIGINT"
    DECIMAL = "DECIMAL(18,4)"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"
    TIMESTAMPTZ = "TIMESTAMPTZ"
    BOOLEAN = "BOOLEAN"

    @property
    def arrow(self) -> pa.DataType:
        return _ARROW[self]


RESERVED = ("_partition", "_hi", "_lo", "_epoch", "_time", "_deleted", "_ord")
"""What the log calls its own columns beside a table's; no table has one of these, in upper or lower case."""
MONEY_SCALE = 4
MONEY_LIMIT = 10**18  # units of 10^-4: DECIMAL(18,4) holds less than this, either sign

_ARROW: dict[Type, pa.DataType] = {
    Type.TEXT: pa.string(),
    Type.BIGINT: pa.int64(),
    Type.DECIMAL: pa.decimal128(18, MONEY_SCALE),
    Type.DATE: pa.date32(),
    Type.TIMESTAMP: pa.timestamp("us"),
    Type.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    Type.BOOLEAN: pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A replicated table or a published model. `name` is `source.table` for a table, the model's name for a model.

    `key` names the columns that identify a row; they are never NULL in a row that the table holds.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def arrow(self) -> pa.Schema:
        return pa.schema([(column.name, column.type.arrow) for column in self.columns])

    def type_of(self, name: str) -> Type:
        return next(column.type for column in self.columns if column.name == name)
