"""The dataflow equals its plan run from scratch, after every batch, however the history was cut into batches."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings

from tests.unit.live.histories import Event, Reference, batches, long_history
from tests.unit.live.plans import TABLES, everything
from tests.unit.live.scratch import Rows, as_rows, evaluate, sorted_rows
from topline.live.dataflow import Dataflow

PLAN = everything()


def current(dataflow: Dataflow, model: str) -> Rows:
    schema = PLAN.models[model].schema
    return sorted_rows(as_rows(pa.concat_tables([schema.arrow.empty_table(), *dataflow.all_rows(model)])))


def results(dataflow: Dataflow) -> dict[str, Rows]:
    return {model: current(dataflow, model) for model in PLAN.models}


@pytest.mark.parametrize("seed", range(3))
def test_equals_recomputation_over_a_long_history(seed: int) -> None:
    check(long_history(seed, 40))


@settings(max_examples=30, deadline=None)
@given(batches)
def test_equals_recomputation_after_every_batch(history: list[list[Event]]) -> None:
    check(history)


def check(history: Iterable[list[Event]]) -> None:
    reference, dataflow = Reference(), Dataflow(PLAN)
    published: dict[str, dict[tuple[object, ...], tuple[object, ...]]] = {model: {} for model in PLAN.models}
    for batch in history:
        applied = dataflow.apply(reference.parts(batch))
        assert applied.halted == {}
        truth = evaluate(PLAN, reference.arrow())
        assert results(dataflow) == truth
        for model, keys in applied.dirty.items():
            publish(dataflow, model, keys, published[model])
        assert {model: sorted_rows(list(rows.values())) for model, rows in published.items()} == truth
        assert {model: dataflow.count(model) for model in truth} == {model: len(rows) for model, rows in truth.items()}
    dataflow.close()


def publish(dataflow: Dataflow, model: str, keys: pa.Table, into: dict[tuple[object, ...], tuple[object, ...]]) -> None:
    """What a publisher does: read the dirty keys' rows; a key that has none is gone."""
    schema = PLAN.models[model].schema
    asked = as_rows(keys)
    assert len(set(asked)) == len(asked)
    for key in asked:
        into.pop(key, None)
    for row in as_rows(dataflow.rows(model, keys)):
        key = tuple(row[schema.names.index(name)] for name in schema.key)
        assert key in asked
        into[key] = row


@settings(max_examples=15, deadline=None)
@given(batches)
def test_cutting_the_history_otherwise_changes_nothing(history: list[list[Event]]) -> None:
    once, singly, reference = Dataflow(PLAN), Dataflow(PLAN), Reference()
    parts = [part for batch in history for part in reference.parts(batch)]
    once.apply(parts)
    for part in parts:
        singly.apply([part])
    assert results(once) == results(singly)
    assert tables(once) == tables(singly)
    once.close()
    singly.close()


def tables(dataflow: Dataflow) -> dict[str, Rows]:
    return {name: sorted_rows(as_rows(dataflow.table(name))) for name in TABLES}


@settings(max_examples=15, deadline=None)
@given(batches, batches)
def test_a_checkpoint_in_the_middle_changes_nothing(before: list[list[Event]], after: list[list[Event]]) -> None:
    reference, dataflow = Reference(), Dataflow(PLAN)
    for batch in before:
        dataflow.apply(reference.parts(batch))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        dataflow.dump(path)
        dataflow.close()
        dataflow = Dataflow.load(PLAN, path)
    for batch in after:
        dataflow.apply(reference.parts(batch))
    assert results(dataflow) == evaluate(PLAN, reference.arrow())
    dataflow.close()


@settings(max_examples=15, deadline=None)
@given(batches)
def test_the_resolved_changes_alone_lead_to_the_same_tables(history: list[list[Event]]) -> None:
    reference, dataflow, again = Reference(), Dataflow(PLAN), Dataflow(PLAN)
    for batch in history:
        again.apply(dataflow.apply(reference.parts(batch)).resolved)
    assert tables(again) == tables(dataflow) == {n: sorted_rows(as_rows(rows)) for n, rows in reference.arrow().items()}
    assert {name: dataflow.table_count(name) for name in TABLES} == {name: len(held) for name, held in reference.tables.items()}
    dataflow.close()
    again.close()
