"""The steps of a plan as views in Flink SQL, inputs first. Each column has its plan's type: what does not fit fails the job."""

from collections import Counter
from collections.abc import Sequence

from topline.models.flink.dialect import expression
from topline.models.flink.words import TYPES, money, once, quoted, whole
from topline.models.graph import inputs_of, plain
from topline.models.plan import Aggregate, Join, Measure, Node, Order, ProjectPlan, Scan, Select, TopN, Union
from topline.models.typer import Typer
from topline.schema import Column, Type

_SOURCE = {"BIGINT", "VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "BOOLEAN", "DECIMAL(18,4)"}
_LONG = 200  # characters of an expression that is better computed once than put in the place of its name
_FUNCTIONS = {
    "count_distinct": "COUNT(DISTINCT {})",
    "count": "COUNT({})",
    "sum": "SUM({})",
    "min": "MIN({})",
    "max": "MAX({})",
}


def views(plan: ProjectPlan) -> list[tuple[str, str]]:
    """(name, query) of every model, and of every step that is read more than once; a relation `source.table` must be there for
    each table. A step that is read once stands inside of its reader: each view costs Flink's planner anew.

    ModelError for an expression that has no exact equal in Flink SQL.
    """
    writer, named = Steps(plan), names_of(plan)
    relations: dict[Node, str] = {}
    made: list[tuple[str, str]] = []
    for node in plan.nodes:
        query = "" if isinstance(node, Scan) else writer.query(node, relations)
        if query and node in named:
            made.append((named[node], query))
        relations[node] = quoted(named[node]) if node in named else f"(\n{query}\n)"
    known = {name for name, _ in made}
    return made + [(name, f"SELECT * FROM {relations[m.root]}") for name, m in plan.models.items() if name not in known]


def query_of(plan: ProjectPlan, model: str) -> str:
    """One model's query, over tables and other models; steps that others read too stand before it. ModelError as `views`."""
    models = {other.root for name, other in plan.models.items() if name != model and other.root is not plan.models[model].root}
    behind: list[Node] = []
    waiting = [plan.models[model].root]
    while waiting:
        node = waiting.pop()
        behind.append(node)
        waiting += [child for child in inputs_of(node) if child not in models and not isinstance(child, Scan)]
    named = names_of(plan)
    needed = {named[node] for node in behind if node in named} - {model}
    made = dict(views(plan))
    steps = ",\n".join(f"{quoted(name)} AS (\n{query}\n)" for name, query in made.items() if name in needed)
    return f"WITH {steps}\n{made[model]}" if steps else made[model]


def names_of(plan: ProjectPlan) -> dict[Node, str]:
    """Of tables, models, and steps that are read more than once."""
    models = {model.root: name for name, model in reversed(plan.models.items()) if not isinstance(model.root, Scan)}
    read = Counter(node for reader in plan.nodes for node in inputs_of(reader))
    shared = {node: f"step {number}" for number, node in enumerate(plan.nodes) if read[node] > 1}
    return {**shared, **models, **{node: node.table for node in plan.nodes if isinstance(node, Scan)}}


class Steps:
    def __init__(self, plan: ProjectPlan) -> None:
        self._typer = Typer()
        self._computed_on = {node.input for node in plan.nodes if isinstance(node, Select)}

    def query(self, node: Node, names: dict[Node, str]) -> str:
        match node:
            case Select():
                return self._select(node, names)
            case Union():
                return "\nUNION ALL\n".join(self._branch(branch, node, names) for branch in node.inputs)
            case Join():
                return _join(node, names)
            case Aggregate():
                return _aggregate(node, names)
            case TopN():
                return _top_n(node, names)
        raise TypeError(f"no Flink SQL for {type(node).__name__}")

    def _select(self, node: Select, names: dict[Node, str]) -> str:
        kinds = self._typer.raw(node.input.columns, node.expressions)
        values = [
            self._value(sql, column, kind, node.input.columns)
            for sql, column, kind in zip(node.expressions, node.columns, kinds, strict=True)
        ]
        where = f"\nWHERE {expression(node.where, node.input.columns, self._typer)}" if node.where else ""
        if node in self._computed_on:
            values = [once(value) if len(value) > _LONG else value for value in values]
        return f"SELECT {_listed(values, node.columns)}\nFROM {names[node.input]}{where}"

    def _value(self, sql: str, column: Column, kind: str, inputs: Sequence[Column]) -> str:
        """In the column's type. A plain column is passed on as it is, so that Flink knows its keys."""
        if (name := plain(sql)) is not None:
            return quoted(name)
        value = expression(sql, inputs, self._typer)
        if column.type is Type.DECIMAL and kind not in _SOURCE:
            return money(f"({value})", column.name)
        return f"CAST({value} AS {TYPES[column.type]})"

    def _branch(self, branch: Node, node: Union, names: dict[Node, str]) -> str:
        columns = [quoted(column.name) for column in branch.columns]
        return f"SELECT {_listed(columns, node.columns)} FROM {names[branch]}"


def _listed(values: Sequence[str], columns: Sequence[Column]) -> str:
    return ", ".join(f"{value} AS {quoted(column.name)}" for value, column in zip(values, columns, strict=True))


def _join(node: Join, names: dict[Node, str]) -> str:
    sides = [f"l.{quoted(c.name)}" for c in node.left.columns] + [f"r.{quoted(c.name)}" for c in node.right.columns]
    on = " AND ".join(f"l.{quoted(left)} = r.{quoted(right)}" for left, right in node.on)
    kind = "LEFT JOIN" if node.kind == "left" else "JOIN"
    left, right = names[node.left], names[node.right]
    return f"SELECT {_listed(sides, node.columns)}\nFROM {left} AS l\n{kind} {right} AS r ON {on}"


def _aggregate(node: Aggregate, names: dict[Node, str]) -> str:
    """Sums are wide, and checked when they are whole."""
    types = {column.name: column.type for column in node.input.columns}
    group = [quoted(name) for name in node.group_by]
    measures = [_measure(measure, types) for measure in node.measures]
    inner = _listed(group + measures, node.columns)
    grouped = f"SELECT {inner}\nFROM {names[node.input]}\nGROUP BY {', '.join(group)}"
    sums = {measure.name for measure in node.measures if measure.function == "sum"}
    if not sums:
        return grouped
    outer = [_sum(column) if column.name in sums else quoted(column.name) for column in node.columns]
    return f"SELECT {_listed(outer, node.columns)}\nFROM (\n{grouped}\n)"


def _measure(measure: Measure, types: dict[str, Type]) -> str:
    argument = "*" if measure.argument is None else quoted(measure.argument)
    if measure.function == "sum" and measure.argument is not None and types[measure.argument] is Type.BIGINT:
        argument = f"CAST({argument} AS DECIMAL(38, 0))"  # 64 bits would wrap
    return _FUNCTIONS[measure.function].format(argument)


def _sum(column: Column) -> str:
    return money(quoted(column.name), column.name) if column.type is Type.DECIMAL else whole(quoted(column.name))


def _top_n(node: TopN, names: dict[Node, str]) -> str:
    columns = [quoted(column.name) for column in node.input.columns]
    rank = quoted(node.columns[-1].name)
    by = f"PARTITION BY {', '.join(map(quoted, node.partition_by))} ORDER BY {', '.join(map(_order, node.order_by))}"
    # Where a step is shared, Flink forgets that its totals also shrink and its rows go, and ranks as if they only grew.
    ordering = {order.column for order in node.order_by}
    given = [once(quoted(c.name)) if c.name in ordering else quoted(c.name) for c in node.input.columns]
    source = f"(\nSELECT {_listed(given, node.input.columns)}\nFROM {names[node.input]}\n)"
    inner = f"SELECT {', '.join(columns)}, ROW_NUMBER() OVER ({by}) AS {rank}\nFROM {source}"
    # Rows are retracted by their place. Left with another key, Flink would take a row's old place out for the row itself.
    kept = [quoted(c.name) if c.name in node.partition_by else once(quoted(c.name)) for c in node.input.columns]
    return f"SELECT {_listed([*kept, rank], node.columns)}\nFROM (\n{inner}\n)\nWHERE {rank} <= {node.limit}"


def _order(order: Order) -> str:
    direction = "DESC" if order.descending else "ASC"
    return f"{quoted(order.column)} {direction} NULLS {'FIRST' if order.nulls_first else 'LAST'}"
