"""What a project's Flink job is made of: its models, topics, results, and how it reaches them."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from topline.cluster.flink.connectors import jdbc_options, kafka_options, registry_options
from topline.cluster.flink.gateway import Session
from topline.cluster.flink.progress import Progress
from topline.cluster.flink.script import Ends, Script, make
from topline.cluster.flink.settings import FlinkSettings
from topline.cluster.topics import Topic
from topline.kafka.settings import KafkaSettings
from topline.models.plan import ModelPlan, ProjectPlan
from topline.results.guest import Guest

ENGINE = "flink"


@dataclass(frozen=True)
class Work:
    root: Path
    plan: ProjectPlan
    topics: list[Topic]
    settings: FlinkSettings
    kafka: KafkaSettings
    results: tuple[str, str]
    """DSN and schema."""

    @property
    def name(self) -> str:
        """The job's, in its cluster."""
        return f"topline-{self.plan.name}"

    @property
    def models(self) -> dict[str, ModelPlan]:
        """Those that are published."""
        return {name: model for name, model in self.plan.models.items() if model.published}

    @property
    def timeout(self) -> float:
        return self.settings.timeout

    @property
    def guest(self) -> Guest:
        dsn, schema = self.results
        return Guest(dsn, schema, ENGINE, self.name)

    def script(self, group: str, *, secrets: bool = True) -> Script:
        """`group`: under which the job's progress is noted at the brokers."""
        dsn, schema = self.results
        kafka, registry = kafka_options(self.kafka, self.root, group), registry_options(self.kafka)
        ends = Ends(kafka, jdbc_options(dsn), schema, self.name, registry)
        return make(self.plan, self.topics, self.settings, ends if secrets else ends.without_secrets())

    def session(self, properties: Mapping[str, str]) -> Session:
        return Session(self.settings.gateway, self.root, self.settings.timeout, properties)

    def progress(self, group: str) -> Progress:
        return Progress(self.kafka, self.root, group)

    def make_letters(self, group: str) -> None:
        with closing(self.progress(group)) as progress:
            progress.make_letters(self.topics)
