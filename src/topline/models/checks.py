"""What can be seen in a model's syntax alone: everything outside the live subset is refused here, with a hint."""

from collections.abc import Callable, Iterator

from sqlglot import exp

from topline.errors import ModelError
from topline.models import functions
from topline.models.faults import Place

Rule = tuple[type[exp.Expr], Callable[[exp.Expr], bool], str, str]

_SORTING = "bare {} has no meaning in a table that keeps changing"
_TOP_N = "keep the first N of each group: row_number() over (partition by .. order by ..) as rank, and rank <= N outside"
_JOIN_HINT = "join on equal columns: a.x = b.x; put other conditions into WHERE"


def _always(_: exp.Expr) -> bool:
    return True


def _of_query(node: exp.Expr) -> bool:
    return isinstance(node.parent, exp.Query)


def _in_expression(node: exp.Expr) -> bool:
    return not isinstance(node.parent, exp.From | exp.Join | exp.CTE | exp.SetOperation | exp.Subquery | type(None))


def _joined(*words: str) -> Callable[[exp.Expr], bool]:
    def rule(node: exp.Expr) -> bool:
        return bool({node.args.get(k) or "" for k in ("side", "kind", "method")} & set(words))

    return rule


_RULES: tuple[Rule, ...] = (
    (exp.Order, _of_query, _SORTING.format("ORDER BY"), "leave it out: readers sort. " + _TOP_N),
    (exp.Limit, _of_query, _SORTING.format("LIMIT"), _TOP_N),
    (exp.Fetch, _of_query, _SORTING.format("FETCH"), _TOP_N),
    (exp.Offset, _of_query, _SORTING.format("OFFSET"), _TOP_N),
    (exp.Union, lambda node: bool(node.args.get("distinct")), "UNION drops duplicates", "UNION ALL, then SELECT DISTINCT"),
    (exp.Except, _always, "EXCEPT cannot be live", "use a LEFT JOIN and WHERE .. IS NULL"),
    (exp.Intersect, _always, "INTERSECT cannot be live", "use an inner JOIN"),
    (exp.Join, _joined("RIGHT"), "RIGHT JOIN cannot be live", "swap the sides and write LEFT JOIN"),
    (exp.Join, _joined("FULL"), "FULL JOIN cannot be live", "UNION ALL the keys of both sides, then LEFT JOIN each"),
    (exp.Join, _joined("CROSS"), "CROSS JOIN cannot be live", _JOIN_HINT),
    (exp.Join, _joined("SEMI", "ANTI"), "SEMI and ANTI joins cannot be live", "use JOIN, or LEFT JOIN and WHERE .. IS NULL"),
    (exp.Join, _joined("NATURAL", "ASOF", "POSITIONAL"), "this kind of join cannot be live", _JOIN_HINT),
    (exp.Join, lambda node: bool(node.args.get("using")), "USING", "write ON a.x = b.x"),
    (exp.Lateral, _always, "LATERAL cannot be live", _JOIN_HINT),
    (exp.Unnest, _always, "UNNEST cannot be live", "one row in, one row out; split rows at the source"),
    (exp.Values, _always, "VALUES cannot be live", "put the rows into a source table"),
    (exp.Exists, _always, "EXISTS cannot be live", "use a JOIN on a SELECT DISTINCT"),
    (exp.Subquery, _in_expression, "a subquery in an expression cannot be live", "JOIN it instead"),
    (exp.In, lambda node: bool(node.args.get("query")), "IN (SELECT ..) cannot be live", "use a JOIN on a SELECT DISTINCT"),
    (exp.Filter, _always, "FILTER is not portable", "aggregate a CASE WHEN .. THEN .. END"),
    (exp.Avg, _always, "AVG is a float in some engines", "use the macro exact_avg(x)"),
    (exp.Div, _always, "`/` differs between engines and is not exact", "use the macro exact_avg(x), or multiply by a decimal"),
    (exp.Star, lambda node: isinstance(node.parent, exp.Column), "alias.* hides which columns", "list the columns"),
    (
        exp.Collate,
        lambda node: str(node.expression.name).upper() != "C",
        "only the collation of bytes is the same everywhere",
        "use by_bytes(x)",
    ),
    (exp.Pivot, _always, "PIVOT cannot be live", "aggregate CASE WHEN .. THEN .. END, one for each column"),
    (exp.TableSample, _always, "samples are not repeatable", "filter by a column"),
    (exp.Lambda, _always, "lambdas are not portable", "use plain expressions"),
    (exp.Parameter, _always, "parameters have no value here", "use var('name')"),
    (exp.Placeholder, _always, "parameters have no value here", "use var('name')"),
)  # fmt: skip


def syntax_faults(query: exp.Expr, place: Place) -> Iterator[ModelError]:
    """Every construct of `query` (DuckDB dialect) that cannot be live, in order of appearance."""
    if not isinstance(query, exp.Query):
        yield place.fault("a model is one SELECT", query, hint="one SELECT statement a file")
        return
    for node in query.walk(bfs=False):
        yield from _node_faults(node, place)


def _node_faults(node: exp.Expr, place: Place) -> Iterator[ModelError]:
    for kind, applies, message, hint in _RULES:
        if isinstance(node, kind) and applies(node):
            yield place.fault(message, node, hint=hint)
            return
    if isinstance(node, exp.Select):
        yield from _select_faults(node, place)
    elif isinstance(node, exp.With) and node.args.get("recursive"):
        yield place.fault("a recursive CTE cannot be live", node, hint="write each step as a CTE of its own")
    elif isinstance(node, exp.Window):
        yield from _window_faults(node, place)
    elif type(node) not in functions.STRUCTURE:
        yield from _function_faults(node, place)


def _select_faults(select: exp.Select, place: Place) -> Iterator[ModelError]:
    if not select.args.get("from_"):
        yield place.fault("a SELECT without FROM", select, hint="read a ref() or a source()")
    distinct, group = select.args.get("distinct"), select.args.get("group")
    if distinct and distinct.args.get("on"):
        yield place.fault("DISTINCT ON is not portable", select, hint=_TOP_N)
    if group and (group.args.get("all") or group.find(exp.Rollup, exp.Cube, exp.GroupingSets)):
        yield place.fault("grouping sets cannot be live", group, hint="write one GROUP BY for each set, and UNION ALL them")
    if not group and any(_own(aggregate, select) for aggregate in select.find_all(*functions.AGGREGATES)):
        yield place.fault(
            "a global aggregate has one row even over nothing", select, hint="GROUP BY something: a constant column would do"
        )


def _own(node: exp.Expr, select: exp.Select) -> bool:
    """Is `node` an aggregate of this very SELECT (and not a window function)?"""
    return node.parent_select is select and not isinstance(node.parent, exp.Window)


def _window_faults(window: exp.Window, place: Place) -> Iterator[ModelError]:
    if not isinstance(window.this, exp.RowNumber):
        yield place.fault("only ROW_NUMBER() can be live among window functions", window, hint=_TOP_N)
    elif not window.args.get("order"):
        yield place.fault(
            "ROW_NUMBER() without ORDER BY is arbitrary", window, hint="order by a total order, ending in the key"
        )
    elif not window.args.get("partition_by"):
        yield place.fault("ROW_NUMBER() over the whole table", window, hint="add PARTITION BY, such as the date")


def _function_faults(node: exp.Expr, place: Place) -> Iterator[ModelError]:
    name = functions.name_of(node)
    if type(node) in functions.VOLATILE or name in functions.VOLATILE_NAMES:
        yield place.fault(
            f"{name} is another value at each call", node, hint="take the time or number from a column of a source"
        )
    elif type(node) not in functions.PORTABLE | functions.DUCKDB_ONLY | functions.AGGREGATES:
        allowed = f"allowed: {functions.listed(functions.PORTABLE)}; live only: {functions.listed(functions.DUCKDB_ONLY)}"
        yield place.fault(f"{name} is not in the tested list of functions", node, hint=allowed)
