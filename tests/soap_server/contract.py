"""The contract: the WSDL files beside this, read with lxml alone. Messages are held to their schemas."""

from functools import cached_property
from pathlib import Path

from lxml import etree

WSDLS = Path(__file__).parent / "wsdl"
XSD = "http://www.w3.org/2001/XMLSchema"


class Contract:
    """One WSDL's schema. `source`: the file that has it, the WSDL itself or what it imports."""

    def __init__(self, source: str) -> None:
        self._path = WSDLS / source

    def valid(self, element: etree._Element) -> etree._Element:
        """`element`, which is as the schema declares it. ValueError says where it is not."""
        alone = etree.fromstring(etree.tostring(element, with_tail=False))
        if not self._schema.validate(alone):
            raise ValueError(str(self._schema.error_log))
        return element

    @cached_property
    def _schema(self) -> etree.XMLSchema:
        root = etree.parse(str(self._path)).getroot()
        schema = root if root.tag == f"{{{XSD}}}schema" else root.find(f".//{{{XSD}}}schema")
        assert schema is not None
        if schema is root:
            return etree.XMLSchema(file=str(self._path))
        return etree.XMLSchema(etree.fromstring(etree.tostring(schema)))
