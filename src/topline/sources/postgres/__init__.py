"""Source kind `postgres`: log-based change data capture, without Java and without an extension in the server."""

from topline.sources.base import Context
from topline.sources.postgres.memory import resync_memory
from topline.sources.postgres.settings import Settings
from topline.sources.postgres.source import PostgresSource
from topline.sources.postgres.tables import targets
from topline.sources.route import Route

__all__ = ["Settings", "create", "resync_memory", "route"]


def create(context: Context, settings: Settings) -> PostgresSource:
    return PostgresSource(context, settings)


def route(context: Context, settings: Settings) -> Route:
    """Topics are called as Debezium calls them, whoever fills them."""
    places = {name: (one.namespace, one.relation) for name, one in targets(context.name, context.tables, settings).items()}
    return Route(places, settings.zone, ours=settings.via == "ingest")
