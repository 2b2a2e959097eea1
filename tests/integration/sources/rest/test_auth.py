"""Who we are is told to the origin alone: on each request, renewed in time, never in a message, never to another server."""

import json
import logging
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.integration.sources.rest.asking import always, feed, in_turn, listed, rows, serving
from tests.polling import until
from tests.servers.http import Asked, Reply, Server
from topline.errors import SourceHalted, TransientError

ONE = Reply(rows("1"))
BEARER = {"type": "bearer", "token": "s3cr3t-token"}
KEY = {"type": "api_key", "key": "s3cr3t key+", "name": "key", "place": "query"}


def test_a_bearer_token() -> None:
    with serving(always(ONE)) as server:
        listed(feed(server.url, auth=BEARER).pages(None))
        assert server.asked[0].headers["authorization"] == "Bearer s3cr3t-token"


def test_user_and_password() -> None:
    with serving(always(ONE)) as server:
        listed(feed(server.url, basic={"username": "jo", "password": "pä:ss"}).pages(None))
        assert server.asked[0].headers["authorization"] == "Basic " + b64encode("jo:pä:ss".encode()).decode()


def test_a_key_in_a_header() -> None:
    with serving(always(ONE)) as server:
        listed(feed(server.url, auth={"type": "api_key", "key": "k-1", "name": "X-Key"}).pages(None))
        assert server.asked[0].headers["x-key"] == "k-1"


def test_a_key_in_the_query_goes_with_links_and_redirects_too() -> None:
    app = in_turn(
        Reply(status=307, headers={"Location": "/there?a=1"}),
        Reply(rows("1"), headers={"Link": "</x?page=2>; rel=next"}),
        Reply(rows("2")),
    )
    with serving(app) as server:
        assert listed(feed(server.url, {"paging": {"by": "link"}}, auth=KEY).pages(None)) == ["1", "2"]
        assert [asked.query for asked in server.asked] == [
            {"key": "s3cr3t key+"},
            {"a": "1", "key": "s3cr3t key+"},
            {"page": "2", "key": "s3cr3t key+"},
        ]


def test_headers_go_with_every_request() -> None:
    with serving(always(ONE)) as server:
        listed(feed(server.url, headers={"Accept": "application/vnd.shop+json", "X-Shop": "7"}).pages(None))
        assert server.asked[0].headers.items() >= {("accept", "application/vnd.shop+json"), ("x-shop", "7")}


class Issuer:
    """A token endpoint and the service behind it, which knows the newest token alone."""

    def __init__(self, life: float = 3600) -> None:
        self.life, self.issued, self.refused, self.refusing = life, 0, 0, False
        self.forms: list[tuple[dict[str, str], str | None]] = []

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/token":
            return self.issue(asked)
        good = asked.headers.get("authorization") == f"Bearer token-{self.issued}" and not self.refusing
        self.refused += not good
        return ONE if good else Reply('{"error": "invalid token"}', 401)

    def issue(self, asked: Asked) -> Reply:
        self.issued += 1
        self.forms.append((dict(parse_qsl(asked.body.decode())), asked.headers.get("authorization")))
        return Reply(json.dumps({"access_token": f"token-{self.issued}", "token_type": "Bearer", "expires_in": self.life}))


def oauth(server: Server, **more: Any) -> dict[str, Any]:
    client = {"client_id": "id:1", "client_secret": "s3cr3t/+"}
    return {"type": "oauth2", "token_url": f"{server.url}/token", **client, **more}


def test_a_token_is_fetched_once_and_used_until_it_ends() -> None:
    issuer = Issuer()
    with serving(issuer) as server:
        asking = feed(server.url, auth=oauth(server, scope="read sales", extra={"audience": "shop"}))
        for _ in range(3):
            listed(asking.pages(None))
            asking.close()
    assert issuer.issued == 1
    form = {"grant_type": "client_credentials", "scope": "read sales", "audience": "shop"}
    assert issuer.forms == [(form, "Basic " + b64encode(b"id%3A1:s3cr3t%2F%2B").decode())]


def test_the_client_may_tell_itself_in_the_form() -> None:
    issuer = Issuer()
    with serving(issuer) as server:
        listed(feed(server.url, auth=oauth(server, client_auth="body")).pages(None))
    assert issuer.forms[0] == ({"grant_type": "client_credentials", "client_id": "id:1", "client_secret": "s3cr3t/+"}, None)


def test_a_token_is_renewed_before_it_ends() -> None:
    """It lives for a second; the next poll is not met with a refusal first."""
    issuer = Issuer(life=0)
    with serving(issuer) as server:
        asking = feed(server.url, auth=oauth(server))
        listed(asking.pages(None))
        until(lambda: listed(asking.pages(None)) and issuer.issued > 1)
        assert sum(asked.path == "/token" for asked in server.asked) == issuer.issued == 2
        refused = [
            asked for asked in server.asked if asked.path != "/token" and asked.headers["authorization"] > "Bearer token-2"
        ]
        assert refused == []


def test_a_token_that_is_refused_is_renewed_once() -> None:
    issuer = Issuer()
    with serving(issuer) as server:
        asking = feed(server.url, auth=oauth(server))
        listed(asking.pages(None))
        issuer.issued += 1  # the service forgets it
        assert listed(asking.pages(None)) == ["1"]
        assert issuer.issued == 3


def test_a_renewed_token_that_is_refused_too_stops() -> None:
    issuer = Issuer()
    issuer.refusing = True
    with serving(issuer) as server, pytest.raises(SourceHalted, match="HTTP 401 Unauthorized; see auth"):
        listed(feed(server.url, auth=oauth(server)).pages(None))
    assert issuer.issued == 2


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (
            Reply('{"error": "invalid_client", "error_description": "not s3cr3t/+"}', 401),
            SourceHalted,
            "invalid_client not \\*\\*\\*",
        ),
        (Reply('{"error": "invalid_scope"}', 400), SourceHalted, "invalid_scope"),
        (Reply("<html>", 200), SourceHalted, "without an access_token"),
        (Reply('{"access_token": "x", "token_type": "mac"}'), SourceHalted, "type bearer"),
        (Reply('{"access_token": "a\\r\\nb"}'), SourceHalted, "without an access_token"),
        (Reply(status=302, headers={"Location": "https://evil.example"}), SourceHalted, "HTTP 302"),
        (Reply("later", 503), TransientError, "no token now"),
        (Reply("[" * 100_000), SourceHalted, "without an access_token"),
    ],
)
def test_where_no_token_is_given_it_says_so(reply: Reply, error: type[Exception], said: str) -> None:
    with serving(always(reply)) as server, pytest.raises(error, match=said) as caught:
        listed(feed(server.url, auth=oauth(server)).pages(None))
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(("status", "said"), [(401, "see auth"), (403, "may not read"), (404, "url and path"), (405, "method")])
def test_a_refusal_stops_with_what_to_do(status: int, said: str) -> None:
    with serving(always(Reply('{"message": "no"}', status))) as server, pytest.raises(SourceHalted) as caught:
        listed(feed(server.url, {"path": "/orders"}, auth=BEARER).pages(None))
    assert f"GET {server.url}/orders: HTTP {status}" in str(caught.value)
    assert said in str(caught.value)
    assert '{"message": "no"}' in str(caught.value)


LOGIN = {"basic": {"username": "u", "password": "s3cr3t pass"}}


@pytest.mark.parametrize("login", [{"auth": BEARER}, {"auth": KEY}, LOGIN])
def test_no_secret_comes_back_in_a_message_or_a_log(login: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """The origin repeats what it was sent."""

    def echo(asked: Asked) -> Reply:
        return Reply(json.dumps([asked.query, dict(asked.headers), "s3cr3t pass", "s3cr3t key+"]), 500)

    with serving(echo) as server, caplog.at_level(logging.DEBUG), pytest.raises(TransientError) as caught:
        listed(feed(server.url, **login).pages(None))
    shown = str(caught.value) + caplog.text
    if login is not LOGIN:
        shown = shown.replace("s3cr3t pass", "")
    if login.get("auth") is not KEY:
        shown = shown.replace("s3cr3t key+", "")
    assert "s3cr3t" not in shown
    assert b64encode(b"u:s3cr3t pass").decode() not in shown


@pytest.mark.parametrize("table", [{"rows": "seen"}, {"format": "csv"}])
def test_no_secret_comes_back_from_a_body_that_cannot_be_read(table: dict[str, Any]) -> None:
    body = '{"seen": "s3cr3t-token"},{"seen": "s3cr3t-token"}' if "format" in table else '{"seen": "s3cr3t-token"}'
    with serving(always(Reply(body))) as server, pytest.raises(TransientError, match="cannot be read") as caught:
        listed(feed(server.url, table, auth=BEARER).pages(None))
    assert "s3cr3t" not in str(caught.value)


def test_a_header_may_be_a_secret_too() -> None:
    with serving(always(Reply("we know s3cr3t", 500))) as server, pytest.raises(TransientError) as caught:
        listed(feed(server.url, headers={"X-Shop-Secret": "s3cr3t"}).pages(None))
    assert "we know ***" in str(caught.value)


def test_redirects_on_the_same_host_are_followed() -> None:
    app = in_turn(Reply(status=301, headers={"Location": "b?x=1"}), Reply(status=308, headers={"Location": "/c"}), ONE)
    with serving(app) as server:
        assert listed(feed(server.url, {"path": "/v1/a", "params": {"p": "q"}}, auth=BEARER).pages(None)) == ["1"]
        assert [(asked.path, asked.query) for asked in server.asked] == [
            ("/v1/a", {"p": "q"}),
            ("/v1/b", {"x": "1"}),
            ("/c", {}),
        ]
        assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer s3cr3t-token"}


def elsewhere(server: Server, other: Server) -> list[str]:
    return [
        other.url,
        "https://evil.example/",
        "//evil.example",
        f"ftp://127.0.0.1:{server.port}",
        "http://127.0.0.1",
        "",
        "http://[",
    ]


@pytest.mark.parametrize("nth", range(7))
def test_a_redirect_to_another_server_stops_and_tells_it_nothing(nth: int) -> None:
    with serving(always(ONE)) as other, serving(always(ONE)) as server:
        server.app = always(Reply(status=302, headers={"Location": elsewhere(server, other)[nth]}))
        with pytest.raises(SourceHalted, match=r"redirects (to|.*more than)|more than 5 redirects"):
            listed(feed(server.url, auth=BEARER).pages(None))
        assert other.asked == []


def test_redirects_without_end_stop() -> None:
    with serving(always(Reply(status=302, headers={"Location": "/a"}))) as server:
        with pytest.raises(SourceHalted, match="more than 5 redirects"):
            listed(feed(server.url).pages(None))
        assert len(server.asked) == 6


def test_a_post_is_not_turned_into_a_get() -> None:
    with (
        serving(always(Reply(status=302, headers={"Location": "/a"}))) as server,
        pytest.raises(SourceHalted, match="as a GET"),
    ):
        listed(feed(server.url, {"method": "POST"}).pages(None))


def test_a_post_is_sent_again_where_the_redirect_keeps_it() -> None:
    app = in_turn(Reply(status=307, headers={"Location": "/a"}), ONE)
    with serving(app) as server:
        listed(feed(server.url, {"method": "POST", "body": {"a": 1}}).pages(None))
        assert [(asked.method, asked.body) for asked in server.asked] == [("POST", b'{"a": 1}')] * 2
