"""Makes nodes: types their columns, derives their keys, and refuses what only types can show."""

from collections.abc import Iterator, Sequence

from sqlglot import exp

from topline.errors import ModelError
from topline.models.faults import Place
from topline.models.graph import Graph, join_key, plain, select_key, union_key
from topline.models.plan import Aggregate, Join, Measure, Node, Order, Select, TopN, Union
from topline.models.typer import Typer, normalise, quoted
from topline.schema import Column, Type

_COMPARISONS = (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.Greatest, exp.Least)
BYTES_HINT = "databases order text differently: use max_text(x), min_text(x) or by_bytes(x)"
_SUM_HINTS = {Type.TEXT: "sum of text: cast it once by try_decimal(x)"}


def column(name: str) -> exp.Column:
    """A reference to an input column, as expressions of a node write it."""
    return exp.Column(this=exp.Identifier(this=name, quoted=True))


def sql(expression: exp.Expr) -> str:
    """DuckDB SQL of an expression; the collation that the shared macros write is DuckDB's own order, so it is left out."""
    bare = expression.copy().transform(lambda node: node.this if isinstance(node, exp.Collate) else node)
    return str(bare.sql(dialect="duckdb", comments=False))


class Builder:
    """Nodes for one model. Faults carry the model's file and the line of the expression."""

    def __init__(self, graph: Graph, typer: Typer, place: Place) -> None:
        self.graph, self._typer, self.place = graph, typer, place

    def select(self, node: Node, names: Sequence[str], expressions: Sequence[exp.Expr], where: exp.Expr | None = None) -> Node:
        """Projection and filter; `node` itself when nothing changes. Every expression gets a type of the closed set."""
        self._distinct_names(names, expressions)
        texts = [sql(expression) for expression in expressions]
        self._check_types(node, [*expressions, where] if where is not None else expressions)
        typed = list(self._typed(node, texts, expressions))
        columns = tuple(Column(name, kind) for name, (kind, _) in zip(names, typed, strict=True))
        if where is None and columns == node.columns and all(plain(t) == n for t, n in zip(texts, names, strict=True)):
            return node
        outputs = tuple(text for _, text in typed)
        condition = self._condition(node, where) if where is not None else None
        key = select_key(node.key, names, outputs)
        return self.graph.add(Select(columns=columns, key=key, input=node, expressions=outputs, where=condition))

    def pick(self, node: Node, names: Sequence[str]) -> Node:
        """Only these columns, in their order in `node`."""
        kept = [c.name for c in node.columns if c.name in set(names)]
        return self.select(node, kept, [column(name) for name in kept])

    def union(self, inputs: Sequence[Node], clause: exp.Expr) -> Node:
        first = inputs[0].columns
        for other in inputs[1:]:
            if len(other.columns) != len(first):
                raise self.place.fault(f"UNION ALL of {len(first)} and {len(other.columns)} columns", clause)
            for a, b in zip(first, other.columns, strict=True):
                if a.type is not b.type:
                    message = f"UNION ALL of {a.name} ({a.type.value}) and {b.name} ({b.type.value})"
                    raise self.place.fault(message, clause, hint="cast one to the other's type")
        key = union_key(inputs, [c.name for c in first])
        return self.graph.add(Union(columns=first, key=key, inputs=tuple(inputs)))

    def join(self, kind: str, left: Node, right: Node, names: Sequence[str], on: Sequence[tuple[str, str]]) -> Node:
        """`names`: the output's columns, left's then right's."""
        types = [c.type for c in (*left.columns, *right.columns)]
        columns = tuple(Column(name, t) for name, t in zip(names, types, strict=True))
        bare = Join(
            columns=columns, kind="left" if kind == "left" else "inner", left=left, right=right, on=tuple(dict.fromkeys(on))
        )
        return self.graph.add(Join(columns=columns, key=join_key(bare), kind=bare.kind, left=left, right=right, on=bare.on))

    def aggregate(self, node: Node, groups: Sequence[str], measures: Sequence[Measure], clauses: Sequence[exp.Expr]) -> Node:
        """`clauses`: the aggregate behind each measure, for faults."""
        types = {c.name: c.type for c in node.columns}
        results = [self._result(m, types, clause) for m, clause in zip(measures, clauses, strict=True)]
        columns = (*(Column(g, types[g]) for g in groups), *results)
        key = tuple(groups)
        return self.graph.add(Aggregate(columns=columns, key=key, input=node, group_by=tuple(groups), measures=tuple(measures)))

    def top(self, node: Node, partition: Sequence[str], order: Sequence[Order], limit: int, clause: exp.Expr) -> Node:
        settled = {*partition, *(item.column for item in order)}
        if node.key is None or not set(node.key) <= settled:
            wanted = f"({', '.join(node.key)})" if node.key else "(none could be derived; GROUP BY gives one)"
            raise self.place.fault(
                "ties are not settled", clause, hint=f"ORDER BY must end in a key of the ranked rows: {wanted}"
            )
        columns = (*node.columns, Column("rank", Type.BIGINT))
        top = TopN(columns=columns, key=node.key, input=node, partition_by=tuple(partition), order_by=tuple(order), limit=limit)
        return self.graph.add(top)

    def types(self, node: Node, expressions: Sequence[exp.Expr]) -> list[str]:
        """DuckDB's own type of each expression over `node`."""
        return self._raw(node, [sql(e) for e in expressions], expressions)

    def _raw(self, node: Node, texts: Sequence[str], clauses: Sequence[exp.Expr]) -> list[str]:
        try:
            return self._typer.raw(node.columns, texts)
        except ModelError as all_of_them:
            for text, clause in zip(texts, clauses, strict=True):
                try:
                    self._typer.raw(node.columns, [text])
                except ModelError as error:
                    raise self.place.fault(str(error), clause) from None
            raise self.place.fault(str(all_of_them)) from None

    def _typed(self, node: Node, texts: Sequence[str], clauses: Sequence[exp.Expr]) -> Iterator[tuple[Type, str]]:
        types = {c.name: c.type for c in node.columns}
        computed = [i for i, text in enumerate(texts) if plain(text) not in types]
        raw = dict(zip(computed, self._raw(node, [texts[i] for i in computed], [clauses[i] for i in computed]), strict=True))
        for i, text in enumerate(texts):
            if i not in raw:
                yield types[plain(text) or ""], text
                continue
            try:
                yield normalise(raw[i], text)
            except ModelError as error:
                raise self.place.fault(str(error).split("\n")[0], clauses[i], hint=error.hint) from None

    def _condition(self, node: Node, where: exp.Expr) -> str:
        if (found := self.types(node, [where])[0]) != "BOOLEAN":
            raise self.place.fault(f"a condition of type {found}", where, hint="compare it with something")
        return sql(where)

    def _check_types(self, node: Node, expressions: Sequence[exp.Expr]) -> None:
        tests = [t for e in expressions for t in e.find_all(*_COMPARISONS, exp.Cast)]
        operands = [t.this for t in tests]
        for test, found in zip(tests, self._raw(node, [sql(o) for o in operands], operands), strict=True):
            if isinstance(test, exp.Cast):
                self._check_cast(test, found)
            elif found == "VARCHAR" and not test.find(exp.Collate):
                raise self.place.fault("text compared by order", test, hint=BYTES_HINT)

    def _check_cast(self, cast: exp.Cast, found: str) -> None:
        target = cast.to.sql(dialect="duckdb")
        if found == "TIMESTAMP WITH TIME ZONE" and target in {"DATE", "TIMESTAMP"}:
            raise self.place.fault(f"an instant cast to {target} depends on the session", cast, hint="use business_date(x)")
        if found in {"DOUBLE", "FLOAT"} or target in {"DOUBLE", "REAL", "FLOAT"}:
            raise self.place.fault("a float is not exact", cast, hint="use try_decimal(x) on the text")

    def _result(self, measure: Measure, types: dict[str, Type], clause: exp.Expr) -> Column:
        if measure.argument is None or measure.function in {"count", "count_distinct"}:
            return Column(measure.name, Type.BIGINT)
        kind = types[measure.argument]
        if measure.function == "sum" and kind not in {Type.BIGINT, Type.DECIMAL}:
            hint = _SUM_HINTS.get(kind, "count a CASE WHEN .. THEN 1 END instead")
            raise self.place.fault(f"SUM of {kind.value}", clause, hint=hint)
        if measure.function in {"min", "max"} and kind is Type.BOOLEAN:
            raise self.place.fault("MIN or MAX of a BOOLEAN", clause, hint="aggregate CASE WHEN x THEN 1 ELSE 0 END")
        if measure.function in {"min", "max"} and kind is Type.TEXT and not clause.find(exp.Collate):
            raise self.place.fault("MIN or MAX of text", clause, hint=BYTES_HINT)
        return Column(measure.name, kind)

    def _distinct_names(self, names: Sequence[str], clauses: Sequence[exp.Expr]) -> None:
        for i, name in enumerate(names):
            if name in names[:i]:
                raise self.place.fault(f"two columns are called {quoted(name)}", clauses[i], hint="give each its own alias")
