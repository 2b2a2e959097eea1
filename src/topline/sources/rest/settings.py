"""The settings of a REST source. docs/configuration.md is generated from the descriptions here."""

import codecs
from typing import Any, Literal

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from topline.config import Settings
from topline.sources.polled import PolledTable
from topline.sources.web.settings import WebSettings, header_name, valid_url

_NEEDED = {
    "bearer": ("token",),
    "api_key": ("key",),
    "oauth2": ("token_url", "client_id", "client_secret"),
}
_PAGES_BY = {"page": ("param",), "offset": ("param", "size"), "cursor": ("param", "next"), "link": (), "none": ()}


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"{text!r} is no JMESPath: {str(error).splitlines()[0]}; see https://jmespath.org") from None
    return text


def _place(text: str) -> str:
    """Where a token stands: `header:NAME`, or a JMESPath of the body."""
    if text.startswith("header:"):
        header_name(text.removeprefix("header:"))
        return text
    return _expression(text)


class Auth(Settings):
    """How the origin knows us. Which settings belong to which type: docs/sources/rest.md."""

    type: Literal["bearer", "api_key", "oauth2"] = Field(
        description="`bearer` (token), `api_key` (key, name, place), or `oauth2` (client credentials: token_url, client_id, "
        "client_secret, scope)."
    )
    token: SecretStr | None = Field(None, description="bearer: the token, by reference (`${env:NAME}`).")
    key: SecretStr | None = Field(None, description="api_key: the key, by reference.")
    name: str = Field("X-API-Key", description="api_key: name of the header, or of the query parameter.")
    place: Literal["header", "query"] = Field("header", description="api_key: where the key goes.")
    token_url: str | None = Field(None, description="oauth2: where tokens are given out (https).")
    client_id: SecretStr | None = Field(None, description="oauth2: who we are.")
    client_secret: SecretStr | None = Field(None, description="oauth2: our secret, by reference.")
    client_auth: Literal["basic", "body"] = Field(
        "basic", description="oauth2: whether the client's id and secret travel as HTTP basic authentication, or in the form."
    )
    scope: str = Field("", description="oauth2: scopes to ask for, separated by spaces.")
    extra: dict[str, str] = Field(default_factory=dict, description="oauth2: further fields of the form, such as `audience`.")

    @field_validator("token", "key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        text = "" if value is None else value.get_secret_value()
        if not text.isascii() or not text.isprintable():
            raise ValueError("has characters that no header can hold; it must be printable ASCII")
        return value

    @field_validator("token_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        return None if value is None else valid_url(value).rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> "Auth":
        missing = [name for name in _NEEDED[self.type] if getattr(self, name) is None]
        strange = {name for names in _NEEDED.values() for name in names} - set(_NEEDED[self.type])
        useless = sorted(name for name in strange if getattr(self, name) is not None)
        if missing or useless:
            wrong = [f"needs {', '.join(missing)}"] if missing else []
            wrong += [f"has no use for {', '.join(useless)}"] if useless else []
            raise PydanticCustomError("auth", "{text}", {"text": f"auth of type {self.type} {'; it '.join(wrong)}"})
        if self.type == "api_key" and self.place == "header":
            header_name(self.name)
        return self


class Paging(Settings):
    """How to get from one page to the next."""

    by: Literal["none", "page", "offset", "cursor", "link"] = Field(
        "none",
        description="`page` (a number), `offset` (how many to skip), `cursor` (a token that each page gives), `link` (the "
        "address of the next page, from the Link header or the body), `none` (one answer holds all).",
    )
    param: str | None = Field(None, min_length=1, description="Parameter that takes the page number, the offset, or the token.")
    first: int = Field(1, ge=0, description="page: number of the first page.")
    size: int | None = Field(None, ge=1, description="Records a page. Needed for `offset`.")
    size_param: str | None = Field(None, min_length=1, description="Parameter that takes the size.")
    total: str | None = Field(
        None,
        description="page, offset: JMESPath of the number of all records, or `header:NAME`; where it is reached, the "
        "list ends. Without it, see `until`.",
    )
    until: Literal["empty", "short"] = Field(
        "empty",
        description="page, offset: an `empty` page ends the list; or already one `short` of `size`, which saves a request "
        "where the origin surely fills its pages.",
    )
    next: str | None = Field(
        None,
        description="cursor: JMESPath of the next token, or `header:NAME`; link: JMESPath of the next address in the "
        "body, where it is not in the Link header. Missing, null, empty or false: there is no next page.",
    )
    more: str | None = Field(None, description="page, offset, cursor: JMESPath of a boolean; where it is false, the list ends.")
    max_pages: int = Field(10_000, ge=1, description="A list of more pages stops the source: an endless loop looks like that.")

    _paths = field_validator("more")(lambda value: None if value is None else _expression(value))
    _places = field_validator("total", "next")(lambda value: None if value is None else _place(value))

    @model_validator(mode="after")
    def _complete(self) -> "Paging":
        missing = [name for name in _PAGES_BY[self.by] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"paging by {self.by} needs {', '.join(missing)}")
        if self.size is None and (self.size_param is not None or self.until == "short"):
            raise ValueError("size_param and until: short need size")
        return self


class Since(Settings):
    """How the place where the last poll ended (`cursor`) is asked for."""

    param: str = Field(min_length=1, description="Parameter that takes it.")
    place: Literal["row", "body", "header"] = Field(
        "row",
        description="Where `cursor.field` stands: in each `row`; or a token that the origin makes for the next poll, in "
        "the `body` of the last page (a JMESPath), or in its `header`.",
    )
    format: str = Field(
        "iso",
        description="How a time is written: `iso` (2026-11-21T14:05:00Z), `epoch` (seconds), `epoch_ms`, `raw` (as it "
        "came in the record; needs `cursor.overlap: 0`), or a pattern of strftime (`%Y-%m-%d %H:%M:%S`), in UTC.",
    )
    template: str = Field("{}", description="Text around it: `updated_at>{}`.")
    rising: bool = Field(
        False,
        description="The origin gives its records in rising order of the cursor, and pages go by `cursor` or `offset`: the "
        "cursor moves to the greatest value, by `cursor` page by page, so that a long list that broke off goes on.",
    )
    expired: tuple[int, ...] = Field((410,), description="HTTP statuses by which the origin says that a token is too old.")

    @field_validator("format")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("iso", "epoch", "epoch_ms", "raw") and "%" not in value:
            raise ValueError(f"{value!r} is not iso, epoch, epoch_ms, raw or a pattern such as %Y-%m-%d")
        return value

    @field_validator("template")
    @classmethod
    def _has_a_place(cls, value: str) -> str:
        if value.count("{}") != 1:
            raise ValueError(f"{value!r} must have {{}} once, where the value goes")
        return value


class Csv(Settings):
    delimiter: str = Field(",", min_length=1, max_length=1, description="What separates fields, one ASCII character.")
    quote: str = Field('"', max_length=1, description="What surrounds a field; doubled, it stands for itself. '' for none.")
    header: bool | tuple[str, ...] = Field(
        True, description="true: the first record of each page names the fields; a list names those of a body without it."
    )

    @field_validator("delimiter", "quote")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value and (not value.isascii() or value in "\0\r\n"):
            raise ValueError(f"{value!r} must be one ASCII character and no line end")
        return value

    @field_validator("header")
    @classmethod
    def _names(cls, value: bool | tuple[str, ...]) -> bool | tuple[str, ...]:
        if value is False:
            raise ValueError("false: without a header, list the names of the fields")
        return value


class RestTable(PolledTable):
    """One table: what to ask for, and where its rows lie in the answer."""

    path: str = Field("", description="Appended to `url`: `/v1/orders`.")
    method: Literal["GET", "POST"] = Field("GET", description="POST sends `body` as JSON.")
    params: dict[str, str | int | bool] = Field(default_factory=dict, description="Query parameters of every request.")
    body: dict[str, Any] = Field(default_factory=dict, description="POST: the JSON to send.")
    params_in: Literal["query", "body"] = Field(
        "query", description="Where the parameters of `paging` and `since` go; in the body, dots lead inward (`filter.page`)."
    )
    format: Literal["json", "ndjson", "csv"] = Field(
        "json", description="`json`; `ndjson` (an object a line); or `csv` (see `csv`)."
    )
    rows: str = Field("@", description="json: JMESPath of the list of records in the answer; `@` where the answer is the list.")
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="Column -> JMESPath in the record (`customer.address.city`). A column that is not named here is the "
        "member, or CSV field, of its own name.",
    )
    csv: Csv = Field(default_factory=Csv, description="How a CSV body is written.")
    encoding: str = Field("", description="Character set of the body; else what the answer says, else utf-8.")
    paging: Paging = Field(default_factory=Paging, description="How to get from one page to the next.")
    since: Since | None = Field(None, description="With `cursor`: how later polls ask for what changed.")

    _expressions = field_validator("rows")(_expression)

    @field_validator("path")
    @classmethod
    def _plain_path(cls, value: str) -> str:
        if value and (not value.startswith("/") or not value.isascii() or set(value) & set("?# ")):
            raise ValueError(f"{value!r} must begin with / and have no query; parameters go into params")
        return value

    @field_validator("fields")
    @classmethod
    def _all_expressions(cls, value: dict[str, str]) -> dict[str, str]:
        return {name: _expression(text) for name, text in value.items()}

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name if value else ""
        except LookupError:
            raise ValueError(f"{value!r} is no character set; write one such as utf-8 or latin-1") from None

    @model_validator(mode="after")
    def _consistent(self) -> "RestTable":
        if (self.cursor is None) != (self.since is None):
            raise ValueError("cursor (which field) and since (which parameter) go together")
        if self.method == "GET" and (self.body or self.params_in == "body"):
            raise ValueError("a GET has no body; write method: POST")
        if self.format != "json" and self._in_body():
            raise ValueError(f"{', '.join(self._in_body())}: a body of {self.format} has no place for it; only header:NAME has")
        return self

    @model_validator(mode="after")
    def _since_fits(self) -> "RestTable":
        if self.cursor is None or self.since is None:
            return self
        if self.since.place != "row" and self.cursor.type != "text":
            raise ValueError("a token that the origin makes is opaque: write cursor.type: text")
        if self.since.place == "body":
            _expression(self.cursor.field)
        if self.since.place == "header":
            header_name(self.cursor.field)
        if self.since.format == "raw" and self.cursor.reach:
            raise ValueError("since.format raw sends the value as it came, so it cannot reach back: write cursor.overlap: 0")
        return self

    def _in_body(self) -> list[str]:
        paging = self.paging
        found = [] if self.rows == "@" else ["rows"]
        found += [f"paging.{name}" for name in ("total", "next") if _of_body(getattr(paging, name))]
        found += ["paging.more"] if paging.more else []
        return found + (["since.place: body"] if self.since is not None and self.since.place == "body" else [])


def _of_body(place: str | None) -> bool:
    return place is not None and not place.startswith("header:")


class RestSettings(WebSettings):
    """A service that answers with JSON, NDJSON or CSV over HTTP."""

    kind: Literal["rest"] = Field("rest", description="This kind of source.")
    url: str = Field(description="Address that all tables' paths begin with: `https://shop.example/api`.")
    auth: Auth | None = Field(None, description="How the origin knows us, where it is not by `basic`.")
    pause: float = Field(0.0, ge=0, le=3600, description="Seconds between two requests, where the origin limits their rate.")
    max_wait: float = Field(
        3600.0, ge=0, le=86_400, description="Longest wait that the origin may ask for (`Retry-After`); then it is asked again."
    )
    tables: dict[str, RestTable] = Field(min_length=1, description="Table (as declared in the models) -> its requests.")

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return valid_url(value).rstrip("/")

    @model_validator(mode="after")
    def _one_login(self) -> "RestSettings":
        if self.basic is not None and self.auth is not None:
            raise ValueError("`basic` and `auth` exclude each other")
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.url, self.auth.token_url if self.auth else None)))

    @property
    def has_secrets(self) -> bool:
        return self.auth is not None or super().has_secrets
