"""The service's SOAP 1.1 messages (https://www.w3.org/TR/2000/NOTE-SOAP-20000508/), as its WSDL has them."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from lxml import etree

from topline.embedded.partner.book import Entry, stamp

PARTNER = "http://partner.example/sales/2004"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_WSDL = "{http://schemas.xmlsoap.org/wsdl/soap/}address"
_SCHEMA = "{http://www.w3.org/2001/XMLSchema}schema"
_DEFAULT_SIZE = 100
_ELEMENTS = {  # of an entry, in the order of the schema
    "EntryNo": "entry_no",
    "ChangedAt": "changed_at",
    "SoldOn": "sold_on",
    "Country": "country",
    "District": "district",
    "Town": "town",
    "AgentNo": "agent_no",
    "AgentName": "agent_name",
    "Amount": "amount",
    "Currency": "currency",
    "State": "state",
}


class RequestFault(Exception):  # noqa: N818 - SOAP calls it a fault
    """The request is wrong: the message goes to the client."""


@dataclass(frozen=True, slots=True)
class Request:
    """What GetSales was asked for. `since`: as `stamp` writes it, '' for all; `after`: where the page before ended."""

    since: str
    after: tuple[str, str] | None
    size: int


class Messages:
    """The WSDL's own schema decides what is a request."""

    def __init__(self) -> None:
        self._wsdl = etree.fromstring(files(__package__).joinpath("partner.wsdl").read_bytes())
        (schema,) = self._wsdl.iter(_SCHEMA)
        self._schema = etree.XMLSchema(etree.fromstring(etree.tostring(schema)))  # with the prefixes of the WSDL around it

    def wsdl(self, address: str) -> bytes:
        """The WSDL of a service that answers at `address`."""
        document = etree.fromstring(etree.tostring(self._wsdl))
        for element in document.iter(_WSDL):
            element.set("location", address)
        return etree.tostring(document, xml_declaration=True, encoding="UTF-8")

    def request(self, body: bytes) -> Request:
        """RequestFault where it is no envelope, has a document type, or its content is not what the schema says."""
        content = _content(body)
        try:
            self._schema.assertValid(content)
        except etree.DocumentInvalid as error:
            raise RequestFault(str(error)) from None
        since = content.findtext(f"{{{PARTNER}}}ChangedSince")
        token = content.findtext(f"{{{PARTNER}}}PageToken")
        size = content.findtext(f"{{{PARTNER}}}PageSize")
        return Request(_since(since), _after(token) if token else None, int(size) if size else _DEFAULT_SIZE)


def response(entries: Sequence[Entry], more: bool) -> bytes:
    """The page; where more follows, with the token of the next one."""
    envelope, body = _envelope()
    answer = etree.SubElement(body, f"{{{PARTNER}}}GetSalesResponse")
    result = etree.SubElement(answer, f"{{{PARTNER}}}GetSalesResult")
    for entry in entries:
        element = etree.SubElement(result, f"{{{PARTNER}}}Entry")
        for name, field in _ELEMENTS.items():
            if (value := getattr(entry, field)) is not None:
                etree.SubElement(element, f"{{{PARTNER}}}{name}").text = value
    etree.SubElement(result, f"{{{PARTNER}}}More").text = "true" if more else "false"
    if more:
        etree.SubElement(result, f"{{{PARTNER}}}NextToken").text = _token(entries[-1])
    return _written(envelope)


def fault(code: str, text: str) -> bytes:
    """`code`: Client or Server."""
    envelope, body = _envelope()
    element = etree.SubElement(body, f"{{{_SOAP}}}Fault")
    etree.SubElement(element, "faultcode").text = f"soap:{code}"
    etree.SubElement(element, "faultstring").text = text
    return _written(envelope)


def _content(body: bytes) -> Any:
    """The one child of the envelope's body. Entities are not resolved: a message with a document type is refused."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        envelope: Any = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise RequestFault(f"no XML: {error}") from None
    if envelope.getroottree().docinfo.doctype:
        raise RequestFault("a SOAP message has no document type")
    found = envelope.findall(f"{{{_SOAP}}}Body/*")
    if envelope.tag != f"{{{_SOAP}}}Envelope" or len(found) != 1:
        raise RequestFault("a SOAP 1.1 envelope with one element in its body is expected")
    return found[0]


def _since(text: str | None) -> str:
    """A time without an offset is UTC."""
    if text is None:
        return ""
    try:
        moment = datetime.fromisoformat(text.strip())
        return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise RequestFault(f"ChangedSince is {text!r}: a time of the years 1 to 9999 is expected") from None


def _token(entry: Entry) -> str:
    return base64.urlsafe_b64encode(json.dumps([entry.changed_at, entry.id]).encode()).decode()


def _after(token: str) -> tuple[str, str]:
    try:
        changed_at, entry_id = json.loads(base64.urlsafe_b64decode(token.encode()))
        return str(changed_at), str(entry_id)
    except (binascii.Error, ValueError, TypeError):
        raise RequestFault("PageToken is none that this service gave") from None


def _envelope() -> tuple[Any, Any]:
    envelope = etree.Element(f"{{{_SOAP}}}Envelope", nsmap={"soap": _SOAP, "p": PARTNER})
    return envelope, etree.SubElement(envelope, f"{{{_SOAP}}}Body")


def _written(envelope: Any) -> bytes:
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")
