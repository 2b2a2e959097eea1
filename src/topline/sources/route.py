"""The way that a source's tables take: read at their origin by the engine, or through topics that others fill."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from topline.config import Settings
from topline.errors import ConfigError
from topline.kafka.names import topic_of
from topline.sources.base import Context, Source


class Routed(Settings):
    """What sources have in common that may be read at their origin or behind Kafka."""

    from_: Literal["origin", "kafka"] = Field(
        "origin",
        alias="from",
        description="Where the engine reads its tables: at their `origin`, or in `kafka`, where `topline ingest` brings them.",
    )


@dataclass(frozen=True, slots=True)
class Route:
    """How a source's tables travel.

    places  table (short name) -> what stands in its topic's name behind the source's: schema and table, or kind and table
    zone    of times that carry none and are declared as TIMESTAMPTZ
    ours    `topline ingest` brings them
    """

    places: Mapping[str, tuple[str, ...]]
    zone: str = "UTC"
    ours: bool = True

    def topics(self, context: Context) -> dict[str, str]:
        """Table (short name) -> its topic. ConfigError where the project has no cluster."""
        if context.kafka is None:
            raise ConfigError("from: the project has no cluster; write `kafka:` with its `brokers`")
        return {table: topic_of(context.kafka.prefix, context.name, *place) for table, place in self.places.items()}


def by_kind(context: Context, kind: str) -> Route:
    """Of a source whose topics only `topline ingest` writes: they are called by its kind."""
    return Route({table: (kind, table) for table in context.tables})


def behind_kafka(context: Context, route: Route) -> Source:
    """The same tables, read from their topics. ConfigError where the project has no cluster."""
    from topline.sources.kafka.source import KafkaSource  # the client library comes with an extra

    topics = route.topics(context)
    assert context.kafka is not None  # `topics` has seen to it
    return KafkaSource(context, context.kafka, topics, route.zone)
