"""Source kind `postgres`: log-based change data capture, without Java and without an extension in the server."""

from topline.sources.base import Context, Source
from topline.sources.postgres.memory import resync_memory
from topline.sources.postgres.settings import Settings
from topline.sources.postgres.source import PostgresSource

__all__ = ["Settings", "create", "resync_memory"]


def create(context: Context, settings: Settings) -> Source:
    return PostgresSource(context, settings)
