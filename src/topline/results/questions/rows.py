"""The rows of any published model, as it declares them."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from topline.results.questions.places import CITY, Places, within
from topline.results.questions.question import Listing, Order
from topline.schema import TableSchema


def orders(key: Sequence[str], indexes: Sequence[Sequence[str]]) -> dict[str, tuple[Order, ...]]:
    """What a model may be ordered by, its key first: `date,-total_sales,city` (a minus: descending) -> the total order."""
    declared = [tuple(Order(name) for name in key), *(tuple(map(_order, index)) for index in indexes)]
    return {",".join(map(_spelled, order)): _total(order, key) for order in declared}


def model_rows(
    schema: TableSchema, order: tuple[Order, ...], filters: Mapping[str, Any], places: Places | None = None
) -> Listing:
    """The rows whose columns have the values of `filters`. With `places` the model has country, region and city."""
    only = within(places)
    columns = [sql.Identifier(name) for name in filters]
    equal: list[sql.Composable] = [sql.SQL("{} = {}").format(c, sql.Placeholder(f"_is{n}")) for n, c in enumerate(columns)]
    return Listing(
        models=(schema.name,),
        tables={"data": schema.name},
        columns=schema.columns,
        order=order,
        relation="SELECT * FROM {data} WHERE {only} AND {equal}",
        values={**only.values, **{f"_is{n}": value for n, value in enumerate(filters.values())}},
        parts={"only": only.text, "equal": sql.SQL(" AND ").join(equal or [sql.SQL("true")])},
    )


def has_cities(schema: TableSchema) -> bool:
    """Whether a rule about cities can be kept on its rows."""
    return set(CITY) <= set(schema.names)


def _order(part: str) -> Order:
    """`column`, `column asc` or `column desc`, as an index declares it."""
    column, _, direction = part.strip().partition(" ")
    return Order(column, descending=direction.strip().lower() == "desc")


def _spelled(order: Order) -> str:
    return f"-{order.column}" if order.descending else order.column


def _total(order: tuple[Order, ...], key: Sequence[str]) -> tuple[Order, ...]:
    named = {one.column for one in order}
    return (*order, *(Order(name) for name in key if name not in named))
