"""A realistic, seeded stream of sales over a shop's database, branches' files and a partner's book, with a ledger of truth."""

from topline.generate.events import KINDS, Kind
from topline.generate.generator import Generator
from topline.generate.options import Options
from topline.generate.rankings import compare, rankings

__all__ = ["KINDS", "Generator", "Kind", "Options", "compare", "rankings"]
