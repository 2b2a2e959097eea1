"""The live engine's heart: a batch of changes in, every model's changed keys out, by folding the plan's graph once."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import duckdb
import pyarrow as pa

from topline.changes import Part, Sweep, TableChanges
from topline.errors import ModelHalted
from topline.live import kernels, statefile
from topline.live.aggregate import AggregateOperator
from topline.live.arrays import State, nest, unnest
from topline.live.delta import Delta, merge
from topline.live.interner import Interner
from topline.live.join import JoinOperator
from topline.live.operator import Operator, UnionOperator, places
from topline.live.parallel import run_all
from topline.live.pruning import inputs, physical
from topline.live.published import Published, PublishedGroups
from topline.live.question import connect
from topline.live.select import SelectOperator
from topline.live.tables import Run, Table
from topline.live.topn import TopNOperator
from topline.models.plan import Aggregate, Join, ModelPlan, Node, ProjectPlan, Scan, Select, TopN, Union

MANY = 10_000  # changes; a hand-over to another thread costs some 0.1 ms
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch came to.

    resolved   the changes as the log takes them: unchanged values filled in, sweeps as deletes (of partition '' when the
               sweep named none)
    dirty      published model -> the keys that it touched, one row each
    rows_read  rows that operators fetched from their state, all together
    halted     models that this batch stopped, with the reason
    """

    resolved: tuple[TableChanges, ...]
    dirty: dict[str, pa.Table] = field(default_factory=dict)
    rows_read: int = 0
    halted: dict[str, str] = field(default_factory=dict)


class StateSize(NamedTuple):
    """A step of the dataflow: how many rows it keeps, in how many bytes, and how many it has read since the start."""

    description: str
    rows: int
    bytes: int
    rows_read: int


class _Step(NamedTuple):
    """What is done to a table at once; numbers: of the batch's parts."""

    table: str
    numbers: list[int]
    work: Run | Sweep


class Dataflow:
    """Not thread-safe. After any exception from `apply` but SourceHalted the state is void: make a new one from checkpoint
    and log."""

    def __init__(self, plan: ProjectPlan) -> None:
        kernels.load()
        self._plan = plan
        self._interner = Interner()
        self._connection = connect()
        self._tables = {name: Table(schema, self._interner) for name, schema in plan.tables.items()}
        self._nodes, self._roots = physical(plan)
        self._operators = [_operator(node, self._interner, self._connection) for node in self._nodes]
        self._number = {node: number for number, node in enumerate(self._nodes)}
        self._graph = {number: [self._number[source] for source in inputs(node)] for number, node in enumerate(self._nodes)}
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="fold")  # begins threads where they are needed
        self._published = {name: self._publication(model) for name, model in plan.models.items() if model.published}
        self._halted: dict[str, str] = {}
        self._dead: set[Node] = set()

    def _publication(self, model: ModelPlan) -> Published:
        operator = self._operators[self._number[self._roots[model.name]]]
        if isinstance(operator, AggregateOperator) and PublishedGroups.fits(model.schema, operator):
            return PublishedGroups(model.schema, self._interner, operator)
        return Published(model.schema, self._interner)

    @property
    def halted(self) -> dict[str, str]:
        """Models that have stopped, with the reason; they start again with a new dataflow only."""
        return dict(self._halted)

    @property
    def rows_read(self) -> int:
        """Rows that tables, operators and published models have fetched from their state so far."""
        parts: list[Table | Operator | Published] = [*self._tables.values(), *self._operators, *self._published.values()]
        return sum(part.rows_read for part in parts)

    # folding

    def apply(self, parts: Sequence[Part]) -> Applied:
        """Bring in the parts in order, then fold the graph once. SourceHalted for a row that a table cannot take: then
        nothing was applied, and the state holds."""
        before, halted_before = self.rows_read, set(self._halted)
        resolved, changes = self._change_tables(parts)
        deltas = self._fold(changes)
        dirty = self._publish(deltas)
        halted = {name: reason for name, reason in self._halted.items() if name not in halted_before}
        return Applied(resolved, dirty, self.rows_read - before, halted)

    def _change_tables(self, parts: Sequence[Part]) -> tuple[tuple[TableChanges, ...], dict[str, Delta]]:
        resolved: dict[int, TableChanges] = {}
        changes: dict[str, list[Delta]] = {}
        for step in self._encode(parts):
            table = self._tables[step.table]
            if isinstance(step.work, Sweep):
                resolved[step.numbers[0]], delta = table.sweep(step.work)
            else:
                explicit, delta = table.apply(step.work)
                resolved.update(zip(step.numbers, explicit, strict=True))
            changes.setdefault(step.table, []).append(delta)
        widths = {name: len(self._tables[name].schema.columns) for name in changes}
        deltas = {name: merge(deltas, widths[name]).settle() for name, deltas in changes.items()}
        return tuple(resolved[number] for number in sorted(resolved) if len(resolved[number])), deltas

    def check(self, parts: Sequence[Part]) -> None:
        """SourceHalted for a row that a table cannot take. Applies nothing."""
        self._encode(parts)

    def _encode(self, parts: Sequence[Part]) -> list[_Step]:
        """A table's changes between two sweeps as one run."""
        steps: list[_Step] = []
        before: dict[str, list[Run]] = {}
        for table, numbers in _runs(parts):
            first, earlier = parts[numbers[0]], before.setdefault(table, [])
            if isinstance(first, Sweep):
                steps.append(_Step(table, numbers, first))
                continue
            run = self._tables[table].encode([part for number in numbers if isinstance(part := parts[number], TableChanges)])
            self._tables[table].require_held(run, earlier)
            earlier.append(run)
            steps.append(_Step(table, numbers, run))
        return steps

    def _fold(self, changes: dict[str, Delta]) -> dict[Node, Delta]:
        deltas: dict[Node, Delta] = {}
        failed: dict[int, str] = {}

        def work(number: int) -> None:
            try:
                self._step(number, changes, deltas)
            except ModelHalted as error:
                self._dead.add(self._nodes[number])
                failed[number] = str(error)

        if sum(map(len, changes.values())) < MANY:
            for number in self._graph:
                work(number)
        else:
            run_all(self._graph, work, self._workers)
        for number in sorted(failed):  # in the graph's order, whichever came first
            self._kill(self._nodes[number], failed[number])
        return deltas

    def _step(self, number: int, changes: dict[str, Delta], deltas: dict[Node, Delta]) -> None:
        """Take a node's delta from those of its inputs. Nodes that do not wait for each other may do so at once. ModelHalted
        where its state is void."""
        node = self._nodes[number]
        if node in self._dead or any(source in self._dead for source in inputs(node)):
            self._dead.add(node)
            return
        if isinstance(node, Scan):
            deltas[node] = self._scanned(node, changes)
            return
        sources = [deltas[source] for source in inputs(node)]
        deltas[node] = self._operators[number].step(sources) if any(map(len, sources)) else Delta.empty(len(node.columns))

    def _scanned(self, node: Scan, changes: dict[str, Delta]) -> Delta:
        if node.table not in changes:
            return Delta.empty(len(node.columns))
        names = self._tables[node.table].schema.names
        return changes[node.table].pick([names.index(column.name) for column in node.columns]).settle()

    def _publish(self, deltas: dict[Node, Delta]) -> dict[str, pa.Table]:
        dirty: dict[str, pa.Table] = {}
        for name, published in self._published.items():
            model = self._plan.models[name]
            root = self._roots[name]
            delta = deltas.get(root)
            if delta is None or not len(delta) or name in self._halted:
                continue
            named = places(root, model.schema.names)
            try:
                dirty[name] = published.fold(delta.pick(named).settle())
            except ModelHalted as error:
                self._halt(name, str(error))
        return {name: keys for name, keys in dirty.items() if name not in self._halted}

    def _kill(self, node: Node, reason: str) -> None:
        """The node's state is void: it and all that reads it stop."""
        self._dead.add(node)
        dead = {node}
        for later in self._nodes[self._number[node] + 1 :]:
            if any(source in dead for source in inputs(later)):
                dead.add(later)
        for name, root in self._roots.items():
            if root in dead:
                self._halt(name, f"{name}: {reason}")

    def _halt(self, name: str, reason: str) -> None:
        """Stop a model and every model over it."""
        self._halted.setdefault(name, reason)
        for other, model in self._plan.models.items():
            if name in model.depends_on and other not in self._halted:
                self._halt(other, f"{other} reads {name}, which has stopped: {reason}")

    # reading

    def rows(self, model: str, keys: pa.Table) -> pa.Table:
        """The current rows of a published model for these keys; a key that is not there is absent."""
        return self._published[model].rows(keys)

    def all_rows(self, model: str) -> Iterator[pa.Table]:
        """All rows of a published model, in chunks. Do not apply a batch while it is being read."""
        return self._published[model].all_rows()

    def count(self, model: str) -> int:
        return len(self._published[model])

    def table(self, name: str) -> pa.Table:
        """The current rows of a replicated table."""
        return self._tables[name].current()

    def table_count(self, name: str) -> int:
        return len(self._tables[name])

    def state(self) -> list[StateSize]:
        """What is kept in memory, step by step, and what each step has read."""
        sizes = [StateSize("text", len(self._interner), self._interner.nbytes, 0)]
        sizes += [
            StateSize(f"table {name}", len(table), table.store.nbytes, table.rows_read) for name, table in self._tables.items()
        ]
        for number, (node, operator) in enumerate(zip(self._nodes, self._operators, strict=True)):
            if operator.state_rows or operator.rows_read:
                kind = f"{type(node).__name__.lower()} {number}"
                sizes.append(StateSize(kind, operator.state_rows, operator.nbytes, operator.rows_read))
        sizes += [
            StateSize(f"model {name}", len(model), model.nbytes, model.rows_read) for name, model in self._published.items()
        ]
        return sizes

    # checkpoints

    def dump(self, path: Path) -> None:
        """Write the whole state to a file, replacing it at once."""
        self.begin_dump(path)
        statefile.settle(path)

    def begin_dump(self, path: Path) -> None:
        """Write it beside the file; `statefile.settle` then replaces that, while batches may be applied."""
        header = {"plan": self._plan.fingerprint, "halted": json.dumps(self._halted)}
        dead = [str(self._number[node]) for node in self._dead]
        statefile.write(path, header | {"dead": " ".join(dead)}, nest(**self._parts()))

    @classmethod
    def load(cls, plan: ProjectPlan, path: Path) -> Self:
        """The state as it was dumped. StateError where the file is damaged or of another plan; the caller discards it."""
        header, arrays = statefile.read(path, {"plan": plan.fingerprint})
        dataflow = cls(plan)
        unnest(arrays, **dataflow._parts())
        dataflow._halted = json.loads(header["halted"])
        dataflow._dead = {dataflow._nodes[int(number)] for number in header["dead"].split()}
        return dataflow

    def _parts(self) -> dict[str, State]:
        parts: dict[str, State] = {"interner": self._interner}
        parts |= {f"table {name}": table for name, table in self._tables.items()}
        parts |= {f"node {number}": operator for number, operator in enumerate(self._operators)}
        return parts | {f"model {name}": model for name, model in self._published.items()}

    def close(self) -> None:
        self._workers.shutdown()
        self._connection.close()


def _runs(parts: Sequence[Part]) -> list[tuple[str, list[int]]]:
    """Which parts are brought in together, and to which table: its changes up to its next sweep, or a sweep."""
    runs: list[tuple[str, list[int]]] = []
    open_: dict[str, list[int]] = {}
    for number, part in enumerate(parts):
        if isinstance(part, Sweep):
            open_.pop(part.table, None)
            runs.append((part.table, [number]))
        elif isinstance(part, TableChanges) and part.table in open_:
            open_[part.table].append(number)
        elif isinstance(part, TableChanges):
            open_[part.table] = [number]
            runs.append((part.table, open_[part.table]))
    return runs


def _operator(node: Node, interner: Interner, connection: duckdb.DuckDBPyConnection) -> Operator:
    match node:
        case Select():
            return SelectOperator(node, interner, connection)
        case Union():
            return UnionOperator(node)
        case Join():
            return JoinOperator(node)
        case Aggregate():
            return AggregateOperator(node, interner)
        case TopN():
            return TopNOperator(node, interner)
        case _:
            return Operator(node)  # a scan: its change comes from the table
