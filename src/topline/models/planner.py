"""One model's SQL to nodes: qualified by sqlglot, then planned clause by clause."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, TokenError
from sqlglot.optimizer.qualify import qualify

from topline.errors import ModelError
from topline.models.builder import BYTES_HINT, Builder, column, sql
from topline.models.checks import syntax_faults
from topline.models.faults import ModelErrors, Place, line_of
from topline.models.frames import Frame, frame_of
from topline.models.graph import Graph
from topline.models.grouping import grouped
from topline.models.plan import Node, Order
from topline.models.ranking import UNBOUNDED, Ranking, as_order, bound_in, order_of, ranking_of
from topline.models.typer import Typer
from topline.schema import Type


@dataclass(frozen=True, slots=True)
class Cte:
    """A named query, and the names that it may read itself."""

    query: exp.Expr
    scope: "Mapping[str, Cte]"


Scope = Mapping[str, Cte]


class Planner:
    """Plans queries over `relations` ("model" or "source.table" -> node)."""

    def __init__(self, graph: Graph, typer: Typer) -> None:
        self.graph, self._typer = graph, typer

    def plan(self, text: str, relations: Mapping[str, Node], place: Place) -> Node:
        """The root node of `text` (DuckDB dialect). ModelErrors has every fault that syntax shows, else the first found."""
        tree = parse(text, "duckdb", place)
        if faults := list(syntax_faults(tree, place)):
            raise ModelErrors(faults)
        _check_tables(tree, relations, place)
        root = _Query(Builder(self.graph, self._typer, place), relations).plan(_qualified(tree, relations, place), {})
        self._check_original(text, relations, root, place)
        return root

    def _check_original(self, text: str, relations: Mapping[str, Node], root: Node, place: Place) -> None:
        """DuckDB itself must read the SQL, and read the same columns: the audit runs it."""
        try:
            names = self._typer.describe(text, {name: node.columns for name, node in relations.items()})
        except ModelError as error:
            raise place.fault(str(error), line=error.line) from None
        planned = [column.name for column in root.columns]
        if [name.lower() for name in names] != [name.lower() for name in planned]:
            hint = "give each column a name of its own"
            raise place.fault(f"DuckDB names the columns {names}, the plan {planned}", line=1, hint=hint)


def parse(text: str, dialect: str, place: Place) -> exp.Expr:
    """The one statement of `text`. ModelError has the line where parsing stopped."""
    try:
        statements = [s for s in sqlglot.parse(text, read=dialect) if s is not None]
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise place.fault(
            f"not SQL: {first.get('description', error)} near {first.get('highlight', '')!r}", line=first.get("line", 0)
        ) from None
    except TokenError as error:
        opened = re.search(r"from \d+:(\d+)$", str(error.__cause__))  # the place of a quote; a comment's is not told
        line = text.count("\n", 0, int(opened[1])) + 1 if opened else 0
        raise place.fault("not SQL: a quote or a comment is opened and not closed", line=line) from None
    if len(statements) != 1:
        raise place.fault(f"{len(statements)} statements", line=1, hint="one SELECT statement a file")
    return statements[0]


def _check_tables(tree: exp.Expr, relations: Mapping[str, Node], place: Place) -> None:
    known = {name.lower() for name in relations} | {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.name.lower() not in known:
            raise place.fault("unknown table", table, hint="read tables by source('..', '..') and models by ref('..')")


def _qualified(tree: exp.Expr, relations: Mapping[str, Node], place: Place) -> exp.Expr:
    schema: dict[str, object] = {name: {c.name: c.type.value for c in node.columns} for name, node in relations.items()}
    try:
        return qualify(tree.copy(), schema=schema, dialect="duckdb", quote_identifiers=True)
    except OptimizeError as error:
        message = str(error)
        culprit = next((c for c in tree.find_all(exp.Column) if c.name and c.name in message), None)
        raise place.fault(message, culprit or tree, hint=_hint(message)) from None


def _hint(message: str) -> str:
    """For the two ways in which sqlglot says that no relation has a column."""
    if "Unknown column" in message or "could not be resolved" in message:
        return "declare the column with its table under `sources:` in the YAML, or select it in the model that is read"
    return ""


class _Query:
    def __init__(self, builder: Builder, relations: Mapping[str, Node]) -> None:
        self._builder, self._place = builder, builder.place
        self._relations = {name.lower(): node for name, node in relations.items()}

    def plan(self, query: exp.Expr, scope: Scope, limit: int | None = None) -> Node:
        """`limit`: the bound that the reader of a ranked query sets."""
        scope = _with(query, scope, self._place)
        if isinstance(query, exp.Subquery):
            return self.plan(query.this, scope, limit)
        if isinstance(query, exp.Union):
            return self._builder.union([self.plan(branch, scope) for branch in _branches(query)], query)
        if isinstance(query, exp.Select):
            return self._select(query, scope, limit)
        raise self._place.fault("a SELECT is expected", query)

    def _select(self, select: exp.Select, scope: Scope, limit: int | None) -> Node:
        ranking = ranking_of(select, self._place)
        frame, where = self._from(select, scope)
        outputs = [(p.alias_or_name, self._output(frame, p)) for p in select.selects]
        condition = frame.resolve(where, self._place) if where is not None else None
        rows = _Rows(frame.node, outputs, condition)
        if select.args.get("group"):
            rows = self._grouped(select, frame, rows)
        if ranking is None:
            node = self._builder.select(rows.node, [n for n, _ in rows.outputs], [e for _, e in rows.outputs], rows.condition)
        else:
            node = self._ranked(select, ranking, rows, limit)
        return self._distinct(node) if select.args.get("distinct") else node

    def _output(self, frame: Frame, projection: exp.Expr) -> exp.Expr:
        expression = frame.resolve(projection.unalias(), self._place)
        if not line_of(expression):  # a NULL or a CASE of constants: the parser notes no line
            expression.meta["line"] = line_of(projection)
        return expression

    def _from(self, select: exp.Select, scope: Scope) -> tuple[Frame, exp.Expr | None]:
        """The frame, and WHERE without the bound of a ranked FROM."""
        source, where = select.args["from_"].this, select.args.get("where")
        limit, rest = None, where.this if where else None
        ranked = self._query_behind(source, scope)
        ranking = ranking_of(ranked, self._place) if isinstance(ranked, exp.Select) else None
        if ranking and ranking.name and rest is not None:
            limit, rest = bound_in(rest, source.alias_or_name.lower(), ranking.name)

        def relation(expression: exp.Expr) -> Node:
            return self._relation(expression, scope, limit if expression is source else None)

        return frame_of(select, relation, self._builder), rest

    def _query_behind(self, source: exp.Expr, scope: Scope) -> exp.Expr | None:
        if isinstance(source, exp.Subquery):
            return source.unnest()
        cte = scope.get(source.name.lower())
        return cte.query if cte else None

    def _relation(self, source: exp.Expr, scope: Scope, limit: int | None) -> Node:
        if (alias := source.args.get("alias")) and alias.columns:
            raise self._place.fault("renamed columns of a table alias", source, hint="name the columns in the SELECT")
        if isinstance(source, exp.Subquery):
            return self.plan(source.this, scope, limit)
        name = source.name.lower()
        if cte := scope.get(name):
            return self.plan(cte.query, cte.scope, limit)
        if name in self._relations:
            return self._relations[name]
        raise self._place.fault("unknown table", source, hint="read tables by source('..', '..') and models by ref('..')")

    def _grouped(self, select: exp.Select, frame: Frame, rows: "_Rows") -> "_Rows":
        having = select.args.get("having")
        groups = [frame.resolve(g.unnest(), self._place) for g in select.args["group"].expressions]
        outputs = [*rows.outputs, *([("", frame.resolve(having.this, self._place))] if having else [])]
        node = self._filtered(rows.node, rows.condition)
        node, expressions = grouped(node, groups, outputs, self._builder)
        condition = expressions.pop() if having else None
        names = [name for name, _ in rows.outputs]
        return _Rows(node, list(zip(names, expressions, strict=True)), condition)

    def _filtered(self, node: Node, condition: exp.Expr | None) -> Node:
        names = [c.name for c in node.columns]
        return node if condition is None else self._builder.select(node, names, [column(n) for n in names], condition)

    def _ranked(self, select: exp.Select, ranking: Ranking, rows: "_Rows", limit: int | None) -> Node:
        limit = self._bound(select, ranking, limit)
        names = [n for n, _ in rows.outputs]
        window = next(w for _, e in rows.outputs if (w := e.find(exp.Window))) if ranking.name else None
        if window is None:
            raise self._place.fault("QUALIFY without the rank as a column", ranking.window, hint=UNBOUNDED)
        kept = {n: e for n, e in rows.outputs if e is not window}
        partition = [_beside_rank(_column_of(e, kept)) for e in window.args["partition_by"]]
        order = [as_order(_beside_rank(_column_of(o.this, kept)), o) for o in order_of(window)]
        base = self._builder.select(rows.node, [_beside_rank(n) for n in kept], list(kept.values()), rows.condition)
        self._check_text_order(base, order_of(window), order)
        top = self._builder.top(base, partition, order, limit, ranking.window)
        return self._builder.select(top, names, [column("rank" if n == ranking.name else _beside_rank(n)) for n in names])

    def _check_text_order(self, base: Node, written: Sequence[exp.Ordered], order: Sequence[Order]) -> None:
        types = {c.name: c.type for c in base.columns}
        for clause, item in zip(written, order, strict=True):
            if types[item.column] is Type.TEXT and not clause.find(exp.Collate):
                raise self._place.fault("text ordered", clause, hint=BYTES_HINT)

    def _bound(self, select: exp.Select, ranking: Ranking, limit: int | None) -> int:
        if qualify := select.args.get("qualify"):
            limit, rest = bound_in(qualify.this, "", ranking.name)
            if rest is not None:
                raise self._place.fault("QUALIFY with more than the bound of the rank", rest, hint="put it into WHERE outside")
        if limit is None or limit < 1:
            raise self._place.fault("an unbounded rank", ranking.window, hint=UNBOUNDED)
        return limit

    def _distinct(self, node: Node) -> Node:
        return self._builder.aggregate(node, [c.name for c in node.columns], [], [])


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a SELECT yields before ranking: expressions over `node`, and the condition that rows must meet."""

    node: Node
    outputs: list[tuple[str, exp.Expr]]
    condition: exp.Expr | None


def _with(query: exp.Expr, scope: Scope, place: Place) -> Scope:
    """`scope` and the query's own CTEs; each sees those before it."""
    clause = query.args.get("with_")
    for cte in clause.expressions if clause else []:
        if cte.args["alias"].columns:
            raise place.fault("a CTE that renames its columns", cte.args["alias"], hint="name them in its SELECT")
        scope = {**scope, cte.alias.lower(): Cte(cte.this, scope)}
    return scope


def _branches(union: exp.Union) -> list[exp.Expr]:
    """The queries that UNION ALL connects; one with CTEs of its own stays whole."""
    return [branch for side in (union.this, union.expression) for branch in _parts(side)]


def _parts(query: exp.Expr) -> list[exp.Expr]:
    bare = query.unnest() if isinstance(query, exp.Subquery) and not query.args.get("with_") else query
    return _branches(bare) if isinstance(bare, exp.Union) and not bare.args.get("with_") else [query]


def _beside_rank(name: str) -> str:
    """A ranked column's name: `rank` itself is what a TopN adds."""
    return "rank.below" if name == "rank" else name


def _column_of(expression: exp.Expr, kept: dict[str, exp.Expr]) -> str:
    """The column of `kept` that holds `expression`; added under a name of its own where there is none."""
    bare = expression.unnest()
    bare = bare.this.unnest() if isinstance(bare, exp.Collate) else bare
    name = next((n for n, e in kept.items() if sql(e) == sql(bare)), None)
    if name is None:
        name = f"by_{len(kept)}"
        kept[name] = bare
    return name
