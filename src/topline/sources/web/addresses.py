"""Addresses: what belongs to the origin that was configured, and what is another server."""

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urljoin, urlsplit

_DEFAULT = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http(s) address. `query`: as it stands there, so that a link is followed to the letter."""

    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    @classmethod
    def parse(cls, text: str) -> "Url":
        """ValueError says what is wrong, without the query, which may hold a secret."""
        shown = repr(text.partition("?")[0]) if "@" not in text else "the address"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError(f"{shown} is no address; write one such as https://shop.example/api") from None
        if parts.scheme not in _DEFAULT or not parts.hostname or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(f"{shown} is no address of http or https; write one such as https://shop.example/api")
        if parts.username is not None or parts.password is not None:
            raise ValueError("user and password do not go into an address; write basic: {username, password} in its place")
        if port == 0:
            raise ValueError(f"{shown} has the port 0, and there is none")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(parts.scheme, host.rstrip("."), port or _DEFAULT[parts.scheme], parts.path or "/", parts.query)

    @property
    def origin(self) -> str:
        """Scheme, host and port, as people write them."""
        return f"{self.scheme}://{self.host}" + ("" if self.port == _DEFAULT[self.scheme] else f":{self.port}")

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters in the query."""
        return frozenset(name for name, _ in parse_qsl(self.query, keep_blank_values=True))

    @property
    def shown(self) -> str:
        """For messages: without the query, which may hold a secret."""
        return self.origin + self.path

    def join(self, reference: str) -> "Url":
        """A reference found in an answer of this address, absolute (RFC 3986 section 5). ValueError where it is none."""
        return Url.parse(urljoin(self.origin + self.path, reference))

    def allows(self, other: "Url") -> bool:
        """Whether what is asked of this address may be asked of `other`: the same server, or the same host by https now."""
        if other.host != self.host:
            return False
        if other.scheme == self.scheme:
            return other.port == self.port
        return self.scheme == "http" and other.scheme == "https"

    def secured(self, other: "Url") -> "Url":
        """`other` by https where it is this server under http (a proxy before it takes TLS off, and it does not know)."""
        behind_proxy = self.scheme == "https" and other.scheme == "http" and other.host == self.host
        if behind_proxy and other.port in (_DEFAULT["http"], self.port):
            return replace(other, scheme="https", port=self.port)
        return other


def is_this_machine(host: str) -> bool:
    """Whether what is sent to `host` leaves no machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
