"""A TCP proxy on loopback whose network a test spoils while connections go through it."""

import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

_AT_ONCE = 1 << 16
_TICK = 0.02  # seconds between two looks at what the network is like now
_LINGER = struct.pack("ii", 1, 0)  # closing sends RST (socket(7), SO_LINGER)


@dataclass(frozen=True)
class Network:
    """What the network is like, for every connection alike; a connection notices while it lives.

    delay     seconds that each piece travels, each way
    piece     most bytes at once; with a delay, that is a trickle
    silent    connections are taken and stay, and nothing moves
    reset     connections are broken off by RST once they have carried so many more bytes, both ways together
    lost      once a client has sent these bytes, they get through, and what the server answers does not: the connection is
              broken off. Once; `Proxy.happened` says that it did
    """

    delay: float = 0.0
    piece: int = _AT_ONCE
    silent: bool = False
    reset: int | None = None
    lost: bytes = b""


CLEAR = Network()
Down = Literal["", "refused", "dropped"]


@dataclass
class _Way:
    """One connection: both sockets, and how many bytes it has carried since the network last changed."""

    client: socket.socket
    server: socket.socket
    network: Network
    frozen: bool = False  # the server is gone for it, and nobody told the client
    carried: int = 0
    awaiting: bool = False  # the answer to what is to be lost
    seen: bytes = b""
    directions: int = 2  # that are not at their end
    ended: threading.Event = field(default_factory=threading.Event)

    def cut(self) -> None:
        with suppress(OSError):
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.close()

    def close(self) -> None:
        self.ended.set()
        for side in (self.client, self.server):
            with suppress(OSError):
                side.close()


class Proxy:
    """Listens on `port` for `target`. `network` may be replaced at any time; `go_down` and `come_up` take it off and back."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target, self.port = target, 0
        self.happened = threading.Event()
        self._network = CLEAR
        self._down: Down = ""
        self._closed = threading.Event()
        self._ways: list[_Way] = []
        self._listener: socket.socket | None = None
        self.come_up()

    @property
    def network(self) -> Network:
        return self._network

    @network.setter
    def network(self, value: Network) -> None:
        self.happened.clear()
        self._network = value
        for way in self._ways:
            way.carried, way.awaiting, way.seen = 0, False, b""
            way.network = value

    def go_down(self, how: Down = "refused") -> None:
        """Nobody listens any more, or (`dropped`) whoever connects is thrown out; connections that stood are broken off."""
        self._down = how
        if how == "refused":
            self._stop_listening()
        self._cut_all()

    def come_up(self) -> None:
        """As it should be, for old connections and new ones; those that are frozen stay so."""
        self._down, self.network = "", CLEAR
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._listener,), name="proxy", daemon=True).start()

    def freeze(self, *, hang_up: bool = False) -> None:
        """Connections that stand carry nothing from here on, and nobody says so; new ones are as they should be. With
        `hang_up` the server learns that its clients are gone."""
        for way in self._ways:
            way.frozen = True
            if hang_up:
                with suppress(OSError):
                    way.server.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed.set()
        self._down = "refused"
        self._stop_listening()
        self._cut_all()

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
            listener.close()

    def _cut_all(self) -> None:
        ways, self._ways = self._ways, []
        for way in ways:
            way.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self._down:
                client.close()
                continue
            threading.Thread(target=self._connect, args=(client,), name="proxy", daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        while self._network.silent and not self._closed.wait(_TICK):
            continue
        try:
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        way = _Way(client, server, self._network)
        self._ways.append(way)
        for source, sink, carry in ((client, server, self._to_server), (server, client, self._to_client)):
            threading.Thread(target=self._pump, args=(way, source, sink, carry), name="proxy", daemon=True).start()

    def _pump(
        self, way: _Way, source: socket.socket, sink: socket.socket, carry: Callable[[_Way, bytes, socket.socket], None]
    ) -> None:
        """One direction of one connection. The end of the stream travels too."""
        try:
            while not way.ended.is_set():
                if way.frozen or way.network.silent or not select.select([source], [], [], _TICK)[0]:
                    way.ended.wait(_TICK if way.frozen or way.network.silent else 0)
                    continue
                piece = source.recv(min(way.network.piece, _AT_ONCE))
                if way.ended.wait(way.network.delay) or way.frozen:
                    continue
                if not piece:
                    break
                carry(way, piece, sink)
        except (OSError, ValueError):  # closed meanwhile, by either side
            way.cut()
        else:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        way.directions -= 1
        if not way.directions:
            way.close()
            with suppress(ValueError):
                self._ways.remove(way)

    def _to_server(self, way: _Way, piece: bytes, server: socket.socket) -> None:
        lost = way.network.lost
        if lost:
            way.seen = way.seen[-len(lost) :] + piece
            way.awaiting = way.awaiting or lost in way.seen
        self._carry(way, piece, server)

    def _to_client(self, way: _Way, piece: bytes, client: socket.socket) -> None:
        if way.awaiting and not self.happened.is_set():
            self.happened.set()
            way.cut()
            return
        self._carry(way, piece, client)

    def _carry(self, way: _Way, piece: bytes, sink: socket.socket) -> None:
        reset = way.network.reset
        if reset is not None:
            piece = piece[: max(0, reset - way.carried)]
        sink.sendall(piece)
        way.carried += len(piece)
        if reset is not None and way.carried >= reset:
            self.happened.set()
            way.cut()


def address(url_or_dsn: str) -> tuple[str, int]:
    """Where a URL's host listens."""
    host, _, port = url_or_dsn.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")
    return host, int(port)
