"""FROM and JOIN: the rows that one SELECT starts from, and under which names its columns are found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from topline.models.builder import Builder, column
from topline.models.faults import Place
from topline.models.plan import Node

Relation = Callable[[exp.Expr], Node]


@dataclass(frozen=True, slots=True)
class Frame:
    """names: (alias, column), both lower case -> column of `node`."""

    node: Node
    names: Mapping[tuple[str, str], str]

    def resolve(self, expression: exp.Expr, place: Place) -> exp.Expr:
        """A copy of `expression` over the columns of `node`."""

        def replace(part: exp.Expr) -> exp.Expr:
            if not isinstance(part, exp.Column):
                return part
            name = self.names.get((part.table.lower(), part.name.lower()))
            if name is None:
                raise place.fault("unknown column", part, hint=f"there are {', '.join(sorted(self.names.values()))}")
            return _marked(column(name), part)

        return expression.copy().transform(replace)


def _marked(new: exp.Column, old: exp.Column) -> exp.Column:
    new.meta.update(old.this.meta or old.meta)
    return new


def frame_of(select: exp.Select, relation: Relation, builder: Builder) -> Frame:
    """The frame of `select`; `relation` plans what FROM and JOIN name. Joined sides keep only the columns that are used."""
    source = select.args["from_"].this
    joins: Sequence[exp.Join] = select.args.get("joins") or []
    used = {(c.table.lower(), c.name.lower()) for c in select.find_all(exp.Column)} if joins else None
    frame = _single(source, relation(source), used, builder)
    for join in joins:
        frame = _joined(frame, join, _single(join.this, relation(join.this), used, builder), builder)
    return frame


def _single(source: exp.Expr, node: Node, used: set[tuple[str, str]] | None, builder: Builder) -> Frame:
    alias = source.alias_or_name.lower()
    if used is not None:
        node = builder.pick(node, [c.name for c in node.columns if (alias, c.name.lower()) in used] or [node.columns[0].name])
    return Frame(node, {(alias, c.name.lower()): c.name for c in node.columns})


def _joined(left: Frame, join: exp.Join, right: Frame, builder: Builder) -> Frame:
    kind = "left" if join.side == "LEFT" else "inner"
    condition = join.args.get("on")
    if condition is None:
        raise builder.place.fault("a join without ON", join, hint="join on equal columns: ON a.x = b.x")
    equal, rest = _split(condition, set(left.names), set(right.names))
    if not equal:
        raise builder.place.fault("a join without an equality of both sides", join, hint="join on equal columns: ON a.x = b.x")
    if rest and kind == "left":
        hint = "filter the right side in a CTE of its own, or the result in WHERE"
        raise builder.place.fault("a LEFT JOIN with a condition beyond equality", rest[0], hint=hint)
    left, left_on = _columns(left, [pair[0] for pair in equal], builder)
    right, right_on = _columns(right, [pair[1] for pair in equal], builder)
    _same_types(left.node, left_on, right.node, right_on, equal, builder.place)
    frame = _merged(left, right, kind, list(zip(left_on, right_on, strict=True)), builder)
    return _filtered(frame, rest, builder)


def _split(
    condition: exp.Expr, left: set[tuple[str, str]], right: set[tuple[str, str]]
) -> tuple[list[tuple[exp.Expr, exp.Expr]], list[exp.Expr]]:
    """Equalities as (left side, right side), and the conditions beyond them."""
    equal, rest = [], []
    for part in conjuncts(condition):
        sides = (part.this, part.expression) if isinstance(part, exp.EQ) else None
        if sides and _within(sides[0], left) and _within(sides[1], right):
            equal.append(sides)
        elif sides and _within(sides[0], right) and _within(sides[1], left):
            equal.append((sides[1], sides[0]))
        else:
            rest.append(part)
    return equal, rest


def _within(expression: exp.Expr, names: set[tuple[str, str]]) -> bool:
    found = [(c.table.lower(), c.name.lower()) for c in expression.find_all(exp.Column)]
    return bool(found) and all(name in names for name in found)


def conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    """The parts of a condition that AND connects."""
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        return [*conjuncts(condition.this), *conjuncts(condition.expression)]
    return [condition]


def _columns(frame: Frame, expressions: Sequence[exp.Expr], builder: Builder) -> tuple[Frame, list[str]]:
    """The frame with a column for each expression, and these columns' names."""
    resolved = [frame.resolve(e.unnest(), builder.place) for e in expressions]
    names = [c.name for c in frame.node.columns]
    computed = {f"on_{len(names) + i}": e for i, e in enumerate(resolved) if not isinstance(e, exp.Column)}
    if not computed:
        return frame, [e.name for e in resolved]
    node = builder.select(frame.node, [*names, *computed], [*(column(n) for n in names), *computed.values()])
    by_place = [e.name if isinstance(e, exp.Column) else f"on_{len(names) + i}" for i, e in enumerate(resolved)]
    return Frame(node, frame.names), by_place


def _same_types(
    left: Node, left_on: list[str], right: Node, right_on: list[str],
    clauses: list[tuple[exp.Expr, exp.Expr]], place: Place,
) -> None:  # fmt: skip
    types = [{c.name: c.type for c in node.columns} for node in (left, right)]
    for a, b, clause in zip(left_on, right_on, clauses, strict=True):
        if types[0][a] is not types[1][b]:
            message = f"a join of {types[0][a].value} with {types[1][b].value}"
            raise place.fault(message, clause[0].parent, hint="cast one to the other's type")


def _merged(left: Frame, right: Frame, kind: str, on: list[tuple[str, str]], builder: Builder) -> Frame:
    taken = [c.name for c in left.node.columns]
    prefix = next((alias for alias, _ in right.names), "right")
    renamed = {c.name: _free(c.name, prefix, taken) for c in right.node.columns}
    names = [*taken, *renamed.values()]
    node = builder.join(kind, left.node, right.node, names, on)
    return Frame(node, {**left.names, **{key: renamed[name] for key, name in right.names.items()}})


def _free(name: str, prefix: str, taken: list[str]) -> str:
    return name if name not in taken else f"{prefix}.{name}"


def _filtered(frame: Frame, rest: Sequence[exp.Expr], builder: Builder) -> Frame:
    if not rest:
        return frame
    names = [c.name for c in frame.node.columns]
    where = exp.and_(*(frame.resolve(part, builder.place) for part in rest))
    return Frame(builder.select(frame.node, names, [column(n) for n in names], where), frame.names)
