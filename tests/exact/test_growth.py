"""Given a table that gets a column amid a history, when its models read it from then on and the table is copied again, then all
is as if the column had been there from the beginning."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tests.exact.engines import DuckTruth
from tests.exact.history import Delivery, Event, Histories, Truth
from tests.exact.models import Project, by_hand
from tests.exact.pipe import Pipe, digest
from tests.exact.tables import TableSpec
from topline.changes import UPSERT, Part, SourceBatch, Sweep, TableChanges

ORDERS, NEW = "shop.orders", "seen_at"  # the last column
_FROM = "from {{ source('shop', 'orders') }}"
_DAY = "{{ business_date('seen_at') }}"
BEFORE = {
    "by_city": "{{ config(meta={'key': ['city']}) }}\n"
    f"select coalesce(city, '~') as city, count(*) as orders, {{{{ max_text('man_id') }}}} as man {_FROM} group by city",
}
AFTER = {
    **BEFORE,
    "by_day": "{{ config(meta={'key': ['day']}) }}\n"
    f"select coalesce({_DAY}, date '1900-01-01') as day, count(*) as orders, count(distinct city) as cities "
    f"{_FROM} group by {_DAY}",
}


def without_the_column(made: Project) -> Project:
    spec = made.tables[ORDERS]
    schema = replace(spec.schema, columns=spec.schema.columns[:-1])
    return replace(made, tables={**made.tables, ORDERS: TableSpec(schema, spec.values)})


def as_before(batch: SourceBatch) -> SourceBatch:
    return replace(batch, parts=tuple(narrowed(part) for part in batch.parts))


def narrowed(part: Part) -> Part:
    if not isinstance(part, TableChanges) or part.table != ORDERS:
        return part
    bit = 1 << part.rows.column_names.index(NEW)
    kept = None if part.unchanged is None else np.bitwise_and(part.unchanged, ~np.int64(bit))
    return replace(part, rows=part.rows.drop_columns([NEW]), unchanged=kept)


def copied_again(truth: Truth) -> Delivery:
    """Every row as it stands, and a sweep of what was not seen."""
    changes = tuple((UPSERT, row, 0) for row in truth.rows()[ORDERS])
    return Delivery("shop", (Event("copied", ORDERS, "", changes, 0),))


@pytest.mark.parametrize("seed", range(4))
def test_a_new_column_is_as_if_it_had_always_been_there(tmp_path: Path, seed: int) -> None:
    grown = by_hand(AFTER)
    truth, plan = Truth(grown.tables), grown.plan()
    history = Histories(Random(seed), grown.tables).history(8)
    with Pipe(without_the_column(by_hand(BEFORE)).plan(), tmp_path) as pipe:
        for batch in history[:4]:
            pipe.feed([as_before(one) for one in truth.batches(batch)])
    with Pipe(plan, tmp_path) as pipe:
        assert NEW in pipe.dataflow.table(ORDERS).column_names
        pipe.feed(truth.batches((copied_again(truth),)))
        for batch in history[4:]:
            pipe.feed(truth.batches(batch))
        expected = DuckTruth(plan).rows({name: rows for name, rows in truth.arrow().items() if name in plan.tables})
        assert digest(pipe.rows()) == digest(expected)
        assert all(found.total() for found in expected.values())


def test_nothing_is_swept_that_the_copy_saw() -> None:
    truth = Truth(by_hand(AFTER).tables)
    for batch in Histories(Random(1), truth.tables).history(3):
        truth.batches(batch)
    before = truth.rows()[ORDERS]
    (again,) = truth.batches((copied_again(truth),))
    assert truth.rows()[ORDERS] == before
    assert isinstance(again.parts[-1], Sweep)
