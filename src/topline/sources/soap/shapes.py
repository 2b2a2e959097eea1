"""What a WSDL's schema says of an element's content: which elements it may hold, which repeat, and which are plain text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lxml import etree
from zeep import exceptions, xsd
from zeep.xsd.elements.indicators import Group, OrderIndicator
from zeep.xsd.types.builtins import String, Token
from zeep.xsd.types.collection import UnionType

from topline.sources.soap.xml import ARRAY_SIZE, ARRAY_TYPE, ENCODING_11, ENCODING_12, ITEM_TYPE, XSI_TYPE, qname

_ARRAYS = frozenset({(ENCODING_11, "Array"), (ENCODING_12, "Array")})


@dataclass(frozen=True, slots=True)
class Child:
    """An element among the content of another. `repeats`: it may stand there more than once."""

    name: str
    type: Any
    repeats: bool
    required: bool


class Shape:
    """The content of an element of one type. Built as it is looked at: types may hold themselves."""

    def __init__(self, shapes: "Shapes", type_: Any) -> None:
        self._shapes, self._type = shapes, type_

    @cached_property
    def is_text(self) -> bool:
        """Plain text, perhaps with attributes beside it (xsd:simpleContent)."""
        return self._simple is not None

    @cached_property
    def collapses(self) -> bool:
        """White space around the text is not part of the value (numbers, dates, booleans; XSD part 2, whiteSpace)."""
        simple = self._simple
        if simple is None or isinstance(simple, UnionType) or type(simple) is xsd.AnySimpleType:
            return False
        return isinstance(simple, Token) or not isinstance(simple, String)

    @cached_property
    def children(self) -> Mapping[str, Child] | None:
        """By local name. None: anything may be there."""
        if self.is_text:
            return {}
        if not isinstance(self._type, xsd.ComplexType) or self.array_of is not None or self._any:
            return None
        return {child.name: child for child in self._walked}

    @cached_property
    def known(self) -> Mapping[str, Child]:
        """The children that are declared, also where others may stand beside them."""
        return {child.name: child for child in self._walked}

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        if not isinstance(self._type, xsd.ComplexType):
            return ()
        return tuple(attribute.name for _, attribute in self._type.attributes if attribute.name)

    @cached_property
    def required_attributes(self) -> tuple[str, ...]:
        if not isinstance(self._type, xsd.ComplexType):
            return ()
        return tuple(item.name for _, item in self._type.attributes if item.name and getattr(item, "required", False))

    @cached_property
    def array_of(self) -> "Shape | None":
        """A SOAP-ENC array: the shape of its items."""
        if isinstance(self._type, xsd.ComplexType):
            for _, attribute in self._type.attributes:
                if attribute.qname is not None and attribute.qname.text == ARRAY_TYPE:
                    declared = getattr(attribute.array_type, "array_type", None) or attribute.array_type
                    return self._shapes.of(declared) if declared is not None else self._shapes.anything
        return None

    def child(self, name: str) -> "Shape":
        """The shape of a child, declared or not."""
        return self._of_children.get(name, self._shapes.anything)

    @cached_property
    def _of_children(self) -> Mapping[str, "Shape"]:
        return {name: self._shapes.of(child.type) for name, child in self.known.items()}

    @cached_property
    def _simple(self) -> Any:
        """The simple type of the text, or None."""
        if isinstance(self._type, xsd.AnySimpleType):
            return self._type
        content = self._content
        return content.type if isinstance(content, xsd.Element) and isinstance(content.type, xsd.AnySimpleType) else None

    @property
    def _content(self) -> Any:
        nested = self._type.elements_nested if isinstance(self._type, xsd.ComplexType) else ()
        return nested[0][1] if nested else None

    @cached_property
    def _walked(self) -> list[Child]:
        if self.is_text or self._content is None:
            return []
        merged: dict[str, Child] = {}
        for child in _children(self._content, repeats=False, required=True):
            twice = child.name in merged
            merged[child.name] = Child(child.name, child.type, child.repeats or twice, child.required)
        return list(merged.values())

    @cached_property
    def _any(self) -> bool:
        return self._content is not None and _holds_any(self._content)


def _children(item: Any, *, repeats: bool, required: bool) -> Iterator[Child]:
    if not isinstance(item, Group | OrderIndicator | xsd.Element):
        return
    repeats = repeats or item.max_occurs != 1
    required = required and not item.is_optional
    if isinstance(item, Group):
        yield from _children(item.child, repeats=repeats, required=required)
    elif isinstance(item, OrderIndicator):
        for part in item:
            yield from _children(part, repeats=repeats, required=required and not isinstance(item, xsd.Choice))
    else:
        yield Child(str(item.name), item.type, repeats, required and not item.nillable)


def _holds_any(item: Any) -> bool:
    """xsd:any, or a schema that stands before its data (the DataSet of .NET)."""
    if isinstance(item, Group):
        return _holds_any(item.child)
    return any(map(_holds_any, item)) if isinstance(item, OrderIndicator) else not isinstance(item, xsd.Element)


class Shapes:
    """The shapes of one WSDL's types."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._of: dict[int, Shape] = {}
        self._named: dict[tuple[str, str], Shape | None] = {}
        self.anything = Shape(self, xsd.AnyType())  # type: ignore[no-untyped-call]

    def of(self, type_: Any) -> Shape:
        found = self._of.get(id(type_))
        if found is None:
            found = self._of[id(type_)] = Shape(self, type_)
        return found

    def named(self, name: tuple[str, str]) -> Shape | None:
        """By namespace and local name; None where the WSDL does not declare it."""
        if name not in self._named:
            try:
                type_ = self._schema.get_type(etree.QName(name[0] or None, name[1]), fail_silently=True)
            except (exceptions.Error, ValueError):
                type_ = None
            self._named[name] = None if type_ is None else self.of(type_)
        return self._named[name]

    def actual(self, element: etree._Element, declared: Shape) -> Shape:
        """By the element's own xsi:type, where it has one that is known."""
        if (text := element.get(XSI_TYPE)) is None:
            return declared
        return self.named(qname(str(text), element)) or declared

    def items_of(self, element: etree._Element, shape: Shape) -> Shape | None:
        """The shape of an encoded array's items (SOAP 1.1 section 5.4.2, SOAP 1.2 part 2 section 3.3); None: it is no array."""
        named = element.get(ARRAY_TYPE) or element.get(ITEM_TYPE)
        if named is not None:
            return self.named(qname(str(named).partition("[")[0], element)) or self.anything
        typed = element.get(XSI_TYPE)
        if element.get(ARRAY_SIZE) is not None or (typed is not None and qname(str(typed), element) in _ARRAYS):
            return self.anything
        return shape.array_of
