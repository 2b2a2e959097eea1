"""A random history as records of topics, in order, and what the models must show at its end."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.cluster.events import Events
from tests.exact.engines import DuckTruth, Rows
from tests.exact.history import Batch, Histories, Truth
from tests.exact.tables import Row, TableSpec
from topline.changes import SourceBatch, TableChanges
from topline.models.plan import ProjectPlan


@dataclass(frozen=True)
class Record:
    """A row's new values, or, `gone`, the row taken away."""

    table: str
    row: Mapping[str, object]
    gone: bool = False


@dataclass(frozen=True)
class Told:
    """`steps`: the records of each batch, some of them twice. `expected`: published model -> its rows, of the plain SQL."""

    plan: ProjectPlan
    steps: tuple[tuple[Record, ...], ...]
    expected: Mapping[str, Rows]


def tell(plan: ProjectPlan, tables: Mapping[str, TableSpec], seed: int, parts: Sequence[int]) -> list[Told]:
    """A history of inserts, updates, deletes, moved keys, vanished rows and redelivered records, in parts of so many batches,
    each with what must be shown at its end."""
    random = Random(seed)
    truth, duck = Truth(tables), DuckTruth(plan)
    batches = iter(Histories(random, tables).history(sum(parts)))
    sent: list[Record] = []
    told: list[Told] = []
    for count in parts:
        steps = tuple(_step(truth, batch, sent, random) for batch in itertools.islice(batches, count))
        held = {name: table for name, table in truth.arrow().items() if name in plan.tables}
        told.append(Told(plan, steps, duck.rows(held)))
    duck.close()
    return told


def _step(truth: Truth, batch: Batch, sent: list[Record], random: Random) -> tuple[Record, ...]:
    """A batch's records, sometimes after the last ones once more."""
    before = _held(truth)
    records = [record for one in truth.batches(batch) for record in _records(one)]
    records += _mended(before, truth, records)
    again = sent[-random.choice([1, 5, 20]) :] if random.random() < 0.3 else []
    sent += records
    return (*again, *records)


def _held(truth: Truth) -> dict[str, dict[Row, Row]]:
    return {name: {key: row for key, (row, _, _) in held.items()} for name, held in truth.held.items()}


def _records(batch: SourceBatch) -> Iterator[Record]:
    """Changes as they came. What a sweep took, and columns that were left out, is mended after the batch."""
    for part in batch.parts:
        if isinstance(part, TableChanges):
            for row, op in zip(part.rows.to_pylist(), part.ops.tolist(), strict=True):
                yield Record(part.table, row, gone=op != 0)


def _mended(before: Mapping[str, Mapping[Row, Row]], truth: Truth, records: list[Record]) -> list[Record]:
    """Records that bring each table's topic to what the table holds after the batch."""
    found: list[Record] = []
    for name, spec in truth.tables.items():
        shown: dict[Row, Row | None] = dict(before[name])
        for record in records:
            if record.table == name:
                row = tuple(record.row[column] for column in spec.schema.names)
                shown[spec.key(row)] = None if record.gone else row
        held = {key: row for key, (row, _, _) in truth.held[name].items()}
        for key in sorted(shown.keys() | held.keys(), key=repr):
            if shown.get(key) != held.get(key):
                row = held.get(key) or shown[key] or ()
                found.append(Record(name, dict(zip(spec.schema.names, row, strict=True)), gone=key not in held))
    return found


def write(events: Events, told: Told, topics: Mapping[str, str]) -> None:
    """The records to their topics (by table), each step flushed."""
    for step in told.steps:
        for record in step:
            if record.table not in told.plan.tables:
                continue
            topic, schema = topics[record.table], told.plan.tables[record.table]
            if record.gone:
                events.delete(topic, schema, [record.row])
            else:
                events.put(topic, schema, [record.row])
        events.flush()
