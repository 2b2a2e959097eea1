"""The door to a REST API beside Kafka: the schema registry's, Kafka Connect's."""

import ssl
from pathlib import Path
from typing import Protocol

import httpx2

from topline.errors import ConfigError
from topline.kafka.settings import Login, Tls, file_of


class Door(Protocol):
    """What a server's settings say of how to get in."""

    @property
    def login(self) -> Login | None: ...
    @property
    def tls(self) -> Tls: ...


def client(settings: Door, root: Path, timeout: float) -> httpx2.Client:
    """With login and certificates; the environment's proxy is not used. ConfigError names a file that cannot be used."""
    login = settings.login
    auth = (login.username, login.password.get_secret_value()) if login else None
    return httpx2.Client(timeout=timeout, auth=auth, verify=_context(settings.tls, root), trust_env=False)


def _context(tls: Tls, root: Path) -> ssl.SSLContext:
    try:
        made = ssl.create_default_context(cafile=file_of(root, tls.ca) if tls.ca else None)
        if tls.certificate and tls.key:
            password = tls.key_password.get_secret_value() if tls.key_password else ""
            made.load_cert_chain(file_of(root, tls.certificate), file_of(root, tls.key), password)
    except (OSError, ValueError) as error:  # ssl's errors are of the first kind, but say nothing of a file
        raise ConfigError(f"kafka: the certificates of `tls` cannot be used: {error}; PEM files are expected") from None
    return made
