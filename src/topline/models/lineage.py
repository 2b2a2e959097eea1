"""Column lineage: which columns of which tables a value is made of (conditions and join keys are not part of it)."""

from collections.abc import Iterable, Mapping

import sqlglot
from sqlglot import exp

from topline.models.graph import plain, topological
from topline.models.plan import Aggregate, Join, Lineage, Node, ProjectPlan, Scan, Select, TopN, Union

Origins = frozenset[tuple[str, str]]
ByColumn = dict[str, Origins]


class Lineages:
    """The origins of every node's columns, computed once. `ends`: node -> a name; what reads such a node has its columns
    for origins, not those behind it."""

    def __init__(self, roots: Iterable[Node], ends: Mapping[int, str] | None = None) -> None:
        self._known: dict[int, ByColumn] = {}
        self._found: dict[int, ByColumn] = {}
        for node in topological(roots):
            found = self._found[id(node)] = self._of(node)
            end = (ends or {}).get(id(node))
            self._known[id(node)] = found if end is None else {name: frozenset({(end, name)}) for name in found}

    def of(self, node: Node) -> tuple[Lineage, ...]:
        """One entry a column, in order, with its origins sorted."""
        origins = self._found[id(node)]
        return tuple(Lineage(column.name, tuple(sorted(origins[column.name]))) for column in node.columns)

    def _of(self, node: Node) -> ByColumn:
        names = [column.name for column in node.columns]
        if isinstance(node, Scan):
            return {name: frozenset({(node.table, name)}) for name in names}
        if isinstance(node, Select):
            lower = self._known[id(node.input)]
            return {n: _through(text, lower) for n, text in zip(names, node.expressions, strict=True)}
        if isinstance(node, Union):
            branches = [list(self._known[id(child)].values()) for child in node.inputs]
            return {name: frozenset().union(*(b[i] for b in branches)) for i, name in enumerate(names)}
        if isinstance(node, Join):
            both = [*self._known[id(node.left)].values(), *self._known[id(node.right)].values()]
            return dict(zip(names, both, strict=True))
        return self._summary(node, names)

    def _summary(self, node: Node, names: list[str]) -> ByColumn:
        if isinstance(node, Aggregate):
            lower = self._known[id(node.input)]
            groups = {name: lower[name] for name in node.group_by}
            return groups | {m.name: lower[m.argument] if m.argument else frozenset() for m in node.measures}
        assert isinstance(node, TopN)
        lower = self._known[id(node.input)]
        order = frozenset().union(*(lower[item.column] for item in node.order_by))
        return {**lower, "rank": order} if "rank" in names else lower


def step_back(plan: ProjectPlan) -> dict[str, dict[str, list[tuple[str, str]]]]:
    """Model -> column -> the (table or model, column) pairs that it is made of, one step back."""
    roots = {name: model.root for name, model in plan.models.items()}
    found = Lineages(roots.values(), {id(root): name for name, root in roots.items()})
    names = {name: model.schema.names for name, model in plan.models.items()}
    return {
        name: {column: list(line.origins) for column, line in zip(names[name], found.of(root), strict=True)}
        for name, root in roots.items()
    }


def _through(text: str, lower: ByColumn) -> Origins:
    if (name := plain(text)) is not None:
        return lower[name]
    columns = sqlglot.parse_one(text, read="duckdb").find_all(exp.Column)
    return frozenset[tuple[str, str]]().union(*(lower[column.name] for column in columns))
