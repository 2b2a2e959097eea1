"""A table's rows in an answer: found by paths, with the text as it stood, and with the bytes of what is odd about them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lxml import etree

from topline.errors import SourceHalted, TransientError
from topline.schema import TableSchema
from topline.sources.polled import Record
from topline.sources.soap.envelope import body_of
from topline.sources.soap.http import Reply
from topline.sources.soap.mending import Span, mended
from topline.sources.soap.original import Original
from topline.sources.soap.paths import Path, PathError
from topline.sources.soap.references import put_in_place
from topline.sources.soap.settings import SoapTable
from topline.sources.soap.tree import Tree
from topline.sources.soap.walk import Spot, walk
from topline.sources.soap.wsdl import Operation, Wsdl
from topline.sources.soap.xml import Broken, Refused, local, parse


@dataclass(frozen=True, slots=True)
class Answer:
    """`more`, `next`: what the answer says of a following page, None where it says nothing. `print_`: of its rows."""

    records: tuple[Record, ...]
    more: object
    next: object
    print_: bytes


class Reading:
    """How one table's answers are read. Paths are compiled once."""

    def __init__(self, schema: TableSchema, settings: SoapTable) -> None:
        names = [*schema.names, *settings.fields]
        names += [name.field for name in (settings.cursor, settings.deleted) if name is not None]
        self.fields = {name: Path(settings.fields.get(name, f'"{name}"')) for name in dict.fromkeys(names)}
        self.rows = Path(settings.rows)
        paging = settings.paging
        self._paged = paging is not None
        self.more = None if paging is None or paging.more is None else Path(paging.more)
        self.next = None if paging is None or paging.next is None else Path(paging.next)

    def read(self, wsdl: Wsdl, operation: Operation, reply: Reply, page: str) -> Answer:
        """Errors as of `body_of`; SourceHalted where a path does not fit the answer."""
        body, spoilt = _body_of(reply)
        element = _element_of(body, operation)
        placed = operation.rpc and put_in_place(element, body)
        tree = Tree(wsdl.shapes)
        content = tree.value(element, operation.gives or wsdl.shapes.anything)
        try:
            rows, elements = _flat(self.rows.find(content), tree)
            more = self.more.find(content) if self.more else None
            following = self.next.find(content) if self.next else None
        except PathError as error:
            raise SourceHalted(f"rows, paging: {error}") from None
        original = Original(b"" if placed else reply.body, body.getroottree().getroot(), spoilt)
        _mark(spoilt, original, tree, rows, elements)
        records = tuple(
            self._record(row, tree, partial(_bytes, original, found, row if found is None else ""), f"{page}record {place}")
            for place, (row, found) in enumerate(zip(rows, elements, strict=True), 1)
        )
        return Answer(records, more, following, _print(rows) if self._paged else b"")

    def again(self, raw: bytes, wsdl: Wsdl, operation: Operation) -> Record:
        """A row from its bytes alone."""
        try:
            element = parse(raw)
        except (Broken, Refused) as error:
            return Record({}, raw, "", f"it is no XML element: {error}")
        spot = walk(self.rows.tree, Spot(operation.gives or wsdl.shapes.anything), [])
        tree = Tree(wsdl.shapes)
        return self._record(tree.value(element, spot.shape or wsdl.shapes.anything), tree, raw, "")

    def _record(self, row: Any, tree: Tree, raw: Any, locator: str) -> Record:
        if not isinstance(row, dict):
            return Record({}, raw, locator, "a row is an element that holds others, and this one holds none")
        if reason := tree.odd.get(id(row)):
            return Record({}, raw, locator, reason)
        try:
            return Record({name: _field(name, path, row) for name, path in self.fields.items()}, raw, locator)
        except PathError as error:
            return Record({}, raw, locator, str(error))


def _print(rows: list[Any]) -> bytes:
    """128 bits of a page's rows: equal pages have equal ones."""
    return hashlib.blake2b(repr(rows).encode(errors="surrogatepass"), digest_size=16).digest()


def _body_of(reply: Reply) -> tuple[etree._Element, list[Span]]:
    """The body, and where characters stood that no XML can hold, if they are all that is wrong."""
    try:
        return body_of(reply), []
    except TransientError:
        data, spoilt = mended(reply.body)
        if not spoilt or reply.status != 200:
            raise
        try:
            return body_of(replace(reply, body=data)), spoilt
        except (TransientError, SourceHalted):
            pass
        raise


def _mark(spoilt: list[Span], original: Original, tree: Tree, rows: list[Any], elements: list[Any]) -> None:
    """Rows with such characters are odd. TransientError where one stands outside of the rows: what it says is not known."""
    if not spoilt:
        return
    left = set(spoilt)
    for row, element in zip(rows, elements, strict=True):
        found = [] if element is None else original.spoils(element)
        if found:
            left.difference_update(found)
            tree.odd[id(row)] = "it holds a character that XML cannot hold (a control character, a bare &, broken UTF-8)"
    if left:
        raise TransientError("the answer is not whole XML: characters that XML cannot hold stand outside of its rows")


def _field(name: str, path: Path, row: Mapping[str, Any]) -> object:
    """A name alone: the child, or else the attribute. A float can only come from a function of JMESPath, and is not exact."""
    if path.name is not None:
        return row[path.name] if path.name in row else row.get(f"@{path.name}")
    value = path.find(row)
    if isinstance(value, float):
        raise PathError(f"{name}: to_number makes an inexact number; leave it out, the text is exact")
    return value


def _element_of(body: etree._Element, operation: Operation) -> etree._Element:
    """The answer's element. The body itself where parts stand side by side in it."""
    if operation.wrapped:
        return body
    if len(body) == 0:
        raise TransientError("the answer's body is empty")
    found = body[0]
    if operation.answer and local(found.tag) != operation.answer:
        raise SourceHalted(f"{operation.name} answers with <{local(found.tag)}>, where the WSDL says <{operation.answer}>")
    return found


def _flat(found: Any, tree: Tree) -> tuple[list[Any], list[Any]]:
    """What the path to the rows found, as a list, and the element of each (None where it is not known)."""
    if found is None or found == "":
        return [], []
    if not isinstance(found, list):
        return [found], [tree.elements.get(id(found))]
    elements = tree.elements.get(id(found)) or [tree.elements.get(id(row)) for row in found]
    pairs = [
        pair
        for row, element in zip(found, elements, strict=True)
        for pair in (zip(*_flat(row, tree), strict=True) if isinstance(row, list) else [(row, element)])
    ]
    return [row for row, _ in pairs], [element for _, element in pairs]


def _bytes(original: Original, element: etree._Element | None, row: object, _values: object = None) -> bytes:
    """As they came; of a bare text that a path picked out, that text."""
    return original.bytes_of(element) if element is not None else str(row).encode()
