"""In which order pages follow each other: columns as the database compares them, with the values that it gives."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from topline.errors import SourceHalted
from topline.sources.sql.database import Database


class Order:
    """Of a table's columns, which together are unique."""

    def __init__(self, names: Sequence[str], kinds: Mapping[str, Any]) -> None:
        """`kinds`: SQLAlchemy types by column, where known. SourceHalted for a column that no order can rest on."""
        for name in names:
            if fault := inexact(name, kinds.get(name)):
                raise SourceHalted(fault)
        self.names = tuple(names)
        self._columns = [(name, _compared(name, kinds.get(name))) for name in names]

    def page(self, query: sa.Select[Any], rows: int, last: Mapping[str, Any] | None) -> sa.Select[Any]:
        """The next rows of `query`: those behind the row `last`."""
        query = query.order_by(*(field for _, field in self._columns)).limit(rows)
        if last is None:
            return query
        return query.where(_behind([(field, last[name]) for name, field in self._columns]))


def kinds_of(database: Database, table: str, schema: str | None) -> Mapping[str, Any]:
    """The types of a table's columns; {} where this user may read it, but not look at it."""
    try:
        return database.columns(table, schema)
    except SourceHalted:
        return {}


def inexact(name: str, kind: Any) -> str:
    """Why rows cannot be read in the order of such a column; '' where they can. MySQL gives six digits of a FLOAT."""
    if isinstance(kind, mysql.FLOAT):
        return f"the column {name} is a FLOAT: the database gives other values than it compares; read on by another column"
    return ""


def _compared(name: str, kind: Any) -> sa.ColumnElement[Any]:
    """An ENUM is ordered by the places of its values, and compared with a text as text: here as text both times."""
    field: sa.ColumnClause[Any] = sa.column(name)
    return sa.cast(field, sa.CHAR if isinstance(kind, mysql.ENUM) else sa.Text) if isinstance(kind, sa.Enum) else field


def _behind(place: Sequence[tuple[sa.ColumnElement[Any], Any]]) -> sa.ColumnElement[bool]:
    """Rows that come after this one in the order of these columns: a > x OR (a = x AND (b > y OR ...))."""
    (field, value), *rest = place
    return field > value if not rest else sa.or_(field > value, sa.and_(field == value, _behind(rest)))
