"""Puts the engine together: plan, log, state (from the checkpoint or the log), sources, results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import UPSERT, Part, TableChanges
from topline.config import Project
from topline.dsn import parse_dsn
from topline.embedded import EmbeddedPostgres
from topline.embedded.partner import PartnerService, book_of
from topline.errors import StateError, TransientError, UsageError
from topline.faults import point
from topline.live.checkpoint import Checkpoints, load_checkpoint
from topline.live.dataflow import Dataflow
from topline.live.holds import Holds
from topline.live.loop import Engine, Machinery
from topline.live.marks import Marks
from topline.live.publication import Publication
from topline.log import Log
from topline.models import load
from topline.models.plan import ModelPlan, ProjectPlan
from topline.results import Opened, Publisher, RefusedError
from topline.schema import TableSchema
from topline.sources.base import Resume, Source, is_shared
from topline.sources.reader import Readers
from topline.sources.registry import build

EMBEDDED = "embedded:"


def load_plan(project: Project) -> ProjectPlan:
    config = project.config
    return load(project.models_dir, name=config.project, time_zone=config.time_zone, currency=config.currency, vars=config.vars)


class Databases:
    """From a DSN as configured to a real one. The first `embedded:NAME` starts the embedded PostgreSQL.

    Partners' services that Topline plays itself are here too: they stop with the databases.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._server: EmbeddedPostgres | None = None
        self._partners: dict[str, PartnerService] = {}

    def __call__(self, dsn: str) -> str:
        if not dsn.startswith(EMBEDDED):
            return self._external(dsn)
        if self._server is None:
            self._server = EmbeddedPostgres(self._project.state_dir)
            self._server.start()
        return self._server.dsn(dsn.removeprefix(EMBEDDED))

    def embedded(self, setting: str, name: str) -> str:
        """What `embedded:NAME` stands for in a source's setting: the `wsdl` of a partner's service, the `dsn` of a database."""
        return self._partner(name) if setting == "wsdl" else self(EMBEDDED + name)

    def _partner(self, name: str) -> str:
        if name not in self._partners:
            service = PartnerService(book_of(self._project.state_dir, name))
            service.start()
            self._partners[name] = service
        return self._partners[name].wsdl

    def _external(self, dsn: str) -> str:
        real = self._project.secret(dsn)
        parse_dsn(real)
        return real

    def revive(self) -> None:
        """Start the embedded server again, where it is in use and has died."""
        if self._server is not None:
            self._server.start()

    def close(self) -> None:
        for partner in self._partners.values():
            partner.stop()
        if self._server is not None:
            self._server.stop()


@contextmanager
def databases(project: Project) -> Iterator[Databases]:
    """The project's databases; the embedded PostgreSQL runs while someone is inside."""
    found = Databases(project)
    try:
        yield found
    finally:
        found.close()


@dataclass(frozen=True)
class Started:
    project: Project
    plan: ProjectPlan
    engine: Engine
    sources: Mapping[str, Source]
    databases: Databases
    results_dsn: str


@contextmanager
def started(
    project: Project,
    *,
    take_over: bool = False,
    on_rebuild: Callable[[str, int], None] | None = None,
    patient: bool = False,
    stand_by: bool = False,
    droppable: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[Started]:
    """The engine, ready to run. Everything that it opened is closed at the end, in the reverse order.

    `patient`: a results database that does not answer is asked again while the engine runs; else TransientError.
    `stand_by`: it reads on, and publishes once no other engine does. UsageError where a source is this engine's alone.
    `droppable`: entered for the work that may last and may be broken off at any instant, by an exception.
    """
    plan = load_plan(project)
    with ExitStack() as stack:
        real = stack.enter_context(databases(project))
        project.state_dir.mkdir(parents=True, exist_ok=True)
        log = stack.enter_context(Log.open(project.state_dir, project.config.project))
        results_dsn = real(project.config.results.dsn)
        publisher = Publisher(
            results_dsn,
            project.config.results.schema_,
            state_id=log.state_id,
            swap_fraction=project.config.results.swap_fraction,
        )
        stack.callback(publisher.close)
        with droppable():
            dataflow = restored(project.state_dir, plan, log, on_rebuild or _unwatched)
        sources = build(project, plan.tables, embedded=real.embedded)
        publication = Publication(publisher, dataflow, plan.models)
        with droppable():
            results = Results(plan, log, publisher, publication, take_over)
            if stand_by:
                _require_shared(sources)
                _stand_by(results)
            else:
                _open_results(results, patient=patient)
        engine = _engine(project, plan, log, dataflow, publication, sources)
        stack.callback(lambda: engine.machinery.dataflow.close())
        stack.callback(engine.machinery.publication.close)
        stack.callback(engine.machinery.readers.stop)
        yield Started(project, plan, engine, {source.name: source for source in sources}, real, results_dsn)


def _engine(
    project: Project, plan: ProjectPlan, log: Log, dataflow: Dataflow, publication: Publication, sources: Sequence[Source]
) -> Engine:
    settings = project.config.engine
    rows = settings.batch_rows
    readers = Readers(sources, log_resume(log), max_rows=rows, queue_rows=2 * rows)
    checkpoints = Checkpoints(project.state_dir, log, dataflow, settings.checkpoint_share)
    holds = Holds(plan, log.holds())
    holds.halt(dataflow.halted)
    declare_tables(plan, log, holds)
    interval = settings.publish_interval_ms / 1000
    state_dir = project.state_dir

    def anew() -> Dataflow:
        return rebuild(plan, log, _unwatched)

    return Engine(Machinery(plan, log, dataflow, readers, publication, checkpoints, rows, interval, state_dir, anew), holds)


def _unwatched(_table: str, _rows: int) -> None:
    """Nobody looks at the progress of a rebuild."""


def log_resume(log: Log) -> Callable[[str], Resume]:
    def resume(source: str) -> Resume:
        positions, memory = log.resume(source)
        return Resume(positions, memory)

    return resume


@dataclass(frozen=True)
class Results:
    """What opening the results takes."""

    plan: ProjectPlan
    log: Log
    publisher: Publisher
    publication: Publication
    take_over: bool

    def opener(self) -> Callable[[], Opened]:
        """What is compared with PostgreSQL is the state as it is now, before this engine folds anything: an older copy of a
        state must not pass for the newest because it has read on meanwhile."""
        epoch, published = self.log.epoch, self.log.published_epochs()
        return lambda: self.publisher.open(self.plan.models, epoch=epoch, published=published, take_over=self.take_over)

    def note_unpublished(self, opened: Opened) -> None:
        """What PostgreSQL lacks: whole models where the log cannot say, else the keys that the log still owes."""
        whole = opened.must_republish | Marks(self.log).stale
        for name, model in self.plan.models.items():
            keys = None if name in whole or not model.published else _owed(self.log, model)
            if keys is not None:
                self.publication.note({name: keys})
            elif model.published:
                self.publication.note_whole(name)


def _require_shared(sources: Sequence[Source]) -> None:
    if alone := [source.name for source in sources if not is_shared(source)]:
        raise UsageError(
            f"--stand-by: {', '.join(alone)} cannot be read by two engines; have all sources read from Kafka (`from: kafka`)"
        )


def _stand_by(results: Results) -> None:
    """Whatever is published later is published whole, also after a restart: no key need be remembered until then."""
    Marks(results.log).add_stale(name for name, model in results.plan.models.items() if model.published)
    results.publication.stand_by(results.plan.models, results.note_unpublished)


def _open_results(results: Results, *, patient: bool) -> None:
    """RefusedError, and where it is not `patient` every TransientError, ends the start."""
    opener = results.opener()
    try:
        opened = opener()
    except RefusedError:
        raise
    except TransientError as error:
        if not patient:
            raise
        results.publication.open_later(opener, results.note_unpublished, error)
    else:
        results.note_unpublished(opened)


def _owed(log: Log, model: ModelPlan) -> pa.Table | None:
    """The keys that the log still owes; None where some are of a key that the model no longer has."""
    wanted = pa.schema([(name, model.schema.type_of(name).arrow) for name in model.schema.key])
    try:
        keys = log.dirty_after(model.name)
    except pa.ArrowInvalid:
        return None
    return keys if not len(keys) or keys.schema.equals(wanted) else None


def restored(state_dir: Path, plan: ProjectPlan, log: Log, on_rebuild: Callable[[str, int], None]) -> Dataflow:
    """The folded state as of the log's epoch: the checkpoint and what came after it, else the whole log in bulk."""
    saved = load_checkpoint(state_dir, log, plan)
    if saved is None:
        return rebuild(plan, log, on_rebuild)
    dataflow, epoch = saved
    try:
        for batch in log.read(epoch):
            dataflow.apply([change for change in batch.changes if change.table in plan.tables])
    except StateError:  # the log was folded past the checkpoint: the whole of it says the same
        dataflow.close()
        return rebuild(plan, log, on_rebuild)
    if dataflow.halted:  # what halted a model on the way may have been corrected since
        dataflow.close()
        return rebuild(plan, log, on_rebuild)
    return dataflow


def declare_tables(plan: ProjectPlan, log: Log, holds: Holds) -> None:
    """Tell the log the tables' columns. A column (or key) that the log's rows do not have yet needs a new copy."""
    logged = log.schemas()
    for name, schema in plan.tables.items():
        before = logged.get(name)
        lacking = [] if before is None else [column.name for column in schema.columns if column not in before.columns]
        if before is not None and (lacking or before.key != schema.key):
            what = f"the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}" if lacking else "its key"
            holds.tables[name] = (
                f"table {name}: {what} changed in the models, and rows that were copied before lack it; "
                f"models that read it stand still: run `topline resync {name}`"
            )
            holds.outdated.add(name)
            log.hold(name, holds.tables[name])
        else:
            log.declare({name: schema})


def rebuild(plan: ProjectPlan, log: Log, on_rebuild: Callable[[str, int], None]) -> Dataflow:
    """Every table of the log, folded as one batch into an empty state. `on_rebuild(table, rows)` is told of the progress."""
    dataflow = Dataflow(plan)
    parts: list[Part] = []
    for name, schema in plan.tables.items():
        for chunk in log.snapshot(name):
            on_rebuild(name, len(chunk))
            point("rebuild:read")
            parts.extend(_as_changes(schema, chunk))
    if parts:
        dataflow.apply(parts)
        point("rebuild:folded")
    return dataflow


def _as_changes(schema: TableSchema, chunk: pa.Table) -> Iterator[TableChanges]:
    """A chunk of a snapshot as upserts, one part a partition, so that each row keeps its owner."""
    chunk = _with(chunk, schema)
    for partition in pc.unique(chunk["_partition"]).to_pylist():
        rows = chunk.filter(pc.equal(chunk["_partition"], partition))
        hi, lo = (np.asarray(rows[name].to_numpy(), dtype=np.int64) for name in ("_hi", "_lo"))
        yield TableChanges(schema.name, partition, rows.select(schema.names), np.full(len(rows), UPSERT, np.int8), hi, lo)


def _with(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """Columns that the rows lack are NULL, and rows without the key are left out: the table is held until it is read anew."""
    for column in schema.columns:
        if column.name not in rows.column_names:
            rows = rows.append_column(column.name, pa.nulls(len(rows), column.type.arrow))
    for name in schema.key:
        if rows[name].null_count:
            rows = rows.filter(pc.is_valid(rows[name]))
    return rows
