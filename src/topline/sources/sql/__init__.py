"""Relational databases without access to their log: asked by SQL again and again, through SQLAlchemy."""

from topline.sources.sql.settings import SqlSettings as Settings
from topline.sources.sql.source import create

__all__ = ["Settings", "create"]
