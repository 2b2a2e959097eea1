"""A random history in parts, and what the models must show at the end of each."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.exact.engines import DuckTruth, Rows
from tests.exact.history import Histories, History, Truth
from tests.exact.tables import TableSpec
from topline.models.plan import ProjectPlan


@dataclass(frozen=True)
class Told:
    """`expected`: published model -> its rows, of the plain SQL."""

    history: History
    expected: Mapping[str, Rows]


def tell(plan: ProjectPlan, tables: Mapping[str, TableSpec], seed: int, parts: Sequence[int]) -> list[Told]:
    """Inserts, updates, deletes, moved keys, swept and redelivered rows, in parts of so many batches."""
    truth, duck = Truth(tables), DuckTruth(plan)
    batches = iter(Histories(Random(seed), tables).history(sum(parts)))
    told: list[Told] = []
    for count in parts:
        part = tuple(itertools.islice(batches, count))
        for batch in part:
            truth.batches(batch)
        held = {name: table for name, table in truth.arrow().items() if name in plan.tables}
        told.append(Told(part, duck.rows(held)))
    duck.close()
    return told
