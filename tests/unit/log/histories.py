"""Small tables and changes for the log's tests, and a dict that plays the truth."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa

from topline.changes import DELETE, UPSERT, Position, TableChanges
from topline.log import LogReader
from topline.schema import Column, TableSchema, Type

ORDERS = TableSchema(
    "shop.orders", (Column("id", Type.BIGINT), Column("city", Type.TEXT), Column("amount", Type.DECIMAL)), ("id",)
)
SALES = TableSchema(
    "files.sales", (Column("branch", Type.TEXT), Column("line", Type.BIGINT), Column("city", Type.TEXT)), ("branch", "line")
)
SCHEMAS = {schema.name: schema for schema in (ORDERS, SALES)}
PROJECT = "sales"

Row = tuple[object, ...]
Truth = dict[str, dict[Row, Row]]


def changes(
    schema: TableSchema, rows: Sequence[Row], *, ops: Sequence[int] | None = None, partition: str = "p", at: int = 1
) -> TableChanges:
    """`rows` as changes (upserts, unless `ops` say) at the positions (at, 0), (at, 1), ..."""
    columns = zip(*rows, strict=True) if rows else [[]] * len(schema.columns)
    table = pa.table(
        [pa.array(list(values), c.type.arrow) for values, c in zip(columns, schema.columns, strict=True)], schema=schema.arrow
    )
    kinds = np.array([UPSERT] * len(rows) if ops is None else ops, dtype=np.int8)
    return TableChanges(
        schema.name, partition, table, kinds, np.full(len(rows), at, np.int64), np.arange(len(rows), dtype=np.int64)
    )


def order(number: int, city: str | None = "Rome", amount: str | None = "1.0000") -> Row:
    return number, city, None if amount is None else Decimal(amount)


def apply(truth: Truth, part: TableChanges) -> None:
    """The change of the truth: the last of a key wins. Each row is followed by its partition and position."""
    schema = SCHEMAS[part.table]
    table = truth.setdefault(part.table, {})
    for row, op, hi, lo in zip(part.rows.to_pylist(), part.ops, part.hi, part.lo, strict=True):
        key = tuple(row[name] for name in schema.key)
        if op == DELETE:
            table.pop(key, None)
        else:
            table[key] = (*row.values(), part.partition, Position(int(hi), int(lo)))


def table_of(reader: LogReader, name: str, epoch: int | None = None) -> dict[Row, Row]:
    """The log's table in the shape of the truth. A key twice is an error."""
    schema = SCHEMAS[name]
    found: dict[Row, Row] = {}
    for chunk in reader.snapshot(name, epoch):
        assert chunk.schema.names[: len(schema.names)] == list(schema.names)
        for row in chunk.to_pylist():
            key = tuple(row[column] for column in schema.key)
            assert key not in found, f"{key} twice"
            found[key] = (*(row[c] for c in schema.names), row["_partition"], Position(row["_hi"], row["_lo"]))
    return found
