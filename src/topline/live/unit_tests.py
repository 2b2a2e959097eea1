"""`topline test`: dbt unit tests run on the live engine, four ways; each must give the expected rows."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from topline.changes import UPSERT, TableChanges
from topline.live.dataflow import Dataflow
from topline.models import UnitTest, subplan
from topline.models.plan import ProjectPlan
from topline.models.scratch import quoted
from topline.schema import TableSchema

Batches = list[list[TableChanges]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One unit test, run one way. `missing` and `unexpected` are rows as text; both empty: passed."""

    test: str
    model: str
    way: str
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.missing and not self.unexpected


def run_unit_tests(plan: ProjectPlan, tests: Iterable[UnitTest]) -> Iterator[Outcome]:
    for test in tests:
        part = subplan(plan, test.model)
        changes = [_insert(part.tables[name], given) for name, given in test.given.items() if given]
        for way, batches in _WAYS.items():
            yield _run(test, part, way, batches(changes))


def _run(test: UnitTest, plan: ProjectPlan, way: str, batches: Batches) -> Outcome:
    dataflow = Dataflow(plan)
    try:
        for batch in batches:
            dataflow.apply(batch)
        if test.model in dataflow.halted:
            return Outcome(test.name, test.model, way, (), (f"halted: {dataflow.halted[test.model]}",))
        schema = plan.models[test.model].schema
        found = pa.concat_tables([schema.arrow.empty_table(), *dataflow.all_rows(test.model)])
    finally:
        dataflow.close()
    expected = typed(schema, test.expect)
    names = [name for name in schema.names if any(name in row for row in test.expect)] or list(schema.names)
    missing, unexpected = _difference(expected.select(names), found.select(names))
    return Outcome(test.name, test.model, way, missing, unexpected)


def _difference(expected: pa.Table, found: pa.Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("expected", expected)
        connection.register("found", found)
        missing = connection.sql("SELECT * FROM expected EXCEPT ALL SELECT * FROM found").to_arrow_table()
        unexpected = connection.sql("SELECT * FROM found EXCEPT ALL SELECT * FROM expected").to_arrow_table()
    return tuple(str(row) for row in missing.to_pylist()), tuple(str(row) for row in unexpected.to_pylist())


def typed(schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """YAML rows in the schema's types; a column that a row does not name is NULL. Values pass through text, exactly."""
    text = {name: [None if row.get(name) is None else _text(row[name]) for row in rows] for name in schema.names}
    table = pa.table(text, schema=pa.schema([(name, pa.string()) for name in schema.names]))
    casts = ", ".join(f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in schema.columns)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("given", table)
        return connection.sql(f"SELECT {casts} FROM given").to_arrow_table().cast(schema.arrow)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _insert(schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> TableChanges:
    count = len(rows)
    numbers = np.arange(1, count + 1, dtype=np.int64)
    ops = np.full(count, UPSERT, dtype=np.int8)
    return TableChanges(schema.name, "", typed(schema, rows), ops, np.ones(count, dtype=np.int64), numbers)


def _single(changes: list[TableChanges]) -> Batches:
    return [changes]


def _row_by_row(changes: list[TableChanges]) -> Batches:
    return [[_slice(change, at)] for change in changes for at in range(len(change))]


def _shuffled(changes: list[TableChanges]) -> Batches:
    batches = _row_by_row(changes)
    random.Random(7).shuffle(batches)  # the same order in every run
    return batches


def _redelivered(changes: list[TableChanges]) -> Batches:
    return [batch for batch in _row_by_row(changes) for _ in range(2)] + [changes]


def _slice(change: TableChanges, at: int) -> TableChanges:
    one = slice(at, at + 1)
    return TableChanges(
        change.table, change.partition, change.rows.slice(at, 1), change.ops[one], change.hi[one], change.lo[one]
    )


_WAYS: dict[str, Callable[[list[TableChanges]], Batches]] = {
    "in one batch": _single,
    "row by row": _row_by_row,
    "shuffled": _shuffled,
    "redelivered": _redelivered,
}
