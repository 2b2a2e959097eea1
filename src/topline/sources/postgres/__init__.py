"""Source kind `postgres`: log-based change data capture, without Java and without an extension in the server."""

from topline.errors import ConfigError
from topline.kafka.names import topic_of
from topline.sources.base import Context, Source
from topline.sources.postgres.memory import resync_memory
from topline.sources.postgres.settings import Settings
from topline.sources.postgres.source import PostgresSource
from topline.sources.postgres.tables import targets

__all__ = ["Settings", "create", "resync_memory"]


def create(context: Context, settings: Settings) -> Source:
    return PostgresSource(context, settings) if settings.from_ == "origin" else _behind_kafka(context, settings)


def _behind_kafka(context: Context, settings: Settings) -> Source:
    """The same tables, read where Debezium brings them. ConfigError where the project has no cluster."""
    from topline.sources.kafka.source import KafkaSource  # the client library comes with an extra

    if context.kafka is None:
        raise ConfigError("from: the project has no cluster; write `kafka:` with its `brokers`")
    tables = targets(context.name, context.tables, settings)
    prefix = context.kafka.prefix
    topics = {name: topic_of(prefix, context.name, one.namespace, one.relation) for name, one in tables.items()}
    return KafkaSource(context, context.kafka, topics, settings.zone)
