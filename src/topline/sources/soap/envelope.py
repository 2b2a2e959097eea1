"""From an HTTP reply to the answer's element in the SOAP body; or the fault, told apart by whose it is."""

from lxml import etree

from topline.errors import SourceHalted, TransientError, WorkError
from topline.sources.soap.http import Reply, refused_status
from topline.sources.soap.xml import SOAP_11, SOAP_12, Broken, Refused, local, parse, qname

_SHOWN = 400  # characters of a fault's text

# Whose fault it is: SOAP 1.1 section 4.4.1, SOAP 1.2 part 1 section 5.4.6.
_SERVER = frozenset({"Server", "Receiver"})
_CLIENT = frozenset({"Client", "Sender", "VersionMismatch", "MustUnderstand", "DataEncodingUnknown"})
_SECURITY = "oasis-200401-wss"  # within the namespace of WS-Security's fault codes


def body_of(reply: Reply) -> etree._Element:
    """The SOAP body. TransientError where the server is at fault or the answer is no whole XML; SourceHalted where we are."""
    if "multipart/" in reply.content_type.lower():
        raise SourceHalted("the answer comes in MIME parts (attachments, MTOM), which are not read")
    try:
        root = parse(reply.body)
    except Refused as error:
        raise SourceHalted(f"the answer is refused: {error}") from None
    except Broken as error:
        raise _by_status(reply.status, f"the answer is not whole XML: {error}") from None
    soap = etree.QName(root).namespace
    if local(root.tag) != "Envelope" or soap not in {SOAP_11, SOAP_12}:
        raise _by_status(reply.status, f"the answer is no SOAP envelope, but <{local(root.tag)}>")
    body = root.find(f"{{{soap}}}Body")
    fault = None if body is None else body.find(f"{{{soap}}}Fault")
    if fault is not None:
        raise _fault(fault, reply.status)
    if reply.status != 200 or body is None:
        raise _by_status(reply.status, "the answer has no SOAP body" if body is None else "the answer is no fault")
    return body


def _by_status(status: int, what: str) -> WorkError:
    if refused_status(status):
        return SourceHalted(f"the server refuses: HTTP {status}{_hint(status)}")
    return TransientError(what if status == 200 else f"HTTP {status}; {what}")


def _hint(status: int) -> str:
    return {401: " (user name, password)", 403: " (no permission)", 415: " (another SOAP version: see `port`)"}.get(status, "")


def _fault(fault: etree._Element, status: int) -> WorkError:
    """A fault of ours (or HTTP 401, 403) halts; the server's own, and one that nobody knows, is tried again."""
    code, element = _code(fault)
    namespace, name = qname(code, element)
    shown = f"SOAP fault {code or 'without a code'}: {_text(fault)}"
    kind = name.split(".")[0]
    if status in {401, 403} or kind in _CLIENT or _SECURITY in namespace:
        return SourceHalted(shown)
    return TransientError(shown if kind in _SERVER else f"{shown} (of no known kind: tried again)")


def _code(fault: etree._Element) -> tuple[str, etree._Element]:
    """The code's QName, and the element whose prefixes it is written with. A subcode of WS-Security says more than Sender."""
    for path in ("faultcode", f"{{{SOAP_11}}}faultcode", f"{{{SOAP_12}}}Code/{{{SOAP_12}}}Value"):
        found = fault.find(path)
        if found is not None:
            return (found.text or "").strip(), found
    return "", fault


def _text(fault: etree._Element) -> str:
    for path in ("faultstring", f"{{{SOAP_11}}}faultstring", f"{{{SOAP_12}}}Reason/{{{SOAP_12}}}Text"):
        found = fault.find(path)
        if found is not None and found.text:
            text = " ".join(found.text.split())
            return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return "(no text)"
