"""Bounded top-N: ROW_NUMBER() in a query, and the reader's condition that bounds it."""

from dataclasses import dataclass

from sqlglot import exp

from topline.models.faults import Place
from topline.models.frames import conjuncts
from topline.models.plan import Order

UNBOUNDED = "filter the rank in the query that reads it: WHERE rank <= 100 (a top-N keeps N rows of each partition)"


@dataclass(frozen=True, slots=True)
class Ranking:
    """A select's ROW_NUMBER(): the column that it becomes ('' when only QUALIFY has it), and its window."""

    name: str
    window: exp.Window


def ranking_of(select: exp.Select, place: Place) -> Ranking | None:
    """The select's ranking. More than one, or one inside another expression, is a fault."""
    found = [(p, w) for p in select.selects for w in p.find_all(exp.Window)]
    qualify = select.args.get("qualify")
    outside = [w for w in (qualify.find_all(exp.Window) if qualify else []) if w not in [pair[1] for pair in found]]
    if len(found) + len(outside) > 1:
        raise place.fault("two rankings in one SELECT", select, hint="put each into a CTE of its own")
    for projection, window in found:
        if projection.unalias() is not window:
            raise place.fault("ROW_NUMBER() inside an expression", projection, hint="compute with it in the query around")
        return Ranking(projection.alias_or_name, window)
    return Ranking("", outside[0]) if outside else None


def order_of(window: exp.Window) -> list[exp.Ordered]:
    """The sort keys of a window."""
    order: exp.Order = window.args["order"]
    return list(order.expressions)


def as_order(name: str, ordered: exp.Ordered) -> Order:
    return Order(name, bool(ordered.args.get("desc")), bool(ordered.args.get("nulls_first")))


def bound_in(condition: exp.Expr, alias: str, name: str) -> tuple[int | None, exp.Expr | None]:
    """The smallest bound that `condition` sets on `alias.name` (or on a window itself), and what else it asks."""
    bounds: list[int] = []
    rest: list[exp.Expr] = []
    for part in conjuncts(condition):
        if (bound := _bound(part, alias, name)) is None:
            rest.append(part)
        else:
            bounds.append(bound)
    return min(bounds, default=None), exp.and_(*rest) if rest else None


def _bound(part: exp.Expr, alias: str, name: str) -> int | None:
    mirrored: dict[type[exp.Expr], type[exp.Expr]] = {exp.GTE: exp.LTE, exp.GT: exp.LT, exp.EQ: exp.EQ}
    kind: type[exp.Expr] = type(part)
    left, right = part.args.get("this"), part.args.get("expression")
    if isinstance(left, exp.Literal) and kind in mirrored:
        kind, left, right = mirrored[kind], right, left
    is_rank = isinstance(left, exp.Column) and (left.table.lower(), left.name.lower()) == (alias, name.lower())
    if not (is_rank or isinstance(left, exp.Window)) or not isinstance(right, exp.Literal) or not right.is_int:
        return None
    value = int(right.name)
    if kind is exp.EQ:
        return 1 if value == 1 else None
    return value if kind is exp.LTE else value - 1 if kind is exp.LT else None
