"""The references of SOAP encoding (multiRef) put in place: `href="#id"` (SOAP 1.1) and `enc:ref="id"` (SOAP 1.2)."""

from copy import deepcopy

from lxml import etree

from topline.errors import SourceHalted
from topline.sources.soap.xml import ARRAY_TYPE, ENCODING_12, ITEM_TYPE, XSI_TYPE, qname

_REF, _ID = f"{{{ENCODING_12}}}ref", f"{{{ENCODING_12}}}id"
_TIMES = 10  # an answer may grow to as many times its elements: a few references among themselves could make billions
_SPARE = 10_000
_DEEPEST = 200


def put_in_place(answer: etree._Element, body: etree._Element) -> bool:
    """Each referring element below `answer` gets content and attributes of the one in `body` that it refers to. Whether there
    was any. SourceHalted where references lead to themselves, or multiply without bounds.
    """
    targets = {name: element for element in body.iter() if (name := element.get("id") or element.get(_ID))}
    if not any(_reference(element) in targets for element in answer.iter()):
        return False
    _Places(targets, _TIMES * sum(1 for _ in body.iter()) + _SPARE).fill(answer, (), 0)
    return True


def _reference(element: etree._Element) -> str | None:
    href = element.get("href")
    return href[1:] if href is not None and href.startswith("#") else element.get(_REF)


class _Places:
    def __init__(self, targets: dict[str, etree._Element], most: int) -> None:
        self._targets, self._most, self._count = targets, most, 0

    def fill(self, element: etree._Element, trail: tuple[str, ...], depth: int) -> None:
        name = _reference(element)
        if name is not None and name in self._targets:
            if name in trail:
                raise SourceHalted(f"the answer's references lead to themselves (id {name!r}), which no row can hold")
            element, trail = self._copied(self._targets[name], element), (*trail, name)
        if depth > _DEEPEST:
            raise SourceHalted(f"the answer's references nest deeper than {_DEEPEST} elements")
        for child in list(element):
            self.fill(child, trail, depth + 1)

    def _copied(self, source: etree._Element, element: etree._Element) -> etree._Element:
        """`element` replaced by a copy of `source` under its name."""
        self._count += sum(1 for _ in source.iter())
        if self._count > self._most:
            raise SourceHalted(f"the answer's references multiply to more than {self._most:,} elements")
        _qualify(source)
        copy = etree.Element(element.tag)
        copy.text, copy.tail = source.text, element.tail
        for key, value in source.attrib.items():
            if key not in {"id", _ID}:
                copy.set(key, value)
        copy.extend([deepcopy(child) for child in source])
        parent = element.getparent()
        if parent is not None:
            parent.replace(element, copy)
        return copy


def _qualify(source: etree._Element) -> None:
    """Types are written as `{namespace}name`: their prefixes may not be declared where the copy will stand."""
    for element in source.iter():
        for attribute in (XSI_TYPE, ARRAY_TYPE, ITEM_TYPE):
            if (written := element.get(attribute)) is not None:
                name, bracket, size = written.partition("[")
                element.set(attribute, "{{{}}}{}".format(*qname(name, element)) + bracket + size)
