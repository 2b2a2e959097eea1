"""A query that a random model is composed of: its operator, its inputs, and its SQL in two dialects."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.exact.expressions import Env, Expr
from topline.schema import Type

MOST_PRODUCT = 3_000  # rows that a join by anything but a key may come to


@dataclass(frozen=True)
class Column:
    """`most`: what its absolute value does not exceed, where it is a number."""

    name: str
    type: Type
    nullable: bool
    most: int = 0


@dataclass(frozen=True)
class Slot:
    """An input of an operator. `name`: the operator, for a join with the side."""

    name: str
    relation: "Relation"


@dataclass(frozen=True, eq=False)
class Source:
    """What a SELECT reads: FROM with joins, WHERE, and which expression each column is there."""

    sql: str
    lite: str
    env: Env
    where: Sequence[Expr] = ()


@dataclass(frozen=True, eq=False)
class Relation:
    """operator  its kind: table, project, filter, inner, left, union, group, distinct, top
    name      under which others read it, in both dialects ("shop.orders", a CTE, a model)
    sql, lite its SELECT; '' of a table
    columns, key  what it yields, and what tells its rows apart (None where nothing does)
    most      rows that it has at most
    source    what a SELECT around it may read in its place, of those that do not aggregate
    measures  aggregate functions of a group
    """

    operator: str
    name: str
    sql: str
    lite: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] | None
    most: int
    slots: tuple[Slot, ...] = ()
    source: Source | None = None
    measures: tuple[str, ...] = ()
    model: bool = field(default=False)

    @property
    def inputs(self) -> tuple["Relation", ...]:
        return tuple(slot.relation for slot in self.slots)

    @property
    def reference(self) -> str:
        """How a model names it."""
        if self.operator == "table":
            source, _, table = self.name.partition(".")
            return f"{{{{ source('{source}', '{table}') }}}}"
        return f"{{{{ ref('{self.name}') }}}}" if self.model else self.name

    @property
    def lite_reference(self) -> str:
        return f'"{self.name}"'

    def read_as(self, alias: str) -> Source:
        """Reading this relation itself."""
        env = {c.name: Expr(f"{alias}.{c.name}", f"{alias}.{c.name}", c.type, c.nullable, c.most, True) for c in self.columns}
        return Source(f"{self.reference} as {alias}", f"{self.lite_reference} as {alias}", env)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def of_type(self, *types: Type) -> list[Column]:
        return [column for column in self.columns if column.type in types]


def behind(root: Relation) -> Iterator[Relation]:
    """`root` and all that it reads, inputs first, each once."""
    seen: dict[int, Relation] = {}

    def visit(relation: Relation) -> None:
        if id(relation) not in seen:
            for child in relation.inputs:
                visit(child)
            seen[id(relation)] = relation

    visit(root)
    yield from seen.values()


def within(root: Relation) -> list[Relation]:
    """The CTEs of the model whose root this is, inputs first: those that no other model and no table is."""
    seen: dict[int, Relation] = {}

    def visit(relation: Relation) -> None:
        if id(relation) in seen or relation.operator == "table" or (relation.model and relation is not root):
            return
        for child in relation.inputs:
            visit(child)
        seen[id(relation)] = relation

    visit(root)
    return [relation for relation in seen.values() if relation is not root]


def select(outputs: Mapping[str, Expr], source: Source, tail: str = "", distinct: bool = False) -> tuple[str, str]:
    """A SELECT in both dialects."""
    word = "select distinct" if distinct else "select"
    columns = [", ".join(f"{text} as {name}" for name, text in side) for side in (
        [(name, e.sql) for name, e in outputs.items()], [(name, e.lite) for name, e in outputs.items()]
    )]  # fmt: skip
    return (
        f"{word} {columns[0]} from {source.sql}{_where([e.sql for e in source.where])}{tail}",
        f"{word} {columns[1]} from {source.lite}{_where([e.lite for e in source.where])}{tail}",
    )


def _where(conditions: Sequence[str]) -> str:
    return " where " + " and ".join(f"({condition})" for condition in conditions) if conditions else ""


def columns_of(outputs: Mapping[str, Expr]) -> tuple[Column, ...]:
    return tuple(Column(name, e.type, e.nullable, e.most) for name, e in outputs.items())
