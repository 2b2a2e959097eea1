"""The service that the tables of a source share: its WSDL is loaded when the first of them asks, once an opening."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from topline.errors import ConfigError, SourceHalted, TransientError
from topline.sources.soap.http import Http
from topline.sources.soap.settings import SoapSettings
from topline.sources.soap.wsdl import Wsdl
from topline.sources.web.hiding import hidden

_SHORTEST_SECRET = 4  # what is shorter would be struck out of words


class Service:
    """`acquire` before use and `release` after; it lets go of all when nobody holds it any more."""

    def __init__(self, settings: SoapSettings, root: Path) -> None:
        self._settings, self._root = settings, root
        self._lock = threading.Lock()
        self._held = 0
        self._http: Http | None = None
        self._wsdl: Wsdl | None = None
        self._secrets = _secrets(settings)

    def acquire(self) -> Wsdl:
        """The WSDL, loaded. Errors as of `Wsdl`, without secrets."""
        with self._lock, self.told(""):
            if self._wsdl is None:
                self._http = self._http or Http(self._settings, self._root)
                self._wsdl = Wsdl(self._settings, self._root, self._http)
            self._held += 1
            return self._wsdl

    def release(self) -> None:
        with self._lock:
            self._held -= 1
            if self._held <= 0:
                self._held = 0
                self._wsdl = None
                self._http = None

    @contextmanager
    def told(self, where: str) -> Iterator[None]:
        """Errors from within say where, and hide secrets that a server sent back."""
        try:
            yield
        except ConfigError as error:  # a certificate that could be used before
            raise SourceHalted(str(error)) from None
        except (TransientError, SourceHalted) as error:
            raise type(error)(hidden(f"{where}: {error}" if where else str(error), self._secrets)) from None


def _secrets(settings: SoapSettings) -> set[str]:
    """Texts that no message may hold: passwords, and whatever stands in headers."""
    logins = (settings.username_token, settings.basic)
    passwords = [settings.tls.key_password, *(login.password for login in logins if login is not None)]
    found = {*settings.headers.values(), *_texts(settings.soap_headers)}
    found |= {settings.basic.encoded} if settings.basic is not None else set()
    found |= {password.get_secret_value() for password in passwords if password is not None}
    return {text for text in found if len(text) >= _SHORTEST_SECRET}


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
    elif isinstance(node, str):
        yield node
