"""SOAP headers from settings: those that the WSDL declares by their schema, others as they are written down."""

from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree
from zeep.exceptions import Error as ZeepError


def soap_headers(settings: Mapping[str, Any], operation: Any, schema: Any) -> list[etree._Element]:
    """One element a setting. ValueError where a name is neither declared by the WSDL nor `{namespace}Name`."""
    return [_header(name, content, operation, schema) for name, content in settings.items()]


def _header(name: str, content: Any, operation: Any, schema: Any) -> etree._Element:
    declared = _declared(name, operation, schema)
    if declared is not None:
        parent = etree.Element("parent")
        value = declared(**content) if isinstance(content, dict) else declared(content)
        declared.render(parent, value, ["header", name])
        return parent[0]
    if not name.startswith("{"):
        known = ", ".join(part for part, _ in _parts(operation)) or "none"
        raise ValueError(f"soap_headers.{name}: the WSDL declares no such header (it has {known}); write {{namespace}}{name}")
    return _plain(name, content)


def _declared(name: str, operation: Any, schema: Any) -> Any:
    """By the header's part, its element's name, or a global element of the schema."""
    for part, element in _parts(operation):
        if name in {part, element.name, element.qname.text}:
            return element
    if name.startswith("{"):
        try:
            return schema.get_element(name)
        except (ZeepError, ValueError):
            return None
    return None


def _parts(operation: Any) -> Iterator[tuple[str, Any]]:
    header = operation.input.header if operation.input is not None else None
    return iter(header.type.elements if header is not None else ())


def _plain(name: str, content: Any) -> etree._Element:
    """An element whose children, by mapping or list, are in its namespace."""
    element = etree.Element(name)
    namespace = etree.QName(name).namespace
    if isinstance(content, dict):
        for child, value in content.items():
            for one in value if isinstance(value, list) else [value]:
                qualified = child if child.startswith("{") or not namespace else f"{{{namespace}}}{child}"
                element.append(_plain(qualified, one))
    elif content is not None:
        element.text = str(content).lower() if isinstance(content, bool) else str(content)
    return element
