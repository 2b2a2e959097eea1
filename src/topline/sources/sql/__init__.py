"""Relational databases without access to their log: asked by SQL again and again, through SQLAlchemy."""

from topline.sources.base import Context
from topline.sources.route import Route, by_kind
from topline.sources.sql.places import places_of
from topline.sources.sql.settings import SqlSettings as Settings
from topline.sources.sql.source import create

__all__ = ["Settings", "create", "route"]


def route(context: Context, settings: Settings) -> Route:
    if settings.via == "ingest":
        return by_kind(context, settings.kind)
    return Route(places_of(settings, context.tables), settings.zone, ours=False)
