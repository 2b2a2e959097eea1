"""Sources that are asked again and again: a kind gives a `Feed` a table, and all else is here."""

from topline.sources.polled.feed import CursorExpired, Feed, Page, Record
from topline.sources.polled.greatest import Greatest, begin, value_of
from topline.sources.polled.settings import Cursor, Deleted, PolledSettings, PolledTable
from topline.sources.polled.source import PolledSource

__all__ = [
    "Cursor",
    "CursorExpired",
    "Deleted",
    "Feed",
    "Greatest",
    "Page",
    "PolledSettings",
    "PolledSource",
    "PolledTable",
    "Record",
    "begin",
    "value_of",
]
