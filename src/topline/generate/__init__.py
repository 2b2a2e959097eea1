"""A realistic, seeded stream of sales over a shop's database, branches' files and a partner's book, with a ledger of truth."""

from topline.generate.events import KINDS, SOURCES, Kind, Source
from topline.generate.generator import Generator
from topline.generate.options import Options
from topline.generate.rankings import compare, rankings

__all__ = ["KINDS", "SOURCES", "Generator", "Kind", "Options", "Source", "compare", "rankings"]
