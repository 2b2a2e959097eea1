"""A plan run from scratch, node by node, in DuckDB: what `why` walks back through, and what tests hold the dataflow to."""

from collections.abc import Sequence

from topline.models.plan import Aggregate, Join, Node, Order, ProjectPlan, Scan, Select, TopN, Union


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def names_of(plan: ProjectPlan) -> dict[Node, str]:
    """Each node's relation: the table of a Scan, the model of a model's root, else a name of its own."""
    names: dict[Node, str] = {node: f"~{number}" for number, node in enumerate(plan.nodes)}
    return {node: node.table if isinstance(node, Scan) else name for node, name in names.items()}


def views(plan: ProjectPlan) -> list[tuple[str, str]]:
    """(relation, SQL) of every node but the Scans, inputs first; a relation `"source.table"` must exist for each Scan."""
    names = names_of(plan)
    return [(names[node], node_sql(node, names)) for node in plan.nodes if not isinstance(node, Scan)]


def node_sql(node: Node, names: dict[Node, str]) -> str:
    match node:
        case Select():
            where = f" WHERE {node.where}" if node.where else ""
            return f"SELECT {_aliased(node.expressions, node)} FROM {quoted(names[node.input])}{where}"
        case Union():
            return " UNION ALL ".join(_renamed(branch, node, names) for branch in node.inputs)
        case Join():
            return _join(node, names)
        case Aggregate():
            return _aggregate(node, names)
        case TopN():
            return _top_n(node, names)
    raise TypeError(f"no SQL for {type(node).__name__}")


def _aliased(expressions: Sequence[str], node: Node) -> str:
    """Casts pin each column to the plan's type: a sum of BIGINT is BIGINT, not HUGEINT."""
    columns = zip(expressions, node.columns, strict=True)
    return ", ".join(f"CAST({sql} AS {column.type}) AS {quoted(column.name)}" for sql, column in columns)


def _renamed(branch: Node, node: Node, names: dict[Node, str]) -> str:
    return f"SELECT {_aliased([quoted(c.name) for c in branch.columns], node)} FROM {quoted(names[branch])}"


def _join(node: Join, names: dict[Node, str]) -> str:
    sides = [f"l.{quoted(c.name)}" for c in node.left.columns] + [f"r.{quoted(c.name)}" for c in node.right.columns]
    on = " AND ".join(f"l.{quoted(left)} = r.{quoted(right)}" for left, right in node.on)
    kind = "LEFT JOIN" if node.kind == "left" else "JOIN"
    return f"SELECT {_aliased(sides, node)} FROM {quoted(names[node.left])} l {kind} {quoted(names[node.right])} r ON {on}"


_FUNCTIONS = {
    "count_distinct": "COUNT(DISTINCT {})",
    "count": "COUNT({})",
    "sum": "SUM({})",
    "min": "MIN({})",
    "max": "MAX({})",
}


def _aggregate(node: Aggregate, names: dict[Node, str]) -> str:
    group = [quoted(name) for name in node.group_by]
    measures = [_FUNCTIONS[m.function].format(quoted(m.argument) if m.argument else "*") for m in node.measures]
    return f"SELECT {_aliased(group + measures, node)} FROM {quoted(names[node.input])} GROUP BY {', '.join(group)}"


def _top_n(node: TopN, names: dict[Node, str]) -> str:
    by = f"PARTITION BY {', '.join(quoted(name) for name in node.partition_by)} " if node.partition_by else ""
    rank = f"ROW_NUMBER() OVER ({by}ORDER BY {', '.join(_order(order) for order in node.order_by)})"
    columns = [quoted(column.name) for column in node.input.columns]
    inner = f'SELECT {", ".join(columns)}, {rank} AS "~rank" FROM {quoted(names[node.input])}'
    return f'SELECT {_aliased([*columns, quoted("~rank")], node)} FROM ({inner}) WHERE "~rank" <= {node.limit}'


def _order(order: Order) -> str:
    return f"{quoted(order.column)} {'DESC' if order.descending else 'ASC'} NULLS {'FIRST' if order.nulls_first else 'LAST'}"
