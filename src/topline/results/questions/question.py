"""A question to the published results: rows in a total order, page by page, as one statement with what they stand for."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from topline.schema import Column, Type


@dataclass(frozen=True, slots=True)
class Order:
    """A sort key. NULLs sort as PostgreSQL has them: greater than all."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Rows to be read a page at a time.

    models: the published models that are read; none: what the engine says of itself. tables: other names under which
    templates call a table of the results schema. relation: a SELECT that yields all rows; its `{name}` are tables and
    `parts`, its `%(name)s` are `values`. order: total, by columns of the relation that are answered too. shown: an
    expression over a row `t`, for a column that is not simply the relation's. ranked: `rank` is the place in the order,
    from 1. extra: an expression that yields JSON, answered beside the rows.
    """

    models: tuple[str, ...]
    columns: tuple[Column, ...]
    order: tuple[Order, ...]
    relation: str
    values: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, sql.Composable] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    ranked: bool = False
    extra: str = "NULL"

    @property
    def digest(self) -> str:
        """Tells this question from every other: what is asked, of what, and within which rules; not which page of it."""
        parts = [(name, part.as_string(None)) for name, part in sorted(self.parts.items())]
        asked = (self.models, self.relation, parts, self.order, sorted(self.values.items()), sorted(self.tables.items()))
        return hashlib.blake2b(repr(asked).encode(), digest_size=9).hexdigest()

    @property
    def order_columns(self) -> tuple[Column, ...]:
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[one.column] for one in self.order)

    def place_of(self, row: Mapping[str, Any]) -> list[Any]:
        """Where a row stands in the order, as JSON: the page after it begins there."""
        return [row[one.column] for one in self.order]

    def page(self, tables: Mapping[str, sql.Composable], after: Sequence[Any] | None) -> sql.Composable:
        """The statement of the page behind `after` (None: the first). It takes `values`, and what `page_values` gives."""
        names = {**tables, **self.parts}
        beyond = sql.SQL("true") if after is None else _beyond(self.order, after)
        return sql.SQL(_PAGE).format(
            relation=sql.SQL(self.relation).format(**names),
            beyond=beyond,
            order=sql.SQL(", ").join(_ordered(one) for one in self.order),
            columns=sql.SQL(", ").join(self._shown(column, beyond, after, names) for column in self.columns),
            extra=sql.SQL(self.extra).format(**names),
        )

    def page_values(self, limit: int, after: Sequence[Any] | None) -> dict[str, Any]:
        """One row more than `limit` is read: it says whether another page follows."""
        return {**self.values, "_most": limit + 1, **{f"_after{n}": value for n, value in enumerate(after or ())}}

    def _shown(
        self, column: Column, beyond: sql.Composable, after: Sequence[Any] | None, names: Mapping[str, sql.Composable]
    ) -> sql.Composable:
        """A column as it is answered; money as text."""
        if self.ranked and column.name == "rank":
            before = sql.SQL("" if after is None else "(SELECT count(*) FROM r WHERE NOT ({})) + ").format(beyond)
            return sql.SQL("{}row_number() OVER () AS rank").format(before)
        own = self.shown.get(column.name)
        value = sql.Identifier("t", column.name) if own is None else sql.SQL("({})").format(sql.SQL(own).format(**names))
        text = sql.SQL("::text" if column.type is Type.DECIMAL else "")
        return sql.SQL("{}{} AS {}").format(value, text, sql.Identifier(column.name))


def _ordered(one: Order) -> sql.Composable:
    return sql.SQL("{} {}").format(sql.Identifier(one.column), sql.SQL("DESC" if one.descending else "ASC"))


def _beyond(order: Sequence[Order], after: Sequence[Any]) -> sql.Composable:
    """Whether a row sorts behind `after`: greater in the first column, or the same there and behind in the others."""
    condition: sql.Composable = sql.SQL("false")
    for number in reversed(range(len(order))):
        greater, same = _compared(order[number], sql.Placeholder(f"_after{number}"), after[number] is None)
        condition = sql.SQL("({} OR ({} AND {}))").format(greater, same, condition)
    first = order[0]
    if after[0] is None or not first.descending:
        return condition
    return sql.SQL("{} <= {} AND {}").format(sql.Identifier(first.column), sql.Placeholder("_after0"), condition)


def _compared(one: Order, value: sql.Composable, null: bool) -> tuple[sql.Composable, sql.Composable]:
    """(sorts behind the value, is the value)."""
    column = sql.Identifier(one.column)
    if null:  # the last ascending, the first descending
        behind = sql.SQL("{} IS NOT NULL").format(column) if one.descending else sql.SQL("false")
        return behind, sql.SQL("{} IS NULL").format(column)
    greater = sql.SQL("{} < {}") if one.descending else sql.SQL("({0} > {1} OR {0} IS NULL)")
    return greater.format(column, value), sql.SQL("{} = {}").format(column, value)


_PAGE = """
WITH r AS ({relation})
SELECT coalesce(json_agg(q), '[]') AS rows, {extra} AS extra
FROM (SELECT {columns} FROM (SELECT * FROM r WHERE {beyond} ORDER BY {order} LIMIT %(_most)s) t) q
"""
