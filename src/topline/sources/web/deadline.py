"""The time that a whole exchange may take: the HTTP client's own limits begin anew with each byte."""

import socket
import threading
from collections.abc import Mapping
from typing import Any, Self


class Deadline:
    """Shuts a connection down under whoever waits for it, once `seconds` have passed since it was entered."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._stream: Any = None
        self._timer = threading.Timer(0, self._end)
        self.passed = False

    def note(self, event: str, info: Mapping[str, Any]) -> None:
        """The client's trace extension: the newest connection is the one in use, as there is at most one."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]
            if self.passed:  # it was not there yet when the time was over
                self._cut()

    def __enter__(self) -> Self:
        self.passed = False
        self._timer = threading.Timer(self._seconds, self._end)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.passed = True
        self._cut()

    def _cut(self) -> None:
        connection = self._stream.get_extra_info("socket") if self._stream is not None else None
        if connection is not None:
            try:  # not the method of SSLSocket, which would have the waiting thread read on without TLS
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already
