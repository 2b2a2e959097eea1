"""Services that answer over HTTP with JSON, NDJSON or CSV: pages, cursors, tokens, or full lists compared."""

from topline.sources.rest.settings import RestSettings as Settings
from topline.sources.rest.source import create

__all__ = ["Settings", "create"]
