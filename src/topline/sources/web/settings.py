"""Settings that all sources asked over HTTP share. docs/configuration.md is generated from the descriptions here."""

import re
from base64 import b64encode

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from topline.config import Settings
from topline.sources.polled import PolledSettings
from topline.sources.web.addresses import Url, is_this_machine

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name, RFC 9110 section 5.6.2


class Basic(Settings):
    """HTTP basic authentication (RFC 7617)."""

    username: str = Field(description="User name.")
    password: SecretStr = Field(SecretStr(""), description="Password, by reference (`${env:NAME}`).")

    @field_validator("username")
    @classmethod
    def _ends_at_a_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("a user name holds no colon: the first one ends it (RFC 7617)")
        return value

    @property
    def encoded(self) -> str:
        """As it travels."""
        return b64encode(f"{self.username}:{self.password.get_secret_value()}".encode()).decode()

    @property
    def authorization(self) -> str:
        """The header's value."""
        return f"Basic {self.encoded}"


class Tls(Settings):
    """Certificates. They are always verified; there is no setting that turns it off."""

    ca: str | None = Field(
        None,
        description="File of the authorities to trust (PEM) in place of the system's, for a company's own. Relative to the "
        "project.",
    )
    certificate: str | None = Field(None, description="Client certificate (PEM, with its chain), relative to the project.")
    key: str | None = Field(None, description="Its private key (PEM), where it is not in the same file.")
    key_password: SecretStr | None = Field(None, description="Password of the private key, by reference.")

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> "Tls":
        if not self.certificate and (self.key or self.key_password):
            raise ValueError("a key goes with `certificate`: name its PEM file too")
        return self


class Timeouts(Settings):
    """Seconds."""

    connect: float = Field(10.0, gt=0, le=3600, description="Seconds to connect, TLS included.")
    read: float = Field(60.0, gt=0, le=3600, description="Seconds without a byte from the origin.")
    total: float = Field(300.0, gt=0, le=86_400, description="Seconds for a whole answer, however steadily it trickles.")


class WebSettings(PolledSettings):
    """Base of the settings of every source that is asked over HTTP."""

    basic: Basic | None = Field(None, description="User and password, by HTTP basic authentication.")
    headers: dict[str, str] = Field(
        default_factory=dict, description="HTTP headers of every request, such as an API key. Secrets by reference."
    )
    tls: Tls = Field(default_factory=lambda: Tls(), description="Certificates. They are always verified.")
    plain_http: bool = Field(
        False, description="Allow credentials over http://, which anyone on the way can read, to another machine."
    )
    proxy: str | None = Field(
        None, description="HTTP proxy to ask by. That of the environment is not used; `${env:HTTPS_PROXY}` names it."
    )
    timeouts: Timeouts = Field(default_factory=lambda: Timeouts(), description="How long to wait for the origin.")
    max_answer_bytes: int = Field(
        32 << 20, ge=1024, le=1 << 31, description="A larger answer, unpacked, halts the source: ask for smaller pages."
    )

    @field_validator("headers")
    @classmethod
    def _fit_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            header_name(name)
            if not text.isascii() or not text.isprintable():
                raise PydanticCustomError("header", "{text}", {"text": f"the value of {name} must be printable ASCII"})
        return value

    @field_validator("proxy")
    @classmethod
    def _proxy_without_login(cls, value: str | None) -> str | None:
        if value and "@" in value:
            raise ValueError("a proxy is named without user and password; one that wants them cannot be used")
        return valid_url(value) if value else None

    @model_validator(mode="after")
    def _one_authorization(self) -> "WebSettings":
        if self.basic is not None and self._says_authorization:
            raise ValueError("`basic` and the header Authorization exclude each other")
        return self

    @model_validator(mode="after")
    def _nothing_secret_in_the_open(self) -> "WebSettings":
        for url in self.addresses:
            if "${" not in url and self.exposes(Url.parse(url)):
                raise ValueError(exposed(Url.parse(url)))
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses among the settings that credentials are sent to."""
        return ()

    @property
    def has_login(self) -> bool:
        """Whether every request over HTTP carries credentials."""
        return self.basic is not None or self._says_authorization

    @property
    def has_secrets(self) -> bool:
        """Whether what is sent holds credentials that anyone on the way could use."""
        return self.has_login

    def exposes(self, url: Url) -> bool:
        """Whether credentials would travel readable to another machine, and that was not allowed."""
        return self.has_secrets and not self.plain_http and url.scheme == "http" and not is_this_machine(url.host)

    @property
    def _says_authorization(self) -> bool:
        return any(name.lower() == "authorization" for name in self.headers)


def exposed(url: Url) -> str:
    """What is said where `exposes`."""
    return f"credentials would travel readable over {url.origin}; use https, or set plain_http: true"


def header_name(name: str) -> str:
    """`name` if a header may be called so. ValueError where not."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header: letters, digits and hyphens")
    return name


def valid_url(value: str) -> str:
    """`value` if it is an address without a login; one with references (`${env:NAME}`) is looked at when they are replaced."""
    if "${" not in value:
        Url.parse(value)
    return value
