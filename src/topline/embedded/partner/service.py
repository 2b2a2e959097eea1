"""The partner's service: HTTP on loopback, one thread a request, its entries in a book on the disk."""

import sqlite3
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from topline.embedded.partner.book import Book
from topline.embedded.partner.messages import Messages, Request, RequestFault, fault, response
from topline.errors import StateError

_PATH = "/sales"
_LONGEST = 64 << 10  # bytes of a request


class PartnerService:
    """Answers from `start` to `stop`, of which each may come again. What it tells stays in the book meanwhile."""

    def __init__(self, book: Path, port: int = 0) -> None:
        """`port` 0 takes a free one at the first start."""
        self._book, self._port = book, port
        self._server: _Server | None = None

    def start(self) -> None:
        """OSError where the port is taken, StateError where there can be no book."""
        with Book.open(self._book):
            pass  # so that a fault of the folder shows here, not in each answer
        self._server = _Server(self._port, self._book)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="partner", daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def wsdl(self) -> str:
        """Where the WSDL is, once it was started."""
        return f"http://127.0.0.1:{self._port}{_PATH}?wsdl"

    def __enter__(self) -> "PartnerService":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    def __init__(self, port: int, book: Path) -> None:
        self.book = book
        self.messages = Messages()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Without the look-up of the host's name that HTTPServer adds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news; the terminal belongs to whoever runs this."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{_PATH}"

    def answer(self, request: Request) -> bytes:
        with Book.open(self.book) as book:
            found = book.changed(request.since, request.after, request.size + 1)
        return response(found[: request.size], more=len(found) > request.size)


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.0: a connection a request, as such services do."""

    server: _Server
    timeout = 30

    def do_GET(self) -> None:
        if self.path == f"{_PATH}?wsdl":
            self._send(HTTPStatus.OK, self.server.messages.wsdl(self.server.address))
        else:
            self.send_error(HTTPStatus.NOT_FOUND, f"the service is described at {_PATH}?wsdl")

    def do_POST(self) -> None:
        """A fault is 500, whoever is to blame (SOAP 1.1, section 6.2)."""
        if self.path != _PATH:
            self.send_error(HTTPStatus.NOT_FOUND, f"the service is described at {_PATH}?wsdl")
            return
        try:
            self._send(HTTPStatus.OK, self.server.answer(self.server.messages.request(self._body())))
        except RequestFault as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, fault("Client", str(error)))
        except (StateError, sqlite3.Error) as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, fault("Server", f"the book cannot be read: {error}"))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LONGEST:
            raise RequestFault(f"Content-Length is {length!r}: at most {_LONGEST} bytes are read")
        if self.headers.get_content_type() != "text/xml":
            raise RequestFault(f"Content-Type is {self.headers.get_content_type()}: SOAP 1.1 is text/xml")
        return self.rfile.read(int(length))

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal belongs to whoever runs it."""
