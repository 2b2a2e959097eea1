"""The way of a batch without sources and PostgreSQL: admission, dataflow, log; and a replica that takes what is dirty."""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Self

import pyarrow as pa

from tests.exact.engines import Rows, plain_rows
from tests.exact.tables import Row
from topline.changes import Position, SourceBatch, Sweep, TableChanges
from topline.live.admission import Admission, joined
from topline.live.checkpoint import Checkpoints
from topline.live.dataflow import Applied, Dataflow
from topline.live.start import restored
from topline.log import Log, LogEntry
from topline.models.plan import ProjectPlan

Positions = dict[str, dict[str, Position]]


class Replica:
    """The published tables as a database holds them: only rows of dirty keys are ever written."""

    def __init__(self, plan: ProjectPlan) -> None:
        self._schemas = {name: model.schema for name, model in plan.models.items() if model.published}
        self.tables: dict[str, dict[Row, Row]] = {name: {} for name in self._schemas}

    def publish(self, dataflow: Dataflow, dirty: Mapping[str, pa.Table]) -> None:
        for model, keys in dirty.items():
            self._publish(model, keys, dataflow.rows(model, keys))

    def _publish(self, model: str, keys: pa.Table, rows: pa.Table) -> None:
        held, asked = self.tables[model], plain_rows(keys)
        assert len(set(asked)) == len(asked), f"{model}: a dirty key is named twice"
        for key in asked:
            held.pop(key, None)
        places = [self._schemas[model].names.index(name) for name in self._schemas[model].key]
        for row in plain_rows(rows):
            key = tuple(row[place] for place in places)
            assert key in asked, f"{model}: a row that was not asked for: {row}"
            assert key not in held, f"{model}: two rows of one key: {row}"
            held[key] = row

    def rows(self) -> dict[str, Rows]:
        return {model: Counter(held.values()) for model, held in self.tables.items()}


class Pipe:
    """Feeds batches in the order of `Engine.fold`; with a folder they go to a real log there, and a Pipe that is opened on it
    again goes on where the last one stood. `replica` outlives it, as PostgreSQL does."""

    def __init__(self, plan: ProjectPlan, folder: Path | None = None, replica: Replica | None = None) -> None:
        self.plan = plan
        self.folder = folder
        self.replica = replica or Replica(plan)
        self._dirty: list[Mapping[str, pa.Table]] = []
        self.log = Log.open(folder, plan.name) if folder else None
        if self.log and folder:
            self.log.declare(plan.tables)
            self.dataflow = restored(folder, plan, self.log, lambda _table, _rows: None)
            self.admission = Admission(self.log.positions())
            self._owe()
        else:
            self.dataflow, self.admission = Dataflow(plan), Admission({})

    def _owe(self) -> None:
        """What was committed and not published is published first."""
        assert self.log is not None
        for model in self.replica.tables:
            if len(keys := self.log.dirty_after(model)):
                self.replica.publish(self.dataflow, {model: keys})
        self.log.mark_published(self.log.epoch, self.replica.tables)

    def feed(self, batches: Sequence[SourceBatch], *, publish: bool = True) -> Applied:
        """One fold of all that is new in `batches`."""
        admitted = [new for batch in batches if (new := self.admission.admit(batch)) is not None]
        parts = [part for batch in admitted for part in batch.parts if isinstance(part, TableChanges | Sweep)]
        applied = self.dataflow.apply(joined(part for part in parts if part.table in self.plan.tables))
        if self.log:
            self._commit(self.log, admitted, applied)
        self._dirty.append(applied.dirty)
        if publish:
            self.publish()
        return applied

    def publish(self) -> None:
        """All that is dirty."""
        for dirty in self._dirty:
            self.replica.publish(self.dataflow, dirty)
        self._dirty.clear()
        if self.log:
            self.log.mark_published(self.log.epoch, self.replica.tables)

    def _commit(self, log: Log, admitted: Sequence[SourceBatch], applied: Applied) -> None:
        positions: Positions = {}
        for batch in admitted:
            positions.setdefault(batch.source, {}).update(batch.positions)
        log.append(LogEntry(changes=applied.resolved, positions=positions, dirty=applied.dirty))

    def checkpoint(self) -> None:
        assert self.log is not None
        assert self.folder is not None
        Checkpoints(self.folder, self.log, self.dataflow, share=0).save()

    def rows(self) -> dict[str, Rows]:
        """Published model -> its rows, as the dataflow has them."""
        models = [name for name, model in self.plan.models.items() if model.published]
        return {model: Counter(row for chunk in self.dataflow.all_rows(model) for row in plain_rows(chunk)) for model in models}

    def tables(self) -> dict[str, Rows]:
        return {name: Counter(plain_rows(self.dataflow.table(name))) for name in self.plan.tables}

    def close(self) -> None:
        self.dataflow.close()
        if self.log:
            self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def digest(rows: Mapping[str, Rows]) -> dict[str, tuple[int, str]]:
    """Count and hash of each relation's rows, whatever their order."""
    return {
        name: (found.total(), sha256("\n".join(sorted(map(repr, found.elements()))).encode()).hexdigest())
        for name, found in rows.items()
    }
