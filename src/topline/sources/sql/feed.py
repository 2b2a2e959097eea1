"""One table, asked in pages: each begins behind the last row of the one before, in the order of cursor and key."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa

from topline.schema import TableSchema
from topline.sources.base import Fault
from topline.sources.polled import Cursor, Greatest, Page, Record, begin
from topline.sources.sql.check import table_faults
from topline.sources.sql.database import Database
from topline.sources.sql.order import Order, kinds_of
from topline.sources.sql.settings import SqlSettings, SqlTable
from topline.sources.values import text

Form = Literal["aware", "naive", "text", "plain"]
_FOLD = timedelta(hours=1)  # when clocks go back, local times come twice


class SqlFeed:
    """The rows of one table or view. Every query is one of its own: none holds a transaction open at the origin."""

    def __init__(self, where: str, schema: TableSchema, settings: SqlSettings, database: Database) -> None:
        """`where`: the setting to name in faults. The database is this feed's own, and closed with it."""
        name = schema.name.partition(".")[2]
        self._where, self._schema, self._settings, self._database = where, schema, settings, database
        self._shape: SqlTable = settings.tables[name]
        space, _, table = (self._shape.table or name).rpartition(".")
        self._space, self._name = space or None, table
        self._table = sa.table(table, schema=self._space)
        self._key = [self._column(column) for column in schema.key]
        self._types: Mapping[str, Any] | None = None
        self.incremental, self.steady = self._shape.cursor is not None, True

    def check(self) -> list[Fault]:
        wanted = [self._column(name) for name in self._schema.names]
        return table_faults(self._where, self._database, (self._space, self._name), self._shape, (wanted, self._key))

    def pages(self, since: str | None) -> Iterator[Page]:
        cursor = self._shape.cursor
        if cursor is None:
            yield from self._keyless(sa.true())
            yield from self._keyed(self._wanted(), None)
            return
        if since is None:
            yield from self._keyed(self._wanted(), sa.column(cursor.field).is_(None))
        yield from self._risen(cursor, since)

    def keys(self) -> Iterator[Page]:
        deleted = self._shape.deleted
        return self._keyed([*self._key, *([] if deleted is None else [deleted.field])], None)

    def reread(self, raw: bytes) -> Record:
        values = json.loads(raw)
        if not isinstance(values, dict):
            raise ValueError("a row as a JSON object is expected")
        return Record(values, raw, "a kept row")

    def close(self) -> None:
        self._database.close()

    def _column(self, name: str) -> str:
        """What a declared column is called in the database."""
        return self._shape.columns.get(name, name)

    def _wanted(self) -> list[str]:
        """What is asked for: declared columns, and those that tell where to read on and what is gone."""
        extra = [setting.field for setting in (self._shape.cursor, self._shape.deleted) if setting is not None]
        return list(dict.fromkeys([*(self._column(name) for name in self._schema.names), *extra]))

    def _keyed(self, wanted: Sequence[str], only: sa.ColumnElement[bool] | None) -> Iterator[Page]:
        """All rows in the order of their key."""
        yield from (Page(records) for records, _ in self._paged(wanted, self._order(self._key), only))

    def _risen(self, cursor: Cursor, since: str | None) -> Iterator[Page]:
        """Rows from the cursor on, in the order of cursor and key: each page is a place to go on from.

        They go up to the greatest there was at the beginning. So a poll ends however fast rows come, and what becomes visible
        behind it while it lasts lies within the overlap of where the next one begins.
        """
        order = self._order([cursor.field, *self._key])
        greatest = Greatest(cursor, self._settings.tz, since)
        field: sa.ColumnClause[Any] = sa.column(cursor.field)
        only = field.isnot(None) if since is None else field >= self._bound(begin(since, cursor, self._settings.tz))
        yield from self._keyless(only if since is not None else sa.true())
        last = self._database.rows(sa.select(sa.func.max(field)).select_from(self._table).where(only))[0][0]
        if last is None:
            return
        only = sa.and_(only, field <= last)
        for records, rows in self._paged(self._wanted(), order, only):
            _see_last(greatest, [row[cursor.field] for row in rows])
            yield Page(records, greatest.text)

    def _paged(
        self, wanted: Sequence[str], order: Order, only: sa.ColumnElement[bool] | None
    ) -> Iterator[tuple[list[Record], list[dict[str, Any]]]]:
        """Pages of records, each with its rows as they came, until one is not full."""
        names = list(dict.fromkeys((*wanted, *order.names)))
        query = self._select(names)
        query = query if only is None else query.where(only)
        keyed = query.where(*(sa.column(name).isnot(None) for name in self._key))
        last: dict[str, Any] | None = None
        while found := self._found(names, order.page(keyed, self._shape.page_rows, last)):
            yield [self._record(row) for row in found], found
            if len(found) < self._shape.page_rows:
                break
            last = found[-1]

    def _order(self, names: Sequence[str]) -> Order:
        return Order(names, self._kinds())

    def _keyless(self, only: sa.ColumnElement[bool]) -> Iterator[Page]:
        """Rows without their key, which no order of keys comes to. They can only be kept as they are."""
        names = self._wanted()
        query = self._select(names)
        missing = sa.or_(*(sa.column(name).is_(None) for name in self._key))
        if found := self._found(names, query.where(missing, only)):
            yield Page([self._record(row) for row in found])

    def _kinds(self) -> Mapping[str, Any]:
        if self._types is None:
            self._types = kinds_of(self._database, self._name, self._space)
        return self._types

    def _select(self, names: Sequence[str]) -> sa.Select[Any]:
        """Columns without a type: values come as the driver has them."""
        columns: list[sa.ColumnElement[Any]] = [sa.column(name) for name in names]
        return sa.select(*columns).select_from(self._table)

    def _found(self, names: Sequence[str], query: sa.Select[Any]) -> list[dict[str, Any]]:
        return [dict(zip(names, row, strict=True)) for row in self._database.rows(query)]

    def _record(self, row: dict[str, Any]) -> Record:
        values = row | {name: row.get(place) for name, place in self._shape.columns.items()} if self._shape.columns else row
        return Record(values, _raw, self._place)

    def _place(self, values: Mapping[str, object]) -> str:
        return f"{self._name}: " + ", ".join(f"{name}={values.get(name)}" for name in self._schema.key)

    def _bound(self, value: object) -> object:
        """From where to read, as the column compares it."""
        if isinstance(value, Decimal):
            return math.floor(value)  # not every driver takes a Decimal; a little more is read than needed
        if not isinstance(value, datetime):
            return value
        form = self._form_of(self._shape.cursor)
        if form == "aware":
            return value
        naive = value.astimezone(self._settings.tz).replace(tzinfo=None)
        if self._settings.zone != "UTC":
            naive -= _FOLD  # on the clock's face, whichever of its two passes was meant
        # Text is compared as text: whole seconds, and one earlier, so that no way of writing fractions is passed over.
        return naive if form == "naive" else (naive - timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S")

    def _form_of(self, cursor: Cursor | None) -> Form:
        kind = self._kinds().get(cursor.field if cursor else "")
        if self._database.dialect == "sqlite" or isinstance(kind, sa.String):
            return "text"
        return "aware" if getattr(kind, "timezone", False) else "naive"


def _see_last(greatest: Greatest, values: Sequence[object]) -> None:
    """The last of a page's cursor values that is one: MySQL has dates such as 0000-00-00, SQLite any text."""
    for value in reversed(values):
        with suppress(ValueError):
            greatest.see(value)
            break


def _raw(values: Mapping[str, object]) -> bytes:
    """A row as JSON, its values as text: what a dead letter keeps of it."""
    return json.dumps({name: _plain(value) for name, value in values.items()}, ensure_ascii=True).encode()


def _plain(value: Any) -> str | None:
    try:
        return None if value is None else text(value)
    except ValueError:
        return str(value)
