"""Certificates made by openssl: two authorities, a server's, a client's, and such as fail."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

LOCKED = "key-password"  # the password of locked.key
_SERVER = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
_OTHER = "subjectAltName=DNS:other.example\nextendedKeyUsage=serverAuth\n"
_CLIENT = "extendedKeyUsage=clientAuth\n"
_AUTHORITY = """
[ca]
default_ca = here
[here]
database = issued
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""


@dataclass(frozen=True)
class Certificates:
    """PEM files in `folder`: NAME.pem and NAME.key, for ca, server, other, expired, client, stranger; locked.key is the
    client's, under a password."""

    folder: Path

    def server(self, name: str = "server", wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.folder / "ca.pem")
        return context


def made(folder: Path) -> Certificates:
    (folder / "ca.conf").write_text(_AUTHORITY)
    (folder / "issued").touch()
    for authority in ("ca", "stranger"):
        _openssl(folder, f"req -x509 {_key(authority)} -subj /CN={authority} -days 2 -out {authority}.pem")
    for name, extensions in (("server", _SERVER), ("other", _OTHER), ("expired", _SERVER), ("client", _CLIENT)):
        (folder / "extensions").write_text(extensions)
        _openssl(folder, f"req {_key(name)} -subj /CN={name} -out {name}.csr")
        dates = "-startdate 20200101000000Z -enddate 20200201000000Z" if name == "expired" else "-days 2"
        _openssl(folder, f"ca -batch -notext -config ca.conf -extfile extensions -in {name}.csr -out {name}.pem {dates}")
    _openssl(folder, f"pkey -in client.key -aes256 -passout pass:{LOCKED} -out locked.key")
    return Certificates(folder)


def _key(name: str) -> str:
    return f"-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key"


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
