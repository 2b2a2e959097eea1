"""The copying phase: one table after the other under one snapshot, and what the log must remember of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from topline.changes import UPSERT, Part, Position, Sweep, TableChanges
from topline.faults import point
from topline.sources.postgres.catalog import Catalog, TableFacts
from topline.sources.postgres.memory import Copied
from topline.sources.postgres.opening import Plan
from topline.sources.postgres.snapshot import Copier
from topline.sources.postgres.tables import Target


@dataclass(frozen=True, slots=True)
class Step:
    """A part of one table's copy, and what to remember of the table once it is committed."""

    table: str
    parts: tuple[Part, ...]
    copied: Copied


class Copying:
    """`steps` yields the parts. Copied rows stand at (copy LSN, number of the row, from 1)."""

    def __init__(self, copier: Copier, plan: Plan, lsn: int, targets: Mapping[str, Target], most: int, found: Catalog) -> None:
        self._copier, self._plan, self._lsn, self._targets, self._most = copier, plan, lsn, targets, most
        facts = {name: found.tables[name] for name in plan.pending}
        terms = found.publication.terms() if found.publication else {}
        self._begun = {name: _begun(lsn, targets[name], facts[name], terms) for name in plan.pending}
        self.done, self.total = 0, sum(table.estimate for table in facts.values() if table)
        self.detail = ""
        self.steps = self._steps()

    def close(self) -> None:
        self._copier.close()

    def _steps(self) -> Iterator[Step]:
        for name in self._plan.pending:
            point("copy:next-table")
            self.detail = self._targets[name].quoted
            yield from self._table(name)

    def _table(self, name: str) -> Iterator[Step]:
        """Rows that an earlier copy or the stream brought, and this copy did not see, are swept out at the end."""
        copied, held, number = self._begun[name], self._clearing(name), 0
        for rows in self._copier.chunks(self._targets[name], self._most):
            if held:
                point("copy:mid-table")
                yield Step(name, held, copied)
            held = (self._changes(name, rows, number),) if len(rows) else ()
            number += len(rows)
            self.done += len(rows)
        self.total = max(self.total, self.done)
        yield Step(name, (*held, *self._sweep(name, number)), replace(copied, done=True))

    def _changes(self, name: str, rows: pa.Table, number: int) -> TableChanges:
        count = len(rows)
        lo = np.arange(number + 1, number + count + 1)
        hi = np.full(count, self._lsn)
        return TableChanges(
            self._targets[name].schema.name, self._plan.partition, rows, np.full(count, UPSERT, np.int8), hi, lo
        )

    def _sweep(self, name: str, number: int) -> Iterator[Part]:
        if name in self._plan.memory.tables:
            at = Position(self._lsn, number + 1)
            yield Sweep(self._targets[name].schema.name, self._plan.partition, self._lsn, at)

    def _clearing(self, name: str) -> tuple[Part, ...]:
        """What another server's rows left behind goes first: the new one's positions say nothing of theirs."""
        if self._plan.cleared is None:
            return ()
        return (Sweep(self._targets[name].schema.name, None, None, self._plan.cleared),)


def _begun(lsn: int, target: Target, facts: TableFacts | None, terms: Mapping[int, str]) -> Copied:
    if facts is None:
        return Copied(lsn)
    return Copied(lsn, False, facts.oid, facts.shape(target), sorted(facts.members), terms.get(facts.oid, ""))
