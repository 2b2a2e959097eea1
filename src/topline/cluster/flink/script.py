"""The whole job as Flink SQL: settings, tables over the topics, models as views, and what goes to the result tables."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from topline.cluster.flink.reading import FUNCTIONS, Reader, with_
from topline.cluster.flink.settings import FlinkSettings
from topline.cluster.topics import Topic
from topline.kafka.java import hidden
from topline.models.flink import TYPES, quoted, text, views
from topline.models.flink.words import local
from topline.models.plan import ModelPlan, ProjectPlan
from topline.results.guest import place_of
from topline.schema import Column, Type


@dataclass(frozen=True, slots=True)
class Script:
    """`settings` of the session; `tables`: statements one after the other; `job`: the one that starts it. `digest`: changes
    where the job would be another one; `meaning`: where its results could be."""

    settings: Mapping[str, str]
    tables: tuple[str, ...]
    job: str
    meaning: str

    @property
    def digest(self) -> str:
        return _sha256(self.settings, self.tables, self.job)

    def shown(self) -> str:
        """As it would be given to Flink's SQL client."""
        sets = [f"SET {text(name)} = {text(value)};" for name, value in self.settings.items()]
        return "\n".join([*sets, "", *(f"{table};\n" for table in self.tables), f"{self.job};"]) + "\n"


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the job reads and writes: connector options, and the results schema. `job`: its name. `registry`: how the job
    asks for schemas; {}: the records are in JSON."""

    kafka: Mapping[str, str]
    jdbc: Mapping[str, str]
    schema: str
    job: str
    registry: Mapping[str, str]

    def without_secrets(self) -> "Ends":
        return Ends(_hidden(self.kafka), _hidden(self.jdbc), self.schema, self.job, _hidden(self.registry))


def make(plan: ProjectPlan, topics: list[Topic], settings: FlinkSettings, ends: Ends) -> Script:
    """ModelError for a model that has no exact equal in Flink SQL."""
    reader = Reader(ends.kafka, ends.job)
    published = [model for model in plan.models.values() if model.published]
    tables = [
        *(f"ADD JAR {text(jar)}" for jar in settings.jars),
        *FUNCTIONS,
        *(statement for topic in topics for statement in reader.statements(topic)),
        *(f"CREATE TEMPORARY VIEW {quoted(name)} AS\n{query}" for name, query in views(plan)),
        *(_sink(model, ends) for model in published),
    ]
    inserts = [*(_insert(model) for model in published), *(reader.letters(topic) for topic in topics)]
    job = "EXECUTE STATEMENT SET\nBEGIN\n" + "".join(f"{insert};\n" for insert in inserts) + "END"
    meaning = _sha256(plan.fingerprint, [(topic.schema, topic.name, topic.zone) for topic in topics])
    return Script({**dict(_settings(settings, ends.job)), **ends.registry}, tuple(tables), job, meaning)


def _settings(settings: FlinkSettings, job: str) -> Iterator[tuple[str, str]]:
    yield "pipeline.name", job
    yield "execution.runtime-mode", "streaming"
    yield "table.local-time-zone", "UTC"  # as DuckDB's where models run from scratch
    yield "parallelism.default", str(settings.parallelism)
    yield "state.backend.type", settings.state
    yield "table.exec.state.ttl", "0 ms"  # late changes count, however late
    yield "execution.checkpointing.mode", "EXACTLY_ONCE"
    yield "execution.checkpointing.interval", f"{settings.checkpoint_interval * 1000:.0f} ms"
    yield "execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"
    yield "execution.checkpointing.num-retained", "3"
    # Without end: a database or a registry that is down for an hour must not end the job.
    yield "restart-strategy.type", "exponential-delay"
    yield "restart-strategy.exponential-delay.initial-backoff", "1 s"
    yield "restart-strategy.exponential-delay.max-backoff", "30 s"
    yield "table.exec.mini-batch.enabled", str(settings.mini_batch.latency > 0).lower()
    if settings.mini_batch.latency:
        yield "table.exec.mini-batch.allow-latency", f"{settings.mini_batch.latency * 1000:.0f} ms"
        yield "table.exec.mini-batch.size", str(settings.mini_batch.rows)
    # In two phases, MAX over what is taken back kept values that were gone (Flink 2.3, on TPC-H with mini-batch).
    yield "table.optimizer.agg-phase-strategy", "ONE_PHASE"
    # What several models read is computed once.
    yield "table.optimizer.reuse-optimize-block-with-digest-enabled", "true"
    yield from settings.options.items()


def _sink(model: ModelPlan, ends: Ends) -> str:
    """The model's place in PostgreSQL, whose columns have plain names: Flink's connector quotes none."""
    columns = ", ".join(f"c{i} {_type(column)}" for i, column in enumerate(model.schema.columns))
    key = ", ".join(f"c{model.schema.names.index(name)}" for name in model.schema.key)
    options = {
        **ends.jdbc, "table-name": place_of(ends.schema, model.name), "sink.buffer-flush.interval": "500 ms",
        "sink.buffer-flush.max-rows": "2000", "sink.max-retries": "3",
    }  # fmt: skip
    name = quoted(f"{model.name} results")
    return f"CREATE TEMPORARY TABLE {name} ({columns}, PRIMARY KEY ({key}) NOT ENFORCED)\nWITH ({with_(options)})"


def _type(column: Column) -> str:
    """An instant travels as text, which PostgreSQL reads: JDBC would give it in the Java machine's zone."""
    return "STRING" if column.type is Type.TIMESTAMPTZ else TYPES[column.type]


def _insert(model: ModelPlan) -> str:
    values = ", ".join(_written(column) for column in model.schema.columns)
    insert = f"INSERT INTO {quoted(f'{model.name} results')}\nSELECT {values}\nFROM {quoted(model.name)}"
    return f"{insert}\nON CONFLICT DO DEDUPLICATE"  # where Flink cannot derive the key: the last change of it counts


def _written(column: Column) -> str:
    name = quoted(column.name)
    if column.type is not Type.TIMESTAMPTZ:
        return name
    return f"DATE_FORMAT({local(name)}, 'yyyy-MM-dd HH:mm:ss.SSSSSS') || '+00'"


def _hidden(options: Mapping[str, str]) -> dict[str, str]:
    return {name: hidden(name, value) for name, value in options.items()}


def _sha256(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
