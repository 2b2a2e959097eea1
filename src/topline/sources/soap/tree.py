"""An answer's XML as nested values with the text as it stood: what paths are evaluated over."""

from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from topline.sources.soap.shapes import Shape, Shapes
from topline.sources.soap.xml import ENCODING_11, ENCODING_12, SOAP_11, SOAP_12, XSI, XSI_NIL, local

_NOT_CONTENT = (f"{{{XSI}}}", f"{{{ENCODING_11}}}", f"{{{ENCODING_12}}}", f"{{{SOAP_11}}}", f"{{{SOAP_12}}}")


@dataclass(slots=True)
class Tree:
    """
    An element becomes
      - None, where xsi:nil says so;
      - its text, where it holds text only; its attributes then stand beside it in its parent, as `name@attribute`;
      - otherwise a mapping: local name of each child -> value (a list, where it is declared to repeat or does),
        `@name` -> attribute, `#text` -> text between the children;
      - a list of its items, where it is a SOAP-ENC array.

    elements  id of a mapping or of a list -> the element(s) it was made of
    odd       id of a mapping -> what about it, or below it, is not as declared
    """

    shapes: Shapes
    elements: dict[int, Any] = field(default_factory=dict)
    odd: dict[int, str] = field(default_factory=dict)

    def value(self, element: etree._Element, declared: Shape) -> Any:
        """The element as a value. `declared`: the shape that the schema gives it."""
        shape, items = declared, declared.array_of
        if element.attrib:
            if element.get(XSI_NIL) in {"true", "1"}:
                return None
            shape = self.shapes.actual(element, declared)
            items = self.shapes.items_of(element, shape)
        if items is not None:
            return self._list(list(element), items)
        if len(element) == 0 and _is_text(element, shape):
            text = element.text or ""
            return text.strip(" \t\r\n") if shape.collapses else text
        return self._mapping(element, shape)

    def _list(self, elements: list[etree._Element], shape: Shape) -> list[Any]:
        values = [self.value(element, shape) for element in elements]
        self.elements[id(values)] = elements
        return values

    def _mapping(self, element: etree._Element, shape: Shape) -> dict[str, Any]:
        result: dict[str, Any] = {f"@{name}": value for name, value in _attributes(element)}
        text = "".join((element.text or "", *(child.tail or "" for child in element)))
        if text.strip():
            result["#text"] = text
        self.elements[id(result)] = element
        if shape.is_text:
            self.odd[id(result)] = f"{local(element.tag)} holds elements, and text is declared"
        groups: dict[str, list[etree._Element]] = {}
        for child in element:
            groups.setdefault(local(child.tag), []).append(child)
        for name, children in groups.items():
            self._put(result, name, children, shape)
        return result

    def _put(self, result: dict[str, Any], name: str, children: list[etree._Element], shape: Shape) -> None:
        declared, of = shape.known.get(name), shape.child(name)
        if len(children) == 1 and not (declared is not None and declared.repeats):
            value = self.value(children[0], of)
            if isinstance(value, str) and children[0].attrib:
                result |= {f"{name}@{attribute}": text for attribute, text in _attributes(children[0])}
        else:
            value = self._list(children, of)
            if declared is not None and not declared.repeats:
                self.odd[id(result)] = f"{name} stands there {len(children)} times, and once is declared"
        result[name] = value
        if self.odd:
            self._note(result, value)

    def _note(self, result: dict[str, Any], value: Any) -> None:
        """What is odd below is odd here too."""
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, dict | list) and (reason := self.odd.get(id(one))):
                self.odd.setdefault(id(result), reason)


def _is_text(element: etree._Element, shape: Shape) -> bool:
    """Of an element without children. Where the schema does not say, one that has nothing but attributes is a mapping."""
    if shape.is_text:
        return True
    if shape.children is not None or shape.known:
        return False
    return bool((element.text or "").strip()) or not any(_attributes(element))


def _attributes(element: etree._Element) -> list[tuple[str, str]]:
    """Those that belong to the content: not those of XML Schema, SOAP and its encoding."""
    if not element.attrib:
        return []
    return [(local(str(name)), str(value)) for name, value in element.attrib.items() if not str(name).startswith(_NOT_CONTENT)]
