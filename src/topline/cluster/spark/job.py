"""One run: topics up to the ends that they have at its start, the models over them, and the rows that differ published."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from topline.cluster.spark import writing
from topline.cluster.spark.brokers import options
from topline.cluster.spark.models import behind, chosen, views
from topline.cluster.spark.session import SparkSession, session
from topline.cluster.spark.settings import spark_settings
from topline.cluster.spark.tables import Poison, Table, Tables, Unknown
from topline.cluster.spark.topics import Inputs, inputs
from topline.cluster.spark.writing import Computed, Dates
from topline.config import Project
from topline.live.start import databases, load_plan
from topline.models.plan import ProjectPlan
from topline.results import Epoch, Opened, Publisher

Told = Callable[[str], None]
"""Takes what the run is about to do."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """`models`: to be written, none: all published ones. `dates`: only rows of these days."""

    models: tuple[str, ...] = ()
    dates: Dates | None = None
    take_over: bool = False


@dataclass(frozen=True, slots=True)
class ReadTable:
    """`records` up to the end, `unreadable` among them, and the `keys` that have a row."""

    table: str
    records: int
    keys: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class WrittenModel:
    """`rows` that Spark computed, and how many in the result table were `changed`: inserted, updated, deleted."""

    model: str
    rows: int
    changed: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did. `poison`, `unknown`: at most a thousand a table; `ReadTable.unreadable` counts all."""

    epoch: int
    tables: tuple[ReadTable, ...]
    models: tuple[WrittenModel, ...]
    poison: tuple[Poison, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not self.poison and not self.unknown


def run(project: Project, wishes: Wishes, told: Told) -> Report:
    """The order:

    1. The results' schema is locked and ours: nobody else writes there until the end.
    2. The topics' ends are fixed: the last stable offset of each partition.
    3. Each table is read up to its ends; then each model is computed, whole.
    4. What differs from the result tables is merged in one transaction, with the epoch and the sources' times.

    A run that ends anywhere before that commit has written nothing, and one that is repeated writes nothing new.
    """
    plan = load_plan(project)
    models = chosen(plan, wishes.models)
    if wishes.dates is not None:
        writing.require_dates(plan, models)
    settings, results = spark_settings(project), project.config.results
    watch = _Watch(told)
    with databases(project) as real:
        found = inputs(project, plan, behind(plan, models)[0], real.embedded)
        publisher = Publisher(
            real(results.dsn), results.schema_, state_id=project.config.project, engine=writing.ENGINE,
            swap_fraction=results.swap_fraction,
        )  # fmt: skip
        with closing(publisher):
            opened = writing.opened(publisher, plan, take_over=wishes.take_over)
            watch.next("start", "starting Spark")
            with session(settings, project.root, f"topline {project.config.project}") as spark:
                job = _Job(project, plan, models, found, wishes.dates)
                return job.run(spark, publisher, opened, watch)


class _Watch:
    """Seconds of each step."""

    def __init__(self, told: Told) -> None:
        self._told, self._name, self._since = told, "", time.monotonic()
        self.seconds: dict[str, float] = {}

    def next(self, name: str, what: str = "") -> None:
        now = time.monotonic()
        if self._name:
            self.seconds[self._name] = round(self.seconds.get(self._name, 0.0) + now - self._since, 1)
        self._name, self._since = name, now
        if what:
            self._told(what)


@dataclass(frozen=True, slots=True)
class _Job:
    project: Project
    plan: ProjectPlan
    models: tuple[str, ...]
    inputs: Inputs
    dates: Dates | None

    def run(self, spark: SparkSession, publisher: Publisher, opened: Opened, watch: _Watch) -> Report:
        tables = self._read(spark, watch)
        computed = self._compute(spark, tables, watch)
        watch.next("publish", "comparing and publishing")
        epoch = self._epoch(tables, computed, opened)
        changed = publisher.publish(epoch)
        watch.next("")
        return Report(
            epoch.number,
            tuple(ReadTable(one.name, one.records, one.keys, one.unreadable) for one in tables),
            tuple(WrittenModel(name, rows.count, changed[name]) for name, rows in computed.items()),
            tuple(poison for one in tables for poison in one.poison),
            tuple(unknown for one in tables for unknown in one.unknown),
            watch.seconds,
        )

    def _read(self, spark: SparkSession, watch: _Watch) -> list[Table]:
        reader = Tables(spark, self.inputs, options(self.inputs.cluster, self.project.root), self.project.root)
        found = []
        for name in self.inputs.tables:
            watch.next("read", f"reading {name}")
            found.append(reader.read(name))
        return found

    def _compute(self, spark: SparkSession, tables: list[Table], watch: _Watch) -> dict[str, Computed]:
        needed = behind(self.plan, self.models)[1]
        rows = views(spark, self.plan, needed, {one.name: one.rows for one in tables})
        found = {}
        for name in self.models:
            watch.next("compute", f"computing {name}")
            found[name] = Computed(self.plan.models[name], rows[name], self.dates)
        return found

    def _epoch(self, tables: list[Table], computed: Mapping[str, Computed], opened: Opened) -> Epoch:
        """Models that are not selected keep the epoch that they show."""
        newest: dict[str, int] = {}
        for one in tables:
            source = one.name.partition(".")[0]
            newest[source] = max(newest.get(source, 0), one.newest)
        times = {source: datetime.fromtimestamp(ms / 1000, UTC) if ms else None for source, ms in newest.items()}
        held = frozenset(name for name, model in self.plan.models.items() if model.published and name not in computed)
        changes = writing.changes(computed, opened, self.dates)
        return Epoch(opened.epoch + 1, changes, times, self.inputs.positions(), held)
