"""A push source over a state folder, and what an engine that starts empty makes of what waits in its inbox."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topline.changes import DELETE, DeadLetter, SourceBatch, TableChanges
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume
from topline.sources.push import PushSource, Settings, create

ORDERS = TableSchema(
    "web.orders",
    (
        Column("id", Type.TEXT),
        Column("amount", Type.TEXT),
        Column("items", Type.BIGINT),
        Column("placed", Type.TIMESTAMPTZ),
        Column("note", Type.TEXT),
    ),
    ("id",),
)
CUSTOMERS = TableSchema("web.customers", (Column("id", Type.TEXT), Column("name", Type.TEXT)), ("id",))
TABLES = {"orders": ORDERS, "customers": CUSTOMERS}
Row = dict[str, Any]


def push_source(
    state: Path, settings: Mapping[str, Any] | None = None, tables: Mapping[str, TableSchema] | None = None
) -> PushSource:
    """A new one, as a new process would make it."""
    context = Context("web", tables or TABLES, state, state)
    return create(context, Settings.model_validate({"kind": "push", **(settings or {})}))


class Reading:
    """Reads until the end that the source had when it was opened. `numbers`: sequence numbers of rows, in order."""

    def __init__(self, source: PushSource, resume: Resume | None = None) -> None:
        self.source = source
        self.tables: dict[str, dict[str, Row]] = {}
        self.letters: list[DeadLetter] = []
        self.batches: list[SourceBatch] = []
        self.numbers: list[int] = []
        source.open(resume or Resume())

    def all(self, table: str = "web.orders", max_rows: int = 1000) -> dict[str, Row]:
        while (batch := self.source.read(max_rows, 0)) is not None or not self.source.reached_end():
            if batch is not None:
                self.take(batch)
        return self.tables.get(table, {})

    def take(self, batch: SourceBatch) -> None:
        self.batches.append(batch)
        self.letters += batch.dead_letters
        for part in batch.parts:
            assert isinstance(part, TableChanges)
            self.numbers += part.lo.tolist()
            rows = self.tables.setdefault(part.table, {})
            for row, op in zip(part.rows.to_pylist(), part.ops.tolist(), strict=True):
                rows.pop(row["id"], None)
                if op != DELETE:
                    rows[row["id"]] = row

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
