"""From a plan to what is really folded: columns that nobody reads go, text that only a filtered few need is made late."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlglot import exp

from topline.live.expressions import identifiers, parsed, plain, quoted
from topline.models.plan import Aggregate, Join, Node, ProjectPlan, Scan, Select, TopN, Union
from topline.schema import Column

_LATE = "late "  # before the name of a column that is passed on for an expression made late


class Physical(NamedTuple):
    """nodes: inputs first; roots: each model's node."""

    nodes: tuple[Node, ...]
    roots: dict[str, Node]


def physical(plan: ProjectPlan) -> Physical:
    """The same results with less work. Published models keep all their columns."""
    roots = {name: model.root for name, model in plan.models.items()}
    published = {model.root for model in plan.models.values() if model.published}
    late = _rebuilt(plan.nodes, _Late(plan.nodes, published))
    nodes = tuple(dict.fromkeys(late[node] for node in plan.nodes))
    kept = {late[node] for node in published}
    slim = _rebuilt(nodes, _Slim(nodes, kept))
    final = {name: slim[late[root]] for name, root in roots.items()}
    return Physical(behind(final.values()), final)


def behind(roots: Iterable[Node]) -> tuple[Node, ...]:
    """The roots and all that they read, inputs first."""
    seen: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in seen:
            for source in inputs(node):
                visit(source)
            seen[node] = None

    for root in roots:
        visit(root)
    return tuple(seen)


def inputs(node: Node) -> tuple[Node, ...]:
    """The nodes that a node reads."""
    match node:
        case Select() | Aggregate() | TopN():
            return (node.input,)
        case Join():
            return (node.left, node.right)
        case Union():
            return node.inputs
        case _:
            return ()


def _rebuilt(nodes: Sequence[Node], change: "_Late | _Slim") -> dict[Node, Node]:
    done: dict[Node, Node] = {}
    for node in nodes:
        done[node] = change.rebuild(node, [done[source] for source in inputs(node)])
    return done


def _kept_key(node: Node, columns: Sequence[Column]) -> tuple[str, ...] | None:
    """The node's key, where these columns still hold it."""
    names = {column.name for column in columns}
    return node.key if node.key is not None and names.issuperset(node.key) else None


def _over(node: Node, sources: Sequence[Node]) -> Node:
    """`node` over other inputs."""
    match node:
        case Select() | Aggregate() | TopN():
            return replace(node, input=sources[0])
        case Join():
            return replace(node, left=sources[0], right=sources[1])
        case Union():
            return replace(node, inputs=tuple(sources))
        case _:
            return node


class _Late:
    """A column of several columns that only one filtering Select reads is made there, after the filter."""

    def __init__(self, nodes: Sequence[Node], published: set[Node]) -> None:
        readers: dict[Node, list[Node]] = defaultdict(list)
        for node in nodes:
            for source in inputs(node):
                readers[source].append(node)
        self._moved: dict[Node, dict[str, str]] = {
            node: moved
            for node in nodes
            if isinstance(node, Select) and node not in published and (moved := _movable(node, readers[node]))
        }

    def rebuild(self, node: Node, sources: Sequence[Node]) -> Node:
        if not isinstance(node, Select):
            return _over(node, sources)
        original: Node = node
        if node.input in self._moved:
            node = _with_late(node, self._moved[node.input])
        node = replace(node, input=sources[0]) if node.input is not sources[0] else node
        return self._passing_on(node, original) if original in self._moved else node

    def _passing_on(self, node: Select, original: Node) -> Node:
        """`node` without the moved columns, with what these are made of."""
        texts = dict(zip((column.name for column in node.columns), node.expressions, strict=True))
        pairs = [(column, texts[column.name]) for column in node.columns if column.name not in self._moved[original]]
        moved = {name: texts[name] for name in self._moved[original]}
        passed = {source: column.name for column, text in pairs if (source := plain(text)) is not None}
        types = {column.name: column for column in node.input.columns}
        for name in sorted({name for text in moved.values() for name in identifiers(text)} - set(passed)):
            passed[name] = _LATE + name
            pairs.append((Column(_LATE + name, types[name].type), quoted(name)))
        self._moved[original] = {name: _renamed(text, passed) for name, text in moved.items()}
        return replace(
            node,
            columns=tuple(c for c, _ in pairs),
            expressions=tuple(text for _, text in pairs),
            key=_kept_key(node, [c for c, _ in pairs]),
        )


def _movable(node: Select, readers: Sequence[Node]) -> dict[str, str]:
    """Column -> expression, for what is worth to be made late."""
    if not all(isinstance(reader, Select) for reader in readers):
        return {}
    moved = {}
    for column, text in zip(node.columns, node.expressions, strict=True):
        users = [reader for reader in readers if isinstance(reader, Select) and _reads(reader, column.name)]
        few = len(users) == 1 and users[0].where is not None and column.name not in identifiers(users[0].where)
        if few and len(identifiers(text)) > 1:
            moved[column.name] = text
    return moved


def _reads(node: Select, name: str) -> bool:
    return any(name in identifiers(text) for text in (*node.expressions, node.where))


def _with_late(node: Select, moved: Mapping[str, str]) -> Select:
    def replaced(found: exp.Expr) -> exp.Expr:
        own = isinstance(found, exp.Column) and found.name in moved
        return exp.Paren(this=parsed(moved[found.name]).copy()) if own else found

    late = [bool(identifiers(text) & set(moved)) for text in node.expressions]
    texts = [
        parsed(text).copy().transform(replaced).sql(dialect="duckdb") if is_late else text
        for text, is_late in zip(node.expressions, late, strict=True)
    ]
    return replace(node, expressions=tuple(texts))


def _renamed(expression: str, names: Mapping[str, str]) -> str:
    tree = parsed(expression).copy()
    for column in list(tree.find_all(exp.Column)):
        column.set("this", exp.Identifier(this=names[column.name], quoted=True))
    return str(tree.sql(dialect="duckdb"))


class _Slim:
    """Every node yields only what its readers use."""

    def __init__(self, nodes: Sequence[Node], kept: set[Node]) -> None:
        self._needed: dict[Node, set[str]] = {node: set() for node in nodes}
        read = {source for node in nodes for source in inputs(node)}
        for node in reversed(nodes):
            if node in kept or node not in read:
                self._needed[node] |= {column.name for column in node.columns}
            if not self._needed[node]:
                self._needed[node].add(node.columns[0].name)  # somebody counts the rows
            self._ask(node)

    def _ask(self, node: Node) -> None:
        needed = self._needed[node]
        match node:
            case Select():
                used = [text for c, text in zip(node.columns, node.expressions, strict=True) if c.name in needed]
                self._needed[node.input] |= {name for text in [*used, node.where] for name in identifiers(text)}
            case Aggregate():
                arguments = {m.argument for m in node.measures if m.name in needed and m.argument is not None}
                self._needed[node.input] |= arguments | set(node.group_by)
            case TopN():
                sorts = {order.column for order in node.order_by}
                self._needed[node.input] |= (needed - {node.columns[-1].name}) | sorts | set(node.partition_by)
            case Union():
                self._ask_union(node)
            case Join():
                self._ask_join(node)

    def _ask_union(self, node: Union) -> None:
        places = [place for place, column in enumerate(node.columns) if column.name in self._needed[node]]
        for source in node.inputs:
            self._needed[source] |= {source.columns[place].name for place in places}

    def _ask_join(self, node: Join) -> None:
        names = [column.name for column in (*node.left.columns, *node.right.columns)]
        width = len(node.left.columns)
        wanted = {place for place, column in enumerate(node.columns) if column.name in self._needed[node]}
        self._needed[node.left] |= {names[place] for place in wanted if place < width} | {left for left, _ in node.on}
        self._needed[node.right] |= {names[place] for place in wanted if place >= width} | {right for _, right in node.on}

    def rebuild(self, node: Node, sources: Sequence[Node]) -> Node:
        needed = self._needed[node]
        kept = tuple(column for column in node.columns if column.name in needed)
        match node:
            case Scan():
                return node if kept == node.columns else replace(node, columns=kept, key=_kept_key(node, kept))
            case Select():
                texts = dict(zip((c.name for c in node.columns), node.expressions, strict=True))
                expressions = tuple(texts[column.name] for column in kept)
                return replace(node, columns=kept, input=sources[0], expressions=expressions, key=_kept_key(node, kept))
            case Aggregate():
                measures = tuple(m for m in node.measures if m.name in needed)
                groups = node.columns[: len(node.group_by)]
                columns = (*groups, *(c for c in node.columns[len(groups) :] if c.name in needed))
                return replace(node, columns=columns, input=sources[0], measures=measures)
            case Join():
                return self._join(node, sources)
            case Union():
                return self._union(node, sources)
            case _:
                return self._top(node, sources)

    def _top(self, node: Node, sources: Sequence[Node]) -> Node:
        assert isinstance(node, TopN)
        columns = (*sources[0].columns, node.columns[-1])
        return replace(node, columns=columns, input=sources[0], key=_kept_key(node, columns))

    def _join(self, node: Join, sources: Sequence[Node]) -> Node:
        width = len(node.left.columns)
        left = self._trimmed(sources[0], self._side(node, node.left.columns, node.columns[:width], [a for a, _ in node.on]))
        right = self._trimmed(sources[1], self._side(node, node.right.columns, node.columns[width:], [b for _, b in node.on]))
        renamed = dict(zip((c.name for c in node.left.columns), node.columns[:width], strict=True))
        columns = [renamed[c.name] for c in left.columns]
        renamed = dict(zip((c.name for c in node.right.columns), node.columns[width:], strict=True))
        columns += [renamed[c.name] for c in right.columns]
        return replace(node, columns=tuple(columns), left=left, right=right, key=_kept_key(node, columns))

    def _side(self, node: Join, own: Sequence[Column], outward: Sequence[Column], on: Sequence[str]) -> list[str]:
        """The columns of a join's side that it hands on or matches by."""
        needed = self._needed[node]
        return [mine.name for mine, out in zip(own, outward, strict=True) if out.name in needed or mine.name in on]

    def _union(self, node: Union, sources: Sequence[Node]) -> Node:
        places = [place for place, column in enumerate(node.columns) if column.name in self._needed[node]]
        trimmed = [
            self._trimmed(source, [old.columns[place].name for place in places])
            for source, old in zip(sources, node.inputs, strict=True)
        ]
        columns = tuple(node.columns[place] for place in places)
        return replace(node, columns=columns, inputs=tuple(trimmed), key=_kept_key(node, columns))

    def _trimmed(self, node: Node, names: Sequence[str]) -> Node:
        """`node`, or a projection of it where it yields more, for other readers."""
        if [column.name for column in node.columns] == list(names):
            return node
        types = {column.name: column for column in node.columns}
        columns = tuple(types[name] for name in names)
        texts = tuple(quoted(name) for name in names)
        return Select(columns=columns, input=node, expressions=texts, key=_kept_key(node, columns))
