"""One table as requests and answers: what to ask for, and how to read what came."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from email.message import Message
from typing import Any

from topline.errors import SourceHalted, TransientError
from topline.schema import TableSchema
from topline.sources.polled import Record
from topline.sources.rest.bodies import Body, Element, Reader, Unreadable, reader
from topline.sources.rest.client import Client, http_date
from topline.sources.rest.jsontext import dumps
from topline.sources.rest.paging import Step
from topline.sources.rest.rows import Fields
from topline.sources.rest.settings import RestTable
from topline.sources.web.addresses import Url
from topline.sources.web.wire import Answer, Request

_STEP = 60.0  # seconds: a change within the second of Last-Modified, or by a clock that is off, would not show


@dataclass(frozen=True, slots=True)
class Conditions:
    """By which headers to ask whether a list is still the one that was read (RFC 9110 section 13.1)."""

    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, answer: Answer) -> "Conditions":
        """The entity tag, or the time of the last change where that lies well before the answer (section 8.8.2.2)."""
        tag = answer.headers.get("etag", "")
        if tag.isascii() and tag.isprintable() and tag:
            return cls((("If-None-Match", tag),))
        changed, now = (http_date(answer.headers.get(name, "")) for name in ("last-modified", "date"))
        if changed is not None and now is not None and (now - changed).total_seconds() >= _STEP:
            return cls((("If-Modified-Since", answer.headers["last-modified"]),))
        return cls()


class Table:
    """What the pages of one table are asked for with, and read by."""

    def __init__(self, client: Client, settings: RestTable, schema: TableSchema, zone: tzinfo) -> None:
        self.client, self.settings, self.schema, self.zone = client, settings, schema, zone
        self.expired = frozenset(settings.since.expired) if settings.since is not None else frozenset[int]()
        self.reader: Reader = reader(settings)
        self._fields = Fields(settings, schema)
        base = client.base
        self._url = replace(base, path=base.path.rstrip("/") + settings.path) if settings.path else base

    def ask(self, step: Step, since: str | None, conditions: Conditions) -> Answer:
        """The answer to the request for a page; see Client.ask."""
        return self.client.ask(self._request(step, since, conditions))

    def read(self, answer: Answer) -> Body:
        """The records of an answer. TransientError where it is not in the format, SourceHalted for a page made for people."""
        where = answer.request.shown
        if answer.status == 204:
            return Body([])
        if _is_html(answer):
            raise SourceHalted(
                f"{where}: answers with an HTML page in place of {self.settings.format}, a login page perhaps; see url, path "
                f"and auth{self.client.snippet(answer)}"
            )
        if self.settings.format != "json" and not answer.framed:
            raise SourceHalted(
                f"{where}: the answer has neither a Content-Length nor chunks, so that one cut off could not be told from a "
                f"whole {self.settings.format}; the server must send one of them"
            )
        try:
            return self.reader.read(answer.body, _charset(answer))
        except Unreadable as error:
            reason = self.client.hide(str(error))
            raise TransientError(f"{where}: the answer cannot be read: {reason}{self.client.snippet(answer)}") from None

    def record(self, element: Element, locator: str) -> Record:
        return self._fields.record(element, locator)

    def _request(self, step: Step, since: str | None, conditions: Conditions) -> Request:
        """A link holds all parameters already, but for those of a body."""
        settings = self.settings
        url, ours = (step, {}) if isinstance(step, Url) else (self._url, dict(step))
        if since is not None and settings.since is not None and url is not step:
            ours[settings.since.param] = since
        params = {} if url is step else {name: _text(value) for name, value in settings.params.items()}
        headers = {"Accept": self.reader.accept, **dict(conditions.headers)}
        if settings.method == "GET":
            return Request("GET", url, tuple({**params, **ours}.items()), headers)
        inside = ours if settings.params_in == "body" else {}
        content = dumps(_inside(settings.body, inside)).encode()
        query = params if settings.params_in == "body" else {**params, **ours}
        return Request("POST", url, tuple(query.items()), {**headers, "Content-Type": "application/json"}, content)


def _inside(body: Mapping[str, Any], params: Mapping[str, str]) -> dict[str, Any]:
    """`body` with each parameter at its place; dots in a name lead inward."""
    result = dict(body)
    for name, value in params.items():
        *path, last = name.split(".")
        level = result
        for part in path:
            inner = level.get(part)
            level[part] = dict(inner) if isinstance(inner, dict) else {}
            level = level[part]
        level[last] = value
    return result


def _text(value: str | int | bool) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _is_html(answer: Answer) -> bool:
    begins = answer.body.lstrip()[:15].lower()
    kind = answer.content_type.lower()
    return begins.startswith((b"<!doctype html", b"<html")) or "text/html" in kind


def _charset(answer: Answer) -> str:
    message = Message()
    message["content-type"] = answer.content_type
    return message.get_content_charset("")
