"""The nodes of a project while it is planned: equal nodes are one, each carries the key that can be derived for it."""

import hashlib
from collections.abc import Iterable, Sequence

import sqlglot
from sqlglot import exp

from topline.models.plan import Aggregate, Join, Node, Select, TopN, Union

NodeKey = tuple[str, ...] | None


def inputs_of(node: Node) -> tuple[Node, ...]:
    """The nodes that `node` reads."""
    if isinstance(node, Select | Aggregate | TopN):
        return (node.input,)
    if isinstance(node, Join):
        return (node.left, node.right)
    return node.inputs if isinstance(node, Union) else ()


def topological(roots: Iterable[Node]) -> tuple[Node, ...]:
    """All nodes behind `roots`, inputs first, each once."""
    seen: dict[int, Node] = {}

    def visit(node: Node) -> None:
        if id(node) not in seen:
            for child in inputs_of(node):
                visit(child)
            seen[id(node)] = node

    for root in roots:
        visit(root)
    return tuple(seen.values())


class Graph:
    """Interns nodes by their meaning, so that what is read twice is one node."""

    def __init__(self) -> None:
        self._by_digest: dict[str, Node] = {}
        self._digests: dict[int, str] = {}

    def add(self, node: Node) -> Node:
        """`node`, or the equal one that is there already. Its inputs were added before."""
        digest = self._digest(node)
        known = self._by_digest.setdefault(digest, node)
        self._digests[id(known)] = digest
        return known

    def digest(self, node: Node) -> str:
        """sha256 over what `node` means, its inputs included. The same on every machine and run."""
        return self._digests[id(node)]

    def _digest(self, node: Node) -> str:
        own = [(name, getattr(node, name)) for name in _fields(node)]
        children = [self._digests[id(child)] for child in inputs_of(node)]
        return hashlib.sha256(repr((type(node).__name__, own, children)).encode()).hexdigest()


def _fields(node: Node) -> list[str]:
    names = {name for kind in type(node).__mro__ for name in getattr(kind, "__slots__", ())}
    return sorted(names - {"input", "inputs", "left", "right"})


def plain(expression: str) -> str | None:
    """The input column that an expression simply passes on, or None."""
    if expression.startswith('"') and expression.endswith('"') and expression.count('"') == 2:
        return expression[1:-1]
    return None


def select_key(key: NodeKey, names: Sequence[str], expressions: Sequence[str]) -> NodeKey:
    """A projection keeps the key when it passes on each of its columns."""
    passed: dict[str, str] = {}
    for name, expression in zip(names, expressions, strict=True):
        if (column := plain(expression)) is not None:
            passed.setdefault(column, name)
    return tuple(passed[c] for c in key) if key is not None and all(c in passed for c in key) else None


def join_key(join: Join) -> NodeKey:
    """One side's key where the other side is matched on its own key; else both keys together."""
    left_on, right_on = {pair[0] for pair in join.on}, {pair[1] for pair in join.on}
    width = len(join.left.columns)
    left = _renamed(join.left, join, 0)
    right = _renamed(join.right, join, width)
    if join.right.key is not None and set(join.right.key) <= right_on:
        return left
    if join.kind == "inner" and join.left.key is not None and set(join.left.key) <= left_on:
        return right
    return left + right if left is not None and right is not None else None


def _renamed(side: Node, join: Join, offset: int) -> NodeKey:
    names = [column.name for column in side.columns]
    return None if side.key is None else tuple(join.columns[offset + names.index(c)].name for c in side.key)


def union_key(inputs: Sequence[Node], names: Sequence[str]) -> NodeKey:
    """A column that is another constant in each branch, together with every branch's key."""
    if any(node.key is None for node in inputs):
        return None
    for place, name in enumerate(names):
        constants = [constant(node, place) for node in inputs]
        if None not in constants and len(set(constants)) == len(constants):
            places = {[c.name for c in node.columns].index(k) for node in inputs for k in node.key or ()}
            return tuple(dict.fromkeys([name, *(names[i] for i in sorted(places))]))
    return None


def constant(node: Node, place: int) -> str | None:
    """The literal that the column at `place` always is, or None."""
    if isinstance(node, Union):
        found = {constant(branch, place) for branch in node.inputs}
        return found.pop() if len(found) == 1 else None
    if not isinstance(node, Select):
        return None
    expression = node.expressions[place]
    if (column := plain(expression)) is not None:
        return constant(node.input, [c.name for c in node.input.columns].index(column))
    parsed = sqlglot.parse_one(expression, read="duckdb")
    return parsed.sql() if isinstance(parsed, exp.Literal) else None
