"""What stands in the way of reading a table: seen in the WSDL, and in the first page of an answer."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from topline.errors import SourceHalted, TransientError
from topline.schema import TableSchema
from topline.sources.base import Fault
from topline.sources.polled import Page
from topline.sources.soap.answer import Reading
from topline.sources.soap.paths import Path
from topline.sources.soap.settings import SoapTable
from topline.sources.soap.shapes import Shape
from topline.sources.soap.walk import Spot, walk
from topline.sources.soap.wsdl import Operation, Wsdl


class Table(Protocol):
    """What is looked at: a feed of the kind."""

    schema: TableSchema
    settings: SoapTable
    reading: Reading

    def wsdl(self) -> Wsdl:
        """Loaded."""

    def pages(self, since: str | None) -> Iterator[Page]:
        """As of `topline.sources.polled.Feed`."""


def check(feed: Table) -> list[Fault]:
    """Loads the WSDL; where that tells of no fault, asks for one page."""
    where = feed.schema.name
    try:
        wsdl = feed.wsdl()
        faults = list(_in_wsdl(feed, wsdl.operation(feed.settings.operation)))
        if not faults:
            faults = list(_in_answer(feed))
    except (SourceHalted, TransientError) as error:
        return [Fault(where, str(error))]
    return [Fault(where, problem, remedy) for problem, remedy in faults]


def _in_wsdl(feed: Table, operation: Operation) -> Iterator[tuple[str, str]]:
    for problem in argument_faults(feed.settings.arguments, operation.takes):
        yield problem, f"correct `arguments`; {operation.name} takes {_signature(operation.takes)}"
    if operation.gives is None:
        yield f"{operation.name} gives no answer", "name an operation that lists rows"
        return
    yield from _path_faults(feed, operation.gives)


def _path_faults(feed: Table, gives: Shape) -> Iterator[tuple[str, str]]:
    faults: list[str] = []
    row = walk(feed.reading.rows.tree, Spot(gives), faults)
    yield from ((f"rows: {fault}", f"correct the path {feed.settings.rows!r}") for fault in faults)
    if not faults and row.shape is not None and row.shape.is_text:
        yield "rows: the path leads to plain text, not to elements with fields", "name the element around it"
    for name, path in (("paging.more", feed.reading.more), ("paging.next", feed.reading.next)):
        for fault in () if path is None else _walked(path, gives):
            yield f"{name}: {fault}", "correct the path"
    if row.shape is not None and row.shape.children is not None and not row.shape.is_text:
        yield from _field_faults(feed, row.shape)


def _field_faults(feed: Table, row: Shape) -> Iterator[tuple[str, str]]:
    for name, path in feed.reading.fields.items():
        if path.name is not None and path.name in row.attributes:
            continue
        for fault in _walked(path, row):
            yield f"{name}: {fault}", f"write the path of {name} in `fields`"


def _walked(path: Path, shape: Shape) -> list[str]:
    faults: list[str] = []
    walk(path.tree, Spot(shape), faults)
    return faults


def _in_answer(feed: Table) -> Iterator[tuple[str, str]]:
    page = next(iter(feed.pages(None)), None)
    records = [] if page is None else page.records
    odd = [record for record in records if record.fault]
    if odd:
        yield f"{len(odd)} of {len(records)} rows cannot be read: {odd[0].locator}: {odd[0].fault}", "they become dead letters"
    read = [record.values for record in records if not record.fault]
    needed = dict.fromkeys((*feed.schema.key, *((feed.settings.cursor.field,) if feed.settings.cursor else ())))
    for name in needed:
        if read and all(values.get(name) is None for values in read):
            yield f"none of the {len(read)} rows of the first answer has {name}", f"write its path in `fields`: {name}: ..."


def argument_faults(arguments: Any, takes: Shape | None, place: str = "") -> Iterator[str]:
    """Names that the operation does not take, and required ones that are missing."""
    if not isinstance(arguments, Mapping) or takes is None:
        return
    if "xsi:type" in arguments or takes.is_text:
        return  # zeep says what is wrong with these
    names = {*takes.known, *takes.attributes}
    grouped = any(str(name).startswith("_value_") for name in arguments)
    for name, value in arguments.items():
        if name in takes.known:
            yield from _nested_faults(value, takes.child(name), f"{place}{name}.")
        elif takes.children is not None and name not in names and not grouped:
            yield f"there is no argument {place}{name}"
    if not grouped:
        required = (*(child.name for child in takes.known.values() if child.required), *takes.required_attributes)
        yield from (f"the argument {place}{name} is missing" for name in required if name not in arguments)


def _nested_faults(value: Any, shape: Shape, place: str) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        yield from argument_faults(one, shape, place)


def _signature(takes: Shape | None) -> str:
    if takes is None:
        return "none"
    names = [f"{child.name}{'' if child.required else '?'}{'[]' if child.repeats else ''}" for child in takes.known.values()]
    return ", ".join([*names, *takes.attributes]) or "none"
