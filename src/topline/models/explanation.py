"""`topline explain MODEL`: the plan as lines, its key, where each column comes from, and the SQL for each engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from topline.errors import ModelError, UsageError
from topline.models.dialects import TITLES, Engine
from topline.models.flink import query_of
from topline.models.graph import inputs_of, plain
from topline.models.plan import (
    Aggregate,
    Join,
    Lineage,
    Measure,
    ModelPlan,
    Node,
    Order,
    ProjectPlan,
    Scan,
    Select,
    TopN,
    Union,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One node: its number in the plan's `nodes`, its depth below the model's root, and what it does, in words.

    `repeated`: its inputs are shown where it came first.
    """

    number: int
    depth: int
    text: str
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say of a model. `steps` begin with the model's own root; the state of each is keyed by `number`."""

    model: str
    path: str
    description: str
    published: bool
    key: tuple[str, ...]
    columns: tuple[tuple[str, str, str], ...]  # name, type, description
    steps: tuple[Step, ...]
    lineage: tuple[Lineage, ...]
    sql: dict[Engine, str]
    live_only: str


def explain(plan: ProjectPlan, model: str) -> Explanation:
    """Explain `model`. UsageError names the models that there are."""
    if model not in plan.models:
        raise UsageError(f"there is no model {model!r}; there are {', '.join(sorted(plan.models))}")
    chosen = plan.models[model]
    notes = chosen.column_descriptions
    columns = tuple((c.name, c.type.value, notes.get(c.name, "")) for c in chosen.schema.columns)
    return Explanation(
        chosen.name, chosen.path, chosen.description, chosen.published, chosen.schema.key, columns,
        tuple(_steps(plan, chosen)), chosen.lineage, _sql(plan, chosen), chosen.live_only,
    )  # fmt: skip


def _sql(plan: ProjectPlan, model: ModelPlan) -> dict[Engine, str]:
    own: dict[Engine, str] = {"duckdb": model.sql_duckdb.strip(), "postgres": model.sql_postgres.strip()}
    try:
        on_flink = query_of(plan, model.name)
    except ModelError as error:
        on_flink = f"-- {error}"
    own.update(model.sql_elsewhere.items())
    return {**own, "flink": on_flink}


def render_explanation(explanation: Explanation) -> str:
    """The explanation as plain text."""
    return "\n".join(_lines(explanation)) + "\n"


def _lines(e: Explanation) -> Iterator[str]:
    yield f"{e.model} ({e.path}){'' if e.published else ', not published'}"
    if e.description:
        yield e.description
    if e.live_only:
        yield f"live only: {e.live_only}"
    yield f"\nkey: {', '.join(e.key) or 'none'}\n\ncolumns"
    origins = {item.column: ", ".join(f"{t}.{c}" for t, c in item.origins) or "a constant, or a count" for item in e.lineage}
    for name, kind, note in e.columns:
        yield f"  {name} {kind}{': ' + note if note else ''}\n      from {origins[name]}"
    yield "\nplan"
    yield from (f"  {'  ' * s.depth}#{s.number} {s.text}{' (shown above)' if s.repeated else ''}" for s in e.steps)
    alike = groupby(e.sql.items(), key=itemgetter(1))
    yield from (f"\nSQL for {' and '.join(TITLES[dialect] for dialect, _ in engines)}\n\n{sql}" for sql, engines in alike)


def _steps(plan: ProjectPlan, model: ModelPlan) -> Iterator[Step]:
    numbers = {id(node): i for i, node in enumerate(plan.nodes)}
    models = {id(other.root): other.name for other in plan.models.values() if other is not model}
    seen: set[int] = set()

    def visit(node: Node, depth: int) -> Iterator[Step]:
        name = f"{models[id(node)]}: " if id(node) in models else ""
        repeated = id(node) in seen and bool(inputs_of(node))
        yield Step(numbers[id(node)], depth, name + describe(node), repeated)
        seen.add(id(node))
        if not repeated:
            for child in inputs_of(node):
                yield from visit(child, depth + 1)

    yield from visit(model.root, 0)


def describe(node: Node) -> str:
    """What one node does, in a line."""
    match node:
        case Scan(table=table, key=key):
            return f"table {table} by ({', '.join(key or ())})"
        case Select():
            return _select(node)
        case Union(inputs=inputs):
            return f"union of {len(inputs)}"
        case Join(kind=kind, on=on):
            return f"{kind} join on {', '.join(f'{a} = {b}' for a, b in on)}"
        case Aggregate(group_by=groups, measures=measures):
            return f"group by {', '.join(groups)}" + (f" with {', '.join(map(_measure, measures))}" if measures else "")
        case TopN(partition_by=partition, order_by=order, limit=limit):
            return f"first {limit} of each {', '.join(partition)} by {', '.join(map(_order, order))}"
    raise TypeError(f"no words for {type(node).__name__}")


def _select(node: Select) -> str:
    computed = [c.name for c, text in zip(node.columns, node.expressions, strict=True) if plain(text) is None]
    what = f"compute {', '.join(computed)}" if computed else "columns " + ", ".join(c.name for c in node.columns)
    return what + (f" where {node.where}" if node.where else "")


def _measure(measure: Measure) -> str:
    return f"{measure.name} = {measure.function}({measure.argument or '*'})"


def _order(order: Order) -> str:
    return f"{order.column} {'descending' if order.descending else 'ascending'}"
