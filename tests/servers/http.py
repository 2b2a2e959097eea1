"""A real HTTP(S) server on loopback whose answers a test writes, down to the bytes on the wire."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as it came. `target`: path and query, to the letter."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str = ""


@dataclass(frozen=True)
class Reply:
    """`wire`: pieces to send as they are in place of a whole answer; afterwards the connection is closed, or with `reset`
    broken off."""

    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wire: Callable[[], Iterable[bytes]] | None = None
    reset: bool = False


App = Callable[[Asked], Reply]


class Server:
    """Answers with `app`, which may be replaced. While it is `down`, it takes connections and drops them; once it is stopped,
    nobody listens on its port until it is started again."""

    def __init__(self, app: App, tls: ssl.SSLContext | None = None) -> None:
        self.app, self.down = app, False
        self.asked: list[Asked] = []
        self.fault: Exception | None = None
        self.stopping = threading.Event()
        self._tls, self.port = tls, 0
        self._scheme = "http" if tls is None else "https"
        self.start()

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self._scheme == "http" else "localhost"
        return f"{self._scheme}://{host}:{self.port}"

    def start(self) -> None:
        self._httpd = _Httpd(("127.0.0.1", self.port), _handler(self))
        self.port = int(self._httpd.server_address[1])
        if self._tls is not None:
            self._httpd.socket = self._tls.wrap_socket(self._httpd.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._httpd.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()

    def close(self) -> None:
        """`stopping` ends what is silent or trickles."""
        self.stopping.set()
        self.stop()

    def reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        try:
            return self.app(asked)
        except Exception as error:  # noqa: BLE001 - shown to the test
            self.fault = error
            return Reply(f"the test's server failed: {error!r}", 500)


class _Httpd(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may go at any time."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if server.down:
                self.close_connection = True
                return
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(server.reply(Asked(self.command, parts.path, query, headers, body, self.path)))

        do_POST = do_GET  # noqa: N815 - the base looks it up by this name

        def _send(self, reply: Reply) -> None:
            if reply.wire is not None:
                self.close_connection = True
                for piece in reply.wire():
                    self.wfile.write(piece)
                    self.wfile.flush()
                if reply.reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            body = reply.body.encode() if isinstance(reply.body, str) else reply.body
            self.send_response_only(reply.status)
            for name, value in {"Content-Type": "application/json", "Date": self.date_time_string(), **reply.headers}.items():
                self.send_header(name, value)
            if reply.status not in (204, 304):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if reply.status in (204, 304) else body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler
