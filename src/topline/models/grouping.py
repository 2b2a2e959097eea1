"""GROUP BY: aggregates become measures over plain columns; what is written around them becomes a Select above."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlglot import exp

from topline.models import functions
from topline.models.builder import Builder, column, sql
from topline.models.plan import Measure, Node

Function = Literal["sum", "count", "min", "max", "count_distinct"]
_FUNCTIONS: dict[type[exp.Expr], Function] = {exp.Sum: "sum", exp.Count: "count", exp.Min: "min", exp.Max: "max"}


@dataclass(slots=True)
class Grouping:
    """groups: expression SQL -> column; arguments: expression SQL -> (column, expression); measures by aggregate SQL."""

    groups: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, exp.Expr] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)
    clauses: list[exp.Expr] = field(default_factory=list)

    def column_for(self, expression: exp.Expr, wish: str) -> str:
        """The input column of the Aggregate that holds `expression`."""
        text = sql(expression)
        name = next((n for n, e in self.inputs.items() if sql(e) == text), None)
        if name is None:
            name = free(expression.name if isinstance(expression, exp.Column) else wish, self.inputs)
            self.inputs[name] = expression
        return name


def free(wish: str, taken: Sequence[str] | dict[str, exp.Expr]) -> str:
    """`wish`, or with a number where it is taken."""
    return wish if wish not in taken else next(n for i in range(2, 10_000) if (n := f"{wish}_{i}") not in taken)


def grouped(
    node: Node, groups: Sequence[exp.Expr], outputs: Sequence[tuple[str, exp.Expr]], builder: Builder
) -> tuple[Node, list[exp.Expr]]:
    """An Aggregate over `node`, and each output expression (already over node's columns) over the Aggregate's columns."""
    grouping = Grouping()
    for expression in groups:
        wish = next((name for name, output in outputs if sql(output) == sql(expression)), "group")
        grouping.groups[sql(expression)] = grouping.column_for(expression, wish)
    for name, output in outputs:
        for aggregate in output.find_all(*functions.AGGREGATES):
            _add_measure(grouping, aggregate, name if aggregate is output else "", builder)
    names = [c.name for c in node.columns]
    if any(not isinstance(e, exp.Column) or e.name != n or n not in names for n, e in grouping.inputs.items()):
        node = builder.select(node, list(grouping.inputs), list(grouping.inputs.values()))
    result = builder.aggregate(
        node, list(dict.fromkeys(grouping.groups.values())), list(grouping.measures.values()), grouping.clauses
    )
    return result, [_over(output, grouping, builder) for _, output in outputs]


def _add_measure(grouping: Grouping, aggregate: exp.Expr, wish: str, builder: Builder) -> None:
    if sql(aggregate) in grouping.measures:
        return
    function, argument = _parts(aggregate, builder)
    source = grouping.column_for(argument, "argument") if argument is not None else None
    taken = [*grouping.groups.values(), *(m.name for m in grouping.measures.values())]
    name = free(wish or f"{function}_{source or 'rows'}", taken)
    grouping.measures[sql(aggregate)] = Measure(name, function, source)
    grouping.clauses.append(aggregate)


def _parts(aggregate: exp.Expr, builder: Builder) -> tuple[Function, exp.Expr | None]:
    function, argument = _FUNCTIONS[type(aggregate)], aggregate.this
    if aggregate.expressions:
        raise builder.place.fault("an aggregate of several columns", aggregate, hint="aggregate one expression")
    if isinstance(argument, exp.Distinct):
        if function != "count" or len(argument.expressions) != 1:
            raise builder.place.fault("DISTINCT here", aggregate, hint="only COUNT(DISTINCT x) of one column can be live")
        return "count_distinct", argument.expressions[0]
    return function, None if isinstance(argument, exp.Star) else _bare(argument)


def _bare(argument: exp.Expr) -> exp.Expr:
    argument = argument.unnest()
    return argument.this.unnest() if isinstance(argument, exp.Collate) else argument


def _over(output: exp.Expr, grouping: Grouping, builder: Builder) -> exp.Expr:
    """`output` over the Aggregate's columns. A column that is neither grouped nor aggregated is a fault."""
    text = sql(output)
    if text in grouping.groups:
        return column(grouping.groups[text])
    if text in grouping.measures:
        return column(grouping.measures[text].name)
    if isinstance(output, exp.Column):
        raise builder.place.fault("neither grouped nor aggregated", output, hint="add it to GROUP BY, or aggregate it")
    copy = output.copy()
    for name, value in output.args.items():
        if isinstance(value, exp.Expr):
            copy.set(name, _over(value, grouping, builder))
        elif isinstance(value, list):
            copy.set(name, [_over(v, grouping, builder) if isinstance(v, exp.Expr) else v for v in value])
    return copy
