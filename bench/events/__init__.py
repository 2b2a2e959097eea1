"""Sales and what happens to them: a first load and change events on top, with the rankings they must give."""

from bench.events.content import Fields, table, text_table
from bench.events.stream import MIX, Kind, Stream, make
from bench.events.truth import rankings

__all__ = ["MIX", "Fields", "Kind", "Stream", "make", "rankings", "table", "text_table"]
