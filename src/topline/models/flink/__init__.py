"""Plans as Flink SQL: sqlglot has no such dialect, so this is ours. Expressions, and the steps that are made of them."""

from topline.models.flink.dialect import expression
from topline.models.flink.steps import query_of, views
from topline.models.flink.words import TYPES, once, quoted, text

__all__ = ["TYPES", "expression", "once", "query_of", "quoted", "text", "views"]
