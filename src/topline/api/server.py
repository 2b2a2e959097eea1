"""Serving the API beside other work: in a thread of its own, stopped when told."""

import socket
import threading
from types import TracebackType

import uvicorn
from fastapi import FastAPI

from topline.errors import ConfigError

_GRACE = 5  # seconds that open requests get at the end


class Server:
    """A running API; a context manager. `port` is the one that it got, `url` where to ask."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._app = app
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=_GRACE
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, args=([self._socket],), name="api", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Finish what is asked, end the streams, and let go of the port. May be called twice."""
        if (streams := getattr(self._app.state, "streams", None)) is not None:
            streams.close()  # they would not end by themselves
        self._uvicorn.should_exit = True
        self._thread.join(_GRACE + 5)
        self._socket.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def serve(app: FastAPI, host: str, port: int) -> Server:
    """Serve `app`; it can be asked when this returns. Port 0 takes a free one; ConfigError where the port is taken."""
    return Server(app, host, port)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's delay off (40 ms an answer) only for sockets that name it.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"the API cannot listen on {host} port {port}: {error.strerror}. Set api.port to another one; 0 takes a free one"
        ) from None
    return listener
