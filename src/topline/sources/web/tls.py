"""The TLS context of a source: whom it trusts, and who it is."""

import ssl
from functools import cache
from pathlib import Path

import httpx2

from topline.errors import ConfigError
from topline.sources.web.settings import Tls


@cache
def _systems_context() -> ssl.SSLContext:
    """With the system's authorities, which take 40 ms to load."""
    return httpx2.create_ssl_context()


def tls_context(tls: Tls, root: Path) -> ssl.SSLContext:
    """Checks certificates and names. ConfigError names the file that cannot be used."""
    if tls == Tls():
        return _systems_context()
    setting, file = "ca", tls.ca
    try:
        context = ssl.create_default_context(cafile=str(root / tls.ca)) if tls.ca else httpx2.create_ssl_context()
        if tls.certificate:
            setting, file = "certificate", tls.certificate
            key = str(root / tls.key) if tls.key else None
            secret = tls.key_password.get_secret_value() if tls.key_password else ""
            context.load_cert_chain(str(root / tls.certificate), key, lambda: secret)
    except (OSError, ValueError) as error:  # ssl's errors are of the first kind, but say nothing of a file
        said = getattr(error, "strerror", None) or error
        raise ConfigError(f"tls.{setting}: {file} cannot be used: {said}; a PEM file is expected") from None
    return context
