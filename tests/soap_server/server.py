"""A SOAP server on loopback. It knows HTTP and envelopes; what it answers, services say (see `services.py`)."""

import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from xml.sax.saxutils import escape

from lxml import etree

from tests.soap_server.contract import WSDLS

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
_TYPES = {SOAP_11: "text/xml; charset=utf-8", SOAP_12: "application/soap+xml; charset=utf-8"}

Way = Literal["whole", "trickle", "trickled headers", "truncated", "reset", "silent"]


@dataclass(frozen=True)
class Call:
    """A request: `soap` is the envelope's namespace, `payload` the body's first element, `header` the SOAP header."""

    path: str
    headers: dict[str, str]
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
    documents     path -> what a test put in the place of a WSDL file
    moved         path -> where a redirect leads
    next_replies  given out before all else, one a call
    calls, told   what came in: calls, and the path and headers of each document that was asked for
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.services: dict[str, Service] = {}
        self.documents: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.next_replies: deque[Reply | Service] = deque()
        self.calls: list[Call] = []
        self.told: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()  # ends what is silent or trickles
        self._context, self._port = context, 0
        self.start()

    @property
    def gets(self) -> list[str]:
        return [path for path, _ in self.told]

    @property
    def url(self) -> str:
        return f"http{'s' if self._context else ''}://127.0.0.1:{self._port}"

    def start(self) -> None:
        server = self

        class Handler(_Handler):
            owner = server

        self._http = _Server(("127.0.0.1", self._port), Handler)
        self._port = self._http.server_port
        if self._context is not None:
            self._http.socket = self._context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def close(self) -> None:
        self.released.set()
        self.stop()

    def get(self, path: str) -> Reply:
        """A document: one that a test put here, or a WSDL file with this server's address in it."""
        if path in self.moved:
            return Reply(b"", 302, {"Location": self.moved[path]})
        if path in self.documents:
            return Reply(self.documents[path])
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up, or has no certificate, is no news."""


class _Handler(BaseHTTPRequestHandler):
    owner: SoapServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.owner.told.append((self.path, dict(self.headers.items())))
        self._send(self.owner.get(self.path.partition("?")[0]))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        call = Call(self.path, dict(self.headers.items()), body)
        with suppress(etree.XMLSyntaxError):
            call = _with_envelope(call)
        self._send(self.owner.post(call))

    def _send(self, reply: Reply) -> None:
        if reply.way == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()
            return
        if reply.way == "silent":
            self.owner.released.wait()
            return
        head = {"Content-Type": reply.content_type, "Content-Length": str(len(reply.body)), **reply.headers}
        lines = [f"HTTP/1.1 {reply.status} So", *(f"{name}: {value}" for name, value in head.items()), "Connection: close"]
        start = ("\r\n".join(lines) + "\r\n\r\n").encode()
        with suppress(OSError):
            if reply.way == "trickled headers":
                self._trickle(start)
            self.wfile.write(start if reply.way != "trickled headers" else b"")
            if reply.way == "trickle":
                self._trickle(reply.body)
            elif reply.way == "truncated":
                self.wfile.write(reply.body[: len(reply.body) // 2])
            else:
                self.wfile.write(reply.body)
        self.close_connection = True

    def _trickle(self, data: bytes) -> None:
        for place in range(len(data)):
            self.wfile.write(data[place : place + 1])
            self.wfile.flush()
            if self.owner.released.wait(0.02):
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
