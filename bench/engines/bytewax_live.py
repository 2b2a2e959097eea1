"""Bytewax: the last row of each sale, then a state a group; one worker (Python's lock is one)."""

import time
from importlib import import_module
from typing import Any

from bench.engines.common import CITIES, MEN, batches, first, rows, table, told
from bench.engines.folding import CityDay, ManDay, changes

op: Any = import_module("bytewax.operators")
inputs: Any = import_module("bytewax.inputs")
outputs: Any = import_module("bytewax.outputs")
BEGAN: list[tuple[float, float]] = []
FOUND: dict[str, dict[Any, Any]] = {"city": {}, "man": {}}


class Rows(inputs.StatelessSourcePartition):  # type: ignore[misc]
    def __init__(self) -> None:
        self.waiting = iter([list(rows(first())), *(list(rows(batch)) for batch in batches())])
        self.given = 0

    def next_batch(self) -> list[Any]:
        self.given += 1
        if self.given == 2:
            BEGAN.append((time.perf_counter(), time.process_time()))
        return next(self.waiting)


class Source(inputs.DynamicSource):  # type: ignore[misc]
    def build(self, step_id: str, worker_index: int, worker_count: int) -> Rows:  # noqa: ARG002 - Bytewax's names
        return Rows()


class Keeping(outputs.StatelessSinkPartition):  # type: ignore[misc]
    def write_batch(self, items: list[Any]) -> None:
        for key, (kind, group, state) in items:
            FOUND[kind][key] = (group, state)


class Sink(outputs.DynamicSink):  # type: ignore[misc]
    def build(self, step_id: str, worker_index: int, worker_count: int) -> Keeping:  # noqa: ARG002 - Bytewax's names
        return Keeping()


def last(old: Any, row: Any) -> Any:
    return changes(old, row)


def groups(item: Any) -> Any:
    _, (row, weight) = item
    yield "\x1f".join(map(str, row[1:5])), ("city", row, weight)
    yield f"{row[1]}\x1f{row[5]}", ("man", row, weight)


def fold(state: Any, item: Any) -> Any:
    kind, row, weight = item
    if state is None:
        state = CityDay() if kind == "city" else ManDay()
    state.change(row[7] if kind == "city" else row, weight)
    group = row[1:5] if kind == "city" else (row[1], row[5])
    return (state if state.sales else None), [(kind, group, state)]


def main() -> None:
    flow = import_module("bytewax.dataflow").Dataflow("bench")
    events = op.key_on("sale", op.input("events", flow, Source()), lambda row: row[0])
    moved = op.stateful_flat_map("last", events, last)
    folded = op.stateful_flat_map("fold", op.flat_map("groups", moved, groups), fold)
    op.output("keep", folded, Sink())
    import_module("bytewax.testing").run_main(flow)
    seconds, cpu = time.perf_counter() - BEGAN[0][0], time.process_time() - BEGAN[0][1]
    cities = [(*group, s.total, s.sales, s.greatest) for group, s in FOUND["city"].values() if s.sales]
    men = [(*group, max(s.names), s.total, s.sales, len(s.cities)) for group, s in FOUND["man"].values() if s.sales]
    told(table(CITIES, cities), table(MEN, men), seconds, cpu)


main()
