"""A SOAP server on loopback. It knows envelopes; what it answers, services say (see `services.py`)."""

import ssl
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import escape

from lxml import etree

from tests.servers import http
from tests.soap_server.contract import WSDLS

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
_TYPES = {SOAP_11: "text/xml; charset=utf-8", SOAP_12: "application/soap+xml; charset=utf-8"}

Way = Literal["whole", "trickle", "trickled headers", "truncated", "reset", "silent"]


@dataclass(frozen=True)
class Call:
    """A request, its headers in lower case. `soap`: the envelope's namespace; `header`: the SOAP header; `payload`: the first
    element of the body."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    soap: str = ""
    header: etree._Element | None = None
    payload: etree._Element | None = None


@dataclass(frozen=True)
class Reply:
    """What goes back, and how: `trickle` a few bytes at a time, `truncated` after half, and so on."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    way: Way = "whole"
    content_type: str = "text/xml; charset=utf-8"


Service = Callable[[Call], Reply]


class SoapServer:
    """
    services      path -> service
    documents     path -> what a test put in the place of a WSDL file, or a whole reply
    moved         path -> where a redirect leads
    next_replies  given out before all else, one a call
    calls, told   what came in: calls, and the path and headers (in lower case) of each document that was asked for
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.services: dict[str, Service] = {}
        self.documents: dict[str, bytes | Reply] = {}
        self.moved: dict[str, str] = {}
        self.next_replies: deque[Reply | Service] = deque()
        self.calls: list[Call] = []
        self.told: list[tuple[str, Mapping[str, str]]] = []
        self._http = http.Server(self._answered, context)
        self.released = self._http.stopping  # ends what is silent or trickles
        self.start, self.stop, self.close, self.url = self._http.start, self._http.stop, self._http.close, self._http.url

    @property
    def gets(self) -> list[str]:
        return [path for path, _ in self.told]

    def get(self, path: str) -> Reply:
        """A document: one that a test put here, or a WSDL file with this server's address in it."""
        if path in self.moved:
            return Reply(b"", 302, {"Location": self.moved[path]})
        if path in self.documents:
            found = self.documents[path]
            return found if isinstance(found, Reply) else Reply(found)
        file = (WSDLS / path.removeprefix("/wsdl/")).resolve()
        if not file.is_relative_to(WSDLS) or not file.is_file():
            return Reply(b"not here", 404, content_type="text/plain")
        return Reply(file.read_bytes().replace(b"ADDRESS", self.url.encode()))

    def post(self, call: Call) -> Reply:
        self.calls.append(call)
        if self.next_replies:
            reply = self.next_replies.popleft()
            return reply if isinstance(reply, Reply) else reply(call)
        service = self.services.get(call.path)
        if service is None:
            return Reply(b"no such service", 404, content_type="text/plain")
        try:
            return service(call)
        except (
            ValueError,
            AssertionError,
            etree.LxmlError,
        ) as error:  # what a test put in is not as the WSDL has it: the client says it
            return fault(call.soap or SOAP_11, "soap:Client", f"the test is wrong: {escape(repr(error))}")

    def _answered(self, asked: http.Asked) -> http.Reply:
        if asked.method == "GET":
            self.told.append((asked.target, asked.headers))
            return self._sent(self.get(asked.path))
        call = Call(asked.target, asked.headers, asked.body)
        with suppress(etree.XMLSyntaxError):
            call = _with_envelope(call)
        return self._sent(self.post(call))

    def _sent(self, reply: Reply) -> http.Reply:
        headers = {"Content-Type": reply.content_type, **reply.headers}
        if reply.way == "whole":
            return http.Reply(reply.body, reply.status, headers)
        return http.Reply(wire=lambda: self._pieces(reply, headers), reset=reply.way == "reset")

    def _pieces(self, reply: Reply, headers: Mapping[str, str]) -> Iterator[bytes]:
        lines = [f"HTTP/1.1 {reply.status} So", *(f"{name}: {value}" for name, value in headers.items())]
        head = ("\r\n".join([*lines, f"Content-Length: {len(reply.body)}"]) + "\r\n\r\n").encode()
        match reply.way:
            case "silent":
                self.released.wait()
            case "trickle":
                yield head
                yield from self._trickled(reply.body)
            case "trickled headers":
                yield from self._trickled(head)
            case "truncated":
                yield head + reply.body[: len(reply.body) // 2]

    def _trickled(self, data: bytes) -> Iterator[bytes]:
        for place in range(len(data)):
            yield data[place : place + 1]
            if self.released.wait(0.02):
                return


def _with_envelope(call: Call) -> Call:
    root = etree.fromstring(call.body)
    soap = etree.QName(root).namespace or ""
    body = root.find(f"{{{soap}}}Body")
    payload = body[0] if body is not None and len(body) else None
    return Call(call.path, call.headers, call.body, soap, root.find(f"{{{soap}}}Header"), payload)


def envelope(soap: str, content: str, declarations: str = "") -> Reply:
    """An envelope around `content`, written by hand."""
    text = (
        f'<?xml version="1.0" encoding="utf-8"?>\n<soap:Envelope xmlns:soap="{soap}" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema" {declarations}>'
        f"<soap:Body>{content}</soap:Body></soap:Envelope>"
    )
    return Reply(text.encode(), content_type=_TYPES[soap])


def fault(soap: str, code: str, text: str, status: int = 500) -> Reply:
    """A fault as each version writes it. `code` with the prefix `soap:`, or its own."""
    if soap == SOAP_11:
        content = f"<soap:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></soap:Fault>"
    else:
        content = (
            f"<soap:Fault><soap:Code><soap:Value>{code}</soap:Value></soap:Code>"
            f'<soap:Reason><soap:Text xml:lang="en">{text}</soap:Text></soap:Reason></soap:Fault>'
        )
    made = envelope(soap, content)
    return Reply(made.body, status, content_type=made.content_type)
