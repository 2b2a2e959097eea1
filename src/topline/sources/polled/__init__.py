"""Sources that are asked again and again: a kind gives a `Feed` a table, and all else is here."""

from topline.sources.polled.feed import Feed, Page, Record
from topline.sources.polled.settings import Cursor, Deleted, PolledSettings, PolledTable

__all__ = ["Cursor", "Deleted", "Feed", "Page", "PolledSettings", "PolledTable", "Record"]
