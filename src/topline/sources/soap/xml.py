"""XML from strangers: parsed without DTDs, entities, the network or huge nodes, or refused with a reason."""

from xml.parsers import expat

from lxml import etree

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
ENCODING_11 = "http://schemas.xmlsoap.org/soap/encoding/"
ENCODING_12 = "http://www.w3.org/2003/05/soap-encoding"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
XSD = "http://www.w3.org/2001/XMLSchema"

XSI_NIL, XSI_TYPE = f"{{{XSI}}}nil", f"{{{XSI}}}type"
ARRAY_TYPE, ITEM_TYPE, ARRAY_SIZE = f"{{{ENCODING_11}}}arrayType", f"{{{ENCODING_12}}}itemType", f"{{{ENCODING_12}}}arraySize"


class Refused(Exception):  # noqa: N818 - says what the document is
    """XML that may do harm: a DTD, entities, a node that is too large or too deep."""


class Broken(Exception):  # noqa: N818
    """No XML, or XML that ends in the middle."""


def parse(data: bytes) -> etree._Element:
    """The root of `data`, without comments and processing instructions. Raises Refused or Broken."""
    _refuse_doctype(data)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        if getattr(error, "code", 0) == etree.ErrorTypes.ERR_RESOURCE_LIMIT:
            raise Refused(str(error)) from None
        raise Broken(str(error)) from None
    if root.getroottree().docinfo.internalDTD is not None:  # in an encoding that the first look cannot read
        raise Refused("it holds a DTD")
    return root


def _refuse_doctype(data: bytes) -> None:
    """Read up to the first element, so that nothing that a DTD declares is ever looked at."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _on_doctype
    parser.StartElementHandler = _on_element
    try:
        parser.Parse(data, True)
    except (_Safe, expat.ExpatError, LookupError, ValueError):
        return  # what is broken, or in an encoding that expat has not, lxml reads and says better


class _Safe(Exception):  # noqa: N818
    pass


def _on_element(_name: str, _attributes: dict[str, str]) -> None:
    raise _Safe


def _on_doctype(name: str, _system: str | None, _public: str | None, _internal: int) -> None:
    if name.lower() == "html":
        raise Broken("it is a web page (HTML)")
    raise Refused("it holds a DTD, which could draw in files or grow without bounds")


def local(tag: str) -> str:
    """A name without its namespace."""
    return tag.rpartition("}")[2]


def qname(text: str, element: etree._Element) -> tuple[str, str]:
    """Namespace ('' for none) and local name of a QName in a text, by the prefixes that hold in `element`; or of
    `{namespace}name`, which needs none."""
    if text.startswith("{"):
        namespace, _, name = text[1:].partition("}")
        return namespace, name
    prefix, _, name = text.strip().rpartition(":")
    return element.nsmap.get(prefix or None) or "", name
