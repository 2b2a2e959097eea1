"""Feeds and sources over the test's server, in a few words."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.http import App, Asked, Reply, Server
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context
from topline.sources.polled import Page, PolledSource, Record
from topline.sources.rest import Settings, create
from topline.sources.rest.feed import RestFeed
from topline.sources.rest.source import feeds

THINGS = TableSchema("origin.things", (Column("id", Type.TEXT), Column("value", Type.TEXT)), ("id",))
Table = Mapping[str, Any]


def context(root: Path) -> Context:
    return Context("origin", {"things": THINGS}, root, root / ".topline")


def settings(url: str, table: Table | None = None, **more: Any) -> Settings:
    timeouts = {"connect": 5, "read": 5, "total": 10}
    return Settings.model_validate({"url": url, "timeouts": timeouts, "tables": {"things": dict(table or {})}, **more})


def feed(url: str, table: Table | None = None, root: Path = Path("."), **more: Any) -> RestFeed:
    return feeds(context(root), settings(url, table, **more))("things")


def source(url: str, root: Path, table: Table | None = None, **more: Any) -> PolledSource:
    return create(context(root), settings(url, table, **{"every": 0.01, **more}))


def listed(pages: Iterator[Page]) -> list[object]:
    """The ids of all records, in their order; of one that cannot be read, its bytes."""
    return [_shown(record) for page in pages for record in page.records]


def _shown(record: Record) -> object:
    return record.original() if record.fault else record.values["id"]


@contextmanager
def serving(app: App, **more: Any) -> Iterator[Server]:
    server = Server(app, **more)
    try:
        yield server
    finally:
        server.close()
    assert server.fault is None, server.fault


def always(reply: Reply) -> App:
    return lambda _: reply


def rows(*ids: object) -> str:
    """A JSON list of rows."""
    return json.dumps([{"id": one, "value": "v"} for one in ids])


def in_turn(*replies: Reply | Callable[[Asked], Reply]) -> App:
    """One answer after the other; the last stays."""
    left: Sequence[Reply | Callable[[Asked], Reply]] = list(replies)

    def app(asked: Asked) -> Reply:
        nonlocal left
        reply, left = left[0], left[1:] or left
        return reply if isinstance(reply, Reply) else reply(asked)

    return app
