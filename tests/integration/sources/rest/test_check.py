"""`check` finds what is wrong before a run, and says what to do; settings that cannot work are refused with their place."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.integration.sources.rest.asking import always, context, feed, rows, serving, settings
from tests.servers.http import Reply
from topline.errors import ConfigError
from topline.sources.rest import create

VERSION = {"cursor": {"field": "v", "type": "number"}, "since": {"param": "since"}}


@pytest.mark.parametrize(
    ("reply", "table", "problem", "remedy"),
    [
        (Reply("no", 401), {}, "HTTP 401", "set auth"),
        (Reply("no", 403), {}, "HTTP 403", "administrator"),
        (Reply("no", 404), {}, "HTTP 404", "correct url or path"),
        (Reply("no", 500), {}, "HTTP 500", "see that the origin runs"),
        (Reply("<html>"), {}, "login page", "correct what it names"),
        (Reply('{"data": []}'), {"rows": "items"}, r"'items' finds nothing, no list.*items \|\| `\[\]`", ""),
        (Reply('{"items": {"a": 1}}'), {"rows": "items"}, "finds an object, no list", ""),
        (Reply("[1, 2]"), {}, "none of 2 records can be read: not a JSON object", "rows"),
        (Reply('[{"nr": 1}]'), {}, "no record has the key 'id'", r"fields: \{id: PATH\}"),
        (Reply('[{"nr": 1}]'), {"fields": {"id": "number"}}, "no record has the key 'id'", "correct the JMESPath 'number'"),
        (Reply(rows("1")), VERSION, "no record has 'v'", "name a field that grows"),
        (Reply("id;value\n1;2\n"), {"format": "csv"}, "no record has the key 'id'", ""),
        (Reply("id,id\n"), {"format": "csv"}, "a name stands twice", ""),
    ],
)
def test_a_fault_is_found_with_its_remedy(reply: Reply, table: dict[str, Any], problem: str, remedy: str) -> None:
    import re

    with serving(always(reply)) as server:
        (fault,) = feed(server.url, table).check()
    assert fault.where.startswith("sources.origin.tables.things")
    assert re.search(problem, fault.problem)
    assert fault.remedy
    assert re.search(remedy, fault.remedy)


@pytest.mark.parametrize("body", ["[]", rows("1"), '[{"id": 1}, 7]'])
def test_what_can_be_read_has_no_fault(body: str) -> None:
    """One record that is none is a dead letter, not a fault of the settings."""
    with serving(always(Reply(body))) as server:
        assert feed(server.url).check() == []


def test_one_page_is_enough() -> None:
    with serving(always(Reply(rows("1")))) as server:
        feed(server.url, {"paging": {"by": "page", "param": "page"}}).check()
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"rows": "items[?"}, "is no JMESPath"),
        ({"fields": {"id": "a..b"}}, "is no JMESPath"),
        ({"paging": {"by": "page"}}, "paging by page needs param"),
        ({"paging": {"by": "offset", "param": "skip"}}, "needs size"),
        ({"paging": {"by": "cursor", "param": "p"}}, "needs next"),
        ({"paging": {"by": "page", "param": "p", "until": "short"}}, "need size"),
        ({"paging": {"by": "link", "next": "header:a b"}}, "no name of a header"),
        ({"cursor": {"field": "v"}}, "cursor .* and since .* go together"),
        ({"since": {"param": "since"}}, "cursor .* and since .* go together"),
        ({**VERSION, "since": {"param": "s", "place": "body"}}, r"cursor\.type: text"),
        ({**VERSION, "since": {"param": "s", "format": "raw"}}, r"cursor\.overlap: 0"),
        ({**VERSION, "since": {"param": "s", "format": "rfc"}}, "is not iso"),
        ({**VERSION, "since": {"param": "s", "template": "since"}}, r"must have \{\} once"),
        ({"body": {"a": 1}}, "a GET has no body"),
        ({"format": "csv", "rows": "items"}, "rows: a body of csv"),
        ({"format": "ndjson", "paging": {"by": "cursor", "param": "p", "next": "next"}}, r"paging\.next: a body of ndjson"),
        ({"path": "orders"}, "must begin with /"),
        ({"path": "/orders?a=1"}, "go into params"),
        ({"encoding": "utf-9"}, "no character set"),
        ({"csv": {"header": False}}, "list the names"),
        ({"csv": {"delimiter": "é"}}, "one ASCII character"),
        ({"color": "red"}, "Extra inputs"),
    ],
)
def test_a_table_that_cannot_work_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings("https://shop.example", table)


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("shop.example/api", {}, "no address of http"),
        ("ftp://shop.example", {}, "no address of http"),
        ("https://jo:s3cr3t@shop.example", {}, "write basic"),
        ("https://shop.example:99999", {}, "no address"),
        ("http://shop.example", {"auth": {"type": "bearer", "token": "t"}}, "plain_http"),
        ("http://shop.example", {"headers": {"authorization": "t"}}, "plain_http"),
        ("https://shop.example", {"auth": {"type": "bearer"}}, "auth of type bearer needs token"),
        ("https://shop.example", {"auth": {"type": "api_key", "key": "k", "token": "t"}}, "has no use for token"),
        ("https://shop.example", {"auth": {"type": "oauth2", "client_id": "i"}}, "needs token_url, client_secret"),
        ("https://shop.example", {"auth": {"type": "api_key", "key": "k", "name": "a b"}}, "no name of a header"),
        ("https://shop.example", {"headers": {"X-A": "s3cr3t\r\nX-B: 1"}}, "printable ASCII"),
        ("https://shop.example", {"auth": {"type": "bearer", "token": "s3cr3t\nX: y"}}, "printable ASCII"),
        ("https://shop.example", {"tls": {"key": "a.key"}}, "a key goes with `certificate`"),
        ("https://shop.example", {"every": 0}, "greater than 0"),
        ("https://shop.example:0", {}, "port 0"),
        ("http://shop.example", {"basic": {"username": "u", "password": "p"}}, "plain_http"),
        ("https://shop.example", {"basic": {"username": "u:s", "password": "p"}}, "no colon"),
        ("https://shop.example", {"basic": {"username": "u"}, "auth": {"type": "bearer", "token": "t"}}, "exclude each other"),
        ("https://shop.example", {"basic": {"username": "u"}, "headers": {"authorization": "t"}}, "exclude each other"),
        ("https://shop.example", {"proxy": "http://u:s3cr3t@127.0.0.1"}, "without user and password"),
    ],
)
def test_a_source_that_cannot_work_is_refused(url: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        settings(url, **more)
    assert all("s3cr3t" not in error["msg"] for error in caught.value.errors())


def test_credentials_over_http_stay_on_this_machine_or_are_allowed() -> None:
    auth = {"type": "bearer", "token": "t"}
    for url in ("http://localhost:80", "http://127.0.0.1", "http://[::1]:8080"):
        settings(url, auth=auth)
    settings("http://shop.example", auth=auth, plain_http=True)


def test_an_address_may_be_a_reference() -> None:
    """It is looked at once more when the reference is replaced."""
    auth = {"type": "oauth2", "token_url": "${env:TOKENS}", "client_id": "${env:ID}", "client_secret": "${file:secret}"}
    settings("${env:SHOP}/api", auth=auth)


def test_declared_and_configured_tables_are_the_same(tmp_path: Path) -> None:
    wrong = settings("https://shop.example").model_copy(update={"tables": {}})
    with pytest.raises(ConfigError, match="'things' is declared"):
        create(context(tmp_path), wrong)
    more = settings("https://shop.example", {"fields": {"colour": "color"}})
    with pytest.raises(
        ConfigError, match=r"tables\.things\.fields\.colour: no such column is declared; declared are id, value"
    ):
        create(context(tmp_path), more)


def test_secrets_do_not_show_in_the_settings() -> None:
    made = settings("https://shop.example", basic={"username": "u", "password": "s3cr3t"})
    assert "s3cr3t" not in repr(made)
