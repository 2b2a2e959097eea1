"""Models' SQL on Flink itself, as a batch over tables at hand: the shipped examples, and the order system of TPC-H."""

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from tests.cluster.engines.examples import wrong_examples
from tests.cluster.stack import Stack
from tests.exact.engines import DuckTruth, Rows, difference, plain_rows
from tests.exact.history import Histories, Truth
from tests.exact.shipped import ROOT, TPCH, sales_plan, specs, tpch_plan
from topline.cluster.flink.gateway import Session
from topline.cluster.flink.settings import Server
from topline.models.flink import TYPES, quoted, text, views
from topline.models.plan import ModelPlan, ProjectPlan
from topline.schema import TableSchema
from topline.sources.values import table_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


class Batch:
    """Computes plans, each in a session of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder, self._numbers = url, folder, itertools.count()

    def __call__(self, plan: ProjectPlan, tables: Mapping[str, pa.Table]) -> dict[str, Rows]:
        settings = {"execution.runtime-mode": "batch", "table.local-time-zone": "UTC", "parallelism.default": "1"}
        session = Session(Server(url=self._url), self._folder, 300, settings)
        try:
            for name, schema in plan.tables.items():
                self._load(session, schema, tables[name])
            for name, query in views(plan):
                session.run(f"CREATE TEMPORARY VIEW {quoted(name)} AS\n{query}")
            return {name: _rows(session, model) for name, model in plan.models.items() if model.published}
        finally:
            session.close()

    def _load(self, session: Session, schema: TableSchema, rows: pa.Table) -> None:
        """As texts in a file, each cast to its type."""
        file = self._folder / f"{next(self._numbers)}.json"
        file.write_text("".join(json.dumps({n: _text(v) for n, v in row.items()}) + "\n" for row in rows.to_pylist()))
        columns = ", ".join(f"{quoted(name)} STRING" for name in schema.names)
        options = f"'connector' = 'filesystem', 'format' = 'json', 'path' = {text(file.as_uri())}"
        session.run(f"CREATE TEMPORARY TABLE {quoted(f'{schema.name} texts')} ({columns}) WITH ({options})")
        values = ", ".join(f"CAST({quoted(c.name)} AS {TYPES[c.type]}) AS {quoted(c.name)}" for c in schema.columns)
        session.run(f"CREATE TEMPORARY VIEW {quoted(schema.name)} AS SELECT {values} FROM {quoted(f'{schema.name} texts')}")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value).removesuffix("+00:00")


def _rows(session: Session, model: ModelPlan) -> Rows:
    columns = model.schema.columns
    values = ", ".join(f"CAST({quoted(column.name)} AS STRING)" for column in columns)
    found = session.run(f"SELECT {values} FROM {quoted(model.name)}")
    rows = [dict(zip(model.schema.names, row, strict=True)) for row in found]
    table, _, faults = table_of(model.schema, rows, ZoneInfo("UTC"))
    assert not faults
    return Counter(plain_rows(table))


@pytest.fixture(scope="module")
def batch(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    return Batch(stack.flink.gateway_url, tmp_path_factory.mktemp("tables"))


def test_the_examples_of_the_shipped_models_hold(batch: Batch) -> None:
    assert wrong_examples(ROOT / "sales", sales_plan(), batch) == {}


@pytest.mark.long
def test_the_order_system_of_tpch(batch: Batch) -> None:
    plan = tpch_plan(3)
    tables = specs(plan, TPCH)
    truth, duck = Truth(tables), DuckTruth(plan)
    for made in Histories(Random(1), tables).history(4):
        truth.batches(made)
    found = batch(plan, truth.arrow())
    expected = duck.rows(truth.arrow())
    duck.close()
    assert {name: said for name, rows in expected.items() if (said := difference(found[name], rows))} == {}
