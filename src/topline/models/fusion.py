"""Fuses Selects over Selects, so that a stateless chain is one query. Nodes that several read, and models' roots, stay."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import sqlglot
from sqlglot import exp

from topline.models.graph import Graph, inputs_of, plain, topological
from topline.models.plan import Aggregate, Join, Node, Select, TopN, Union

_MOST_TEXT = 6000
_SAFE = (
    exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Boolean, exp.And, exp.Or, exp.Not, exp.Paren,
    exp.EQ, exp.NEQ, exp.Is, exp.In, exp.NullSafeEQ, exp.NullSafeNEQ, exp.LT, exp.LTE, exp.GT, exp.GTE,
)  # fmt: skip


def fused(roots: Iterable[Node], graph: Graph) -> dict[int, Node]:
    """id of each node behind `roots` -> the node that takes its place."""
    roots = list(roots)
    nodes = topological(roots)
    readers = Counter(id(child) for node in nodes for child in inputs_of(node))
    shared = {id(root) for root in roots} | {key for key, count in readers.items() if count > 1}
    result: dict[int, Node] = {}
    for node in nodes:
        result[id(node)] = _rebuilt(node, result, shared, graph)
    return result


def _rebuilt(node: Node, done: Mapping[int, Node], shared: set[int], graph: Graph) -> Node:
    if isinstance(node, Select):
        return _select(node, done[id(node.input)], id(node.input) in shared, graph)
    if isinstance(node, Aggregate | TopN):
        return graph.add(replace(node, input=done[id(node.input)]))
    if isinstance(node, Join):
        return graph.add(replace(node, left=done[id(node.left)], right=done[id(node.right)]))
    if isinstance(node, Union):
        return graph.add(replace(node, inputs=tuple(done[id(child)] for child in node.inputs)))
    return node


def _select(node: Select, lower: Node, is_shared: bool, graph: Graph) -> Node:
    merged = replace(node, input=lower)
    if isinstance(lower, Select) and (not is_shared or _renames_only(lower)):
        merged = _merge(merged, lower) or merged
    if merged.where is None and merged.columns == merged.input.columns and _identity(merged):
        return merged.input
    return graph.add(merged)


def _renames_only(select: Select) -> bool:
    return select.where is None and all(plain(text) is not None for text in select.expressions)


def _identity(select: Select) -> bool:
    return all(plain(text) == column.name for text, column in zip(select.expressions, select.columns, strict=True))


def _merge(upper: Select, lower: Select) -> Select | None:
    """Both as one, or None where that would compute more, or evaluate a condition on rows that `lower` keeps from it."""
    inner = {column.name: text for column, text in zip(lower.columns, lower.expressions, strict=True)}
    if lower.where and upper.where and not _cannot_fail(upper.where, inner):
        return None
    if not _computes_once([*upper.expressions, *([upper.where] if upper.where else [])], inner):
        return None
    expressions = tuple(_substituted(text, inner) for text in upper.expressions)
    wheres = [w for w in (lower.where, _substituted(upper.where, inner) if upper.where else None) if w]
    if sum(map(len, expressions)) > _MOST_TEXT:
        return None
    where = " AND ".join(f"({w})" for w in wheres) if len(wheres) > 1 else next(iter(wheres), None)
    return replace(upper, input=lower.input, expressions=expressions, where=where)


def _cannot_fail(condition: str, inner: Mapping[str, str]) -> bool:
    parsed = _parsed(condition)
    simple = all(isinstance(node, _SAFE) for node in parsed.walk())
    return simple and all(plain(inner[c.name]) is not None for c in parsed.find_all(exp.Column))


def _computes_once(texts: list[str], inner: Mapping[str, str]) -> bool:
    uses = Counter(column.name for text in texts for column in _parsed(text).find_all(exp.Column))
    return all(count == 1 or _is_cheap(inner[name]) for name, count in uses.items())


def _is_cheap(text: str) -> bool:
    return plain(text) is not None or isinstance(_parsed(text), exp.Literal)


def _substituted(text: str, inner: Mapping[str, str]) -> str:
    if (name := plain(text)) is not None:
        return inner[name]

    def replaced(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        new = _parsed(inner[node.name])
        return new if isinstance(new, exp.Column | exp.Literal | exp.Cast | exp.Case | exp.Coalesce) else exp.Paren(this=new)

    return _parsed(text).transform(replaced).sql(dialect="duckdb")


def _parsed(text: str) -> exp.Expr:
    return sqlglot.parse_one(text, read="duckdb")
