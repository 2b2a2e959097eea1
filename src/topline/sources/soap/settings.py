"""What a source of kind `soap` may be told in topline.yml. docs/configuration.md is generated from the descriptions here."""

from collections.abc import Iterator
from typing import Any, Literal

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import Field, SecretStr, field_validator, model_validator

from topline.config import Settings
from topline.sources.polled import PolledTable
from topline.sources.soap.placeholders import NAMES, placeholders, strangers
from topline.sources.web.settings import WebSettings, valid_url

_REFERENCE = "`${env:NAME}` or `${file:/path}`."


class UsernameToken(Settings):
    """WS-Security UsernameToken (OASIS, profile 1.1)."""

    username: str = Field(description="User name.")
    password: SecretStr = Field(description=f"Password, by reference: {_REFERENCE}")
    type: Literal["digest", "text"] = Field(
        "digest", description="`digest`: SHA-1 of nonce, time and password; `text`: the password itself, with nonce and time."
    )
    timestamp: bool = Field(False, description="Send a wsu:Timestamp too, valid for five minutes.")


class Paging(Settings):
    """An operation that answers in pages. The arguments say which one, by `{page}`, `{offset}` or `{token}`."""

    size: int | None = Field(None, ge=1, description="Rows to ask for at once: what `{page_size}` stands for.")
    first: int = Field(1, ge=0, le=1, description="Number of the first page: what `{page}` begins with.")
    more: str | None = Field(
        None,
        description="Path in the answer to the flag that another page follows (true or 1). Else an empty page is the end.",
    )
    next: str | None = Field(
        None, description="Path in the answer to the token of the next page: what `{token}` stands for. No token is the end."
    )
    short_page_ends: bool = Field(
        False,
        description="A page of fewer rows than `size` is the last. It spares a call, where the origin always fills its pages.",
    )
    limit: int = Field(100_000, ge=1, description="Most pages of one poll; more are taken for a loop, and halt the source.")

    @field_validator("more", "next")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        return None if value is None else checked_path(value)

    @model_validator(mode="after")
    def _one_end(self) -> "Paging":
        if self.more and self.next:
            raise ValueError("`more` and `next` both say whether a page follows: write one of them")
        if self.short_page_ends and self.size is None:
            raise ValueError("short_page_ends needs `size`, the rows of a full page")
        return self


class SoapTable(PolledTable):
    """Which operation lists a table's rows, and where they are in its answer."""

    operation: str = Field(description="Operation of the port to call.")
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="Its arguments, nested as its XML is. `{cursor}`, `{page}`, `{page_size}`, `{offset}`, `{token}` are "
        "filled in; an argument without a value yet is left out. `{cursor:%d/%m/%Y}` writes a time so, in `zone`.",
    )
    rows: str = Field(description="Path (JMESPath) to the rows, from inside the answer's element: `ListSalesResult.Sale`.")
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="Column -> path (JMESPath) in a row. Default: the child element, or else the attribute, of that name.",
    )
    start: str | None = Field(
        None, description="What `{cursor}` stands for as long as there is none. Without it, its argument is left out."
    )
    ordered: bool = Field(
        False, description="Pages come in the order of the cursor's field: a poll that broke off goes on where it stood."
    )
    paging: Paging | None = Field(
        None, description="How the operation answers in pages; without it, one answer holds all rows."
    )

    @field_validator("rows")
    @classmethod
    def _path(cls, value: str) -> str:
        return checked_path(value)

    @field_validator("fields")
    @classmethod
    def _paths(cls, value: dict[str, str]) -> dict[str, str]:
        return {name: checked_path(path) for name, path in value.items()}

    @model_validator(mode="after")
    def _placeholders_have_values(self) -> "SoapTable":
        faults = list(self._placeholder_faults())
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _placeholder_faults(self) -> Iterator[str]:
        used = {name for name, _ in placeholders(self.arguments)}
        for name in strangers(self.arguments):
            yield f"arguments: there is no {{{name}}}; there are {', '.join(f'{{{known}}}' for known in NAMES)}"
        if self.cursor is not None and "cursor" not in used:
            yield "cursor: no argument holds {cursor}, so every poll would list everything: pass it to the operation"
        if self.cursor is None and ("cursor" in used or self.start or self.ordered):
            yield "{cursor}, `start` and `ordered` go with `cursor`, which names the field to read on by"
        if any(pattern is not None and name != "cursor" for name, pattern in placeholders(self.arguments)):
            yield "arguments: only {cursor:...} takes a pattern"
        yield from self._paging_faults(used)

    def _paging_faults(self, used: set[str]) -> Iterator[str]:
        paged = used & {"page", "offset", "token"}
        if self.paging is None:
            if paged or "page_size" in used:
                yield f"arguments: {{{sorted(used - {'cursor'})[0]}}} goes with `paging`"
            return
        if not paged:
            yield "paging: no argument holds {page}, {offset} or {token}, so every page would be the first: pass one"
        if ("token" in used) != (self.paging.next is not None):
            yield "paging: {token} among the arguments and `next`, the path to it, go together"
        if "page_size" in used and self.paging.size is None:
            yield "arguments: {page_size} needs `paging.size`"


class SoapSettings(WebSettings):
    """A SOAP 1.1 or 1.2 service that is asked again and again, by its WSDL."""

    kind: Literal["soap"] = Field("soap", description="This kind of source.")
    wsdl: str = Field(
        description="The WSDL: a file, relative to the project, or an http(s) URL. `embedded:NAME` is the demo's partner, whom "
        "Topline plays itself."
    )
    service: str | None = Field(None, description="Service of the WSDL, where it has several.")
    port: str | None = Field(None, description="Port of the service. Default: the first one for SOAP.")
    address: str | None = Field(None, description="Where to send requests, instead of the address in the WSDL.")
    import_hosts: tuple[str, ...] = Field(
        (),
        description="Other hosts from which the WSDL's imports may be loaded. Its own host always may; for a WSDL in a file, "
        "other files.",
    )
    username_token: UsernameToken | None = Field(None, description="WS-Security: user name and password in the SOAP header.")
    soap_headers: dict[str, Any] = Field(
        default_factory=dict,
        description="SOAP headers: the name of one that the WSDL declares, or `{namespace}Name`, -> its content. "
        f"Secrets by reference: {_REFERENCE}",
    )
    tables: dict[str, SoapTable] = Field(
        min_length=1, description="Table (as declared in the models' sources) -> its operation."
    )

    @field_validator("address")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        return None if value is None else valid_url(value)

    @field_validator("wsdl")
    @classmethod
    def _file_or_url(cls, value: str) -> str:
        return valid_url(value) if "://" in value else value

    @property
    def addresses(self) -> tuple[str, ...]:
        wsdl = (self.wsdl,) if "://" in self.wsdl and self.has_login else ()
        return (*wsdl, *((self.address,) if self.address else ()))

    @property
    def has_secrets(self) -> bool:
        """A digest can be read, but not used."""
        token = self.username_token
        return self.has_login or (token is not None and token.type == "text")


def checked_path(value: str) -> str:
    """`value` if it is JMESPath. ValueError says where it is not."""
    try:
        jmespath.compile(value)
    except JMESPathError as error:
        raise ValueError(f"{value!r} is no JMESPath: {str(error).splitlines()[0]}") from None
    return value
