"""The examples that stand beside the models (dbt's unit tests), for an engine that computes a plan over tables at hand."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa

from tests.exact.engines import Rows, difference, plain_rows
from topline.models import UnitTest, subplan, unit_tests
from topline.models.plan import ProjectPlan
from topline.schema import TableSchema
from topline.sources.values import table_of

Compute = Callable[[ProjectPlan, Mapping[str, pa.Table]], Mapping[str, Rows]]
"""(plan, table -> its rows) -> published model -> its rows."""
_UTC = ZoneInfo("UTC")


def wrong_examples(folder: Path, plan: ProjectPlan, compute: Compute) -> dict[str, str]:
    """Of each example that does not hold, what differs. AssertionError where there are too few to mean anything."""
    tests = unit_tests(folder, plan)
    assert len(tests) > 5
    return {test.name: said for test in tests if (said := _wrong(subplan(plan, test.model), test, compute))}


def _wrong(alone: ProjectPlan, test: UnitTest, compute: Compute) -> str:
    """What differs from the example, on the columns that it names."""
    found = compute(alone, {name: _given(test, name, schema) for name, schema in alone.tables.items()})[test.model]
    schema = alone.models[test.model].schema
    named = [name for name in schema.names if any(name in row for row in test.expect)]
    kept = TableSchema(test.model, tuple(column for column in schema.columns if column.name in named), ())
    expected = Counter(plain_rows(table_of(kept, test.expect, _UTC)[0]))
    places = [schema.names.index(name) for name in named]
    cut = Counter(tuple(row[place] for place in places) for row in found.elements())
    return difference(cut, expected)


def _given(test: UnitTest, name: str, schema: TableSchema) -> pa.Table:
    table, _, faults = table_of(schema, test.given[name], _UTC)
    assert not faults
    return table
