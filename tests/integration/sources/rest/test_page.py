"""The examples of docs/sources/rest.md work as they stand there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.sources.rest.asking import in_turn, serving
from tests.servers.http import Reply
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context
from topline.sources.rest import Settings
from topline.sources.rest.source import feeds

PAGE = Path(__file__).resolve().parents[4] / "docs" / "sources" / "rest.md"
ORDER = {"id": 7, "shipping": {"address": {"city": "Rome"}}, "total": {"amount": 9.90}, "updated_at": "2026-11-21T10:00:00Z"}
ISSUE = {"id": 8, "assignee": {"login": "ann"}, "updated_at": "2026-11-21T10:00:00Z"}
VISIT = {
    "id": "v",
    "start": {"dateTime": "2026-11-21T10:00:00Z"},
    "organizer": {"email": "ann@shop.example"},
    "status": "confirmed",
}


def example(source: str) -> dict[str, Any]:
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(), re.MULTILINE)
    found = [yaml.safe_load(block)["sources"] for block in blocks if "kind: rest" in block]
    return next(dict(sources[source]) for sources in found if source in sources)


def test_the_page_has_three_examples() -> None:
    assert [example(name)["kind"] for name in ("webshop", "tracker", "calendar")] == ["rest"] * 3


@pytest.mark.parametrize(
    ("source", "replies", "values", "cursor", "later"),
    [
        (
            "webshop",
            [Reply(json.dumps({"data": {"orders": [ORDER], "count": 1}}))],
            {"id": "7", "city": "Rome", "amount": "9.9", "status": None, "updated_at": "2026-11-21T10:00:00Z"},
            "2026-11-21T10:00:00+00:00",
            {"updated_since": "2026-11-21T09:55:00Z", "page": "1", "per_page": "100", "status": "any"},
        ),
        (
            "tracker",
            [Reply(json.dumps([ISSUE]))],
            {"id": "8", "salesman": "ann", "updated_at": "2026-11-21T10:00:00Z"},
            "2026-11-21T10:00:00+00:00",
            {"since": "2026-11-21T09:59:00Z", "state": "all", "sort": "updated", "direction": "desc", "per_page": "100"},
        ),
        (
            "calendar",
            [Reply('{"access_token": "t", "expires_in": 3600}'), Reply(json.dumps({"items": [VISIT], "nextSyncToken": "s1"}))],
            {"id": "v", "starts_at": "2026-11-21T10:00:00Z", "salesman": "ann@shop.example", "status": "confirmed"},
            "s1",
            {"syncToken": "s1"},
        ),
    ],
)
def test_an_example_reads(
    source: str, replies: list[Reply], values: dict[str, object], cursor: str, later: dict[str, str], tmp_path: Path
) -> None:
    with serving(in_turn(*replies)) as server:
        text = json.dumps(example(source)).replace("${env:", "x").replace("https://login.example", server.url)
        settings = Settings.model_validate({**json.loads(text), "url": server.url})
        (name,) = settings.tables
        columns = tuple(Column(column, Type.TEXT) for column in ("id", *settings.tables[name].fields))
        context = Context(source, {name: TableSchema(f"{source}.{name}", columns, ("id",))}, tmp_path, tmp_path)
        feed = feeds(context, settings)(name)
        (page,) = feed.pages(None)
        assert [dict(record.values) for record in page.records] == [values]
        assert page.cursor == cursor
        assert [page.cursor for page in feed.pages(cursor)] == [cursor]
        assert dict(server.asked[-1].query) == later
        assert server.asked[-1].path == settings.tables[name].path
