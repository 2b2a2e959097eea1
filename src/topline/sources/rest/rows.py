"""A record's fields by the names of the columns: members of their own name, or what JMESPath finds."""

from collections.abc import Callable, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from topline.schema import TableSchema
from topline.sources.polled import Record
from topline.sources.rest.bodies import Element
from topline.sources.rest.jsontext import Number, dumps
from topline.sources.rest.settings import RestTable

Getter = Callable[[Mapping[str, Any]], Any]


class Fields:
    """What is taken of each record: the declared columns, and the fields that `deleted` and `cursor` name."""

    def __init__(self, table: RestTable, schema: TableSchema) -> None:
        named = [] if table.deleted is None else [table.deleted.field]
        if table.cursor is not None and table.since is not None and table.since.place == "row":
            named.append(table.cursor.field)
        self._getters = {name: _getter(name, table.fields) for name in schema.names}
        self._getters |= {name: _getter(name, table.fields, inward=True) for name in named if name not in self._getters}

    def record(self, element: Element, locator: str) -> Record:
        """As a record of the feed; with its fault where a field cannot be had."""

        def raw(_: Mapping[str, object]) -> bytes:
            return element.raw()

        if element.fault:
            return Record({}, raw, locator, element.fault)
        try:
            values = {name: _plain(get(element.value)) for name, get in self._getters.items()}
        except (JMESPathError, ValueError, TypeError, RecursionError) as error:
            return Record({}, raw, locator, (str(error).splitlines() or ["its fields cannot be read"])[0])
        return Record(values, raw, locator)


def _getter(name: str, fields: Mapping[str, str], inward: bool = False) -> Getter:
    """`inward`: a name that no column has may be a JMESPath itself (`meta.deleted`)."""
    if name in fields:
        return _search(fields[name])
    if inward:
        try:
            inner = _search(name)
        except JMESPathError:
            return lambda record: record.get(name)
        return lambda record: record[name] if name in record else inner(record)
    return lambda record: record.get(name)


def _search(expression: str) -> Getter:
    search = jmespath.compile(expression).search
    return lambda record: search(record)


def _plain(value: Any) -> object:
    """As columns hold it: numbers by their token, nested values as JSON."""
    match value:
        case Number():
            return str.__str__(value)
        case dict() | list():
            return dumps(value)
        case float():
            raise ValueError(f"{value!r} was computed as a float: take the member as it is, and compute in staging")
        case _:
            return value
