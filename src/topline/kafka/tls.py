"""Whom the REST APIs beside Kafka are trusted by, and who we are to them."""

import ssl
from pathlib import Path

from topline.errors import ConfigError
from topline.kafka.settings import Tls, file_of


def context(tls: Tls, root: Path) -> ssl.SSLContext:
    """ConfigError names a file that cannot be used."""
    try:
        made = ssl.create_default_context(cafile=file_of(root, tls.ca) if tls.ca else None)
        if tls.certificate and tls.key:
            password = tls.key_password.get_secret_value() if tls.key_password else ""
            made.load_cert_chain(file_of(root, tls.certificate), file_of(root, tls.key), password)
    except (OSError, ValueError) as error:  # ssl's errors are of the first kind, but say nothing of a file
        raise ConfigError(f"kafka: the certificates of `tls` cannot be used: {error}; PEM files are expected") from None
    return made
