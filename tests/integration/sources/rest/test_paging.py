"""Every way from page to page gives each row once, and stops where the pages would never end."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.sources.rest.asking import always, feed, in_turn, listed, rows, serving
from tests.servers.http import Asked, Reply
from topline.errors import SourceHalted, TransientError

ALL = [str(number) for number in range(1, 8)]
PAGE = {"paging": {"by": "page", "param": "page"}}
OFFSET = {"paging": {"by": "offset", "param": "skip", "size": 3, "size_param": "take"}}
TOKEN = {"rows": "items", "paging": {"by": "cursor", "param": "after", "next": "next"}}
LINK = {"paging": {"by": "link"}}


def numbered(size: int = 3, first: int = 1) -> Callable[[Asked], Reply]:
    def app(asked: Asked) -> Reply:
        start = size * (int(asked.query["page"]) - first)
        return Reply(rows(*ALL[start : start + size]))

    return app


def test_numbered_pages_end_with_an_empty_one() -> None:
    with serving(numbered()) as server:
        assert listed(feed(server.url, PAGE).pages(None)) == ALL
        assert [asked.query["page"] for asked in server.asked] == ["1", "2", "3", "4"]


def test_pages_may_count_from_zero_and_carry_a_size() -> None:
    paging = {"by": "page", "param": "page", "first": 0, "size": 3, "size_param": "per_page"}
    with serving(numbered(first=0)) as server:
        assert listed(feed(server.url, {"paging": paging}).pages(None)) == ALL
        assert {asked.query["per_page"] for asked in server.asked} == {"3"}


def test_an_origin_that_gives_fewer_a_page_than_asked_for_loses_nothing() -> None:
    paging = {"by": "page", "param": "page", "size": 100, "size_param": "per_page"}
    with serving(numbered()) as server:
        assert listed(feed(server.url, {"paging": paging}).pages(None)) == ALL


def test_a_short_page_ends_the_list_where_it_is_said_so() -> None:
    paging = {"by": "page", "param": "page", "size": 3, "until": "short"}
    with serving(numbered()) as server:
        assert listed(feed(server.url, {"paging": paging}).pages(None)) == ALL
        assert len(server.asked) == 3


@pytest.mark.parametrize("place", ["header:X-Total", "meta.total"])
def test_a_total_ends_the_list(place: str) -> None:
    def app(asked: Asked) -> Reply:
        start = 3 * (int(asked.query["page"]) - 1)
        items = json.loads(rows(*ALL[start : start + 3]))
        return Reply(json.dumps({"items": items, "meta": {"total": 7}}), headers={"X-Total": "7"})

    table = {"rows": "items", "paging": {"by": "page", "param": "page", "total": place}}
    with serving(app) as server:
        assert listed(feed(server.url, table).pages(None)) == ALL
        assert len(server.asked) == 3


def test_a_total_that_is_not_reached_is_no_whole_list() -> None:
    app = in_turn(*[Reply(rows("1", "2"), headers={"X-Total": "5"}), Reply("[]", headers={"X-Total": "5"})] * 9)
    with serving(app) as server, pytest.raises(TransientError, match="counts 5 records and gave 2"):
        listed(feed(server.url, {"paging": {**PAGE["paging"], "total": "header:X-Total"}}).pages(None))


def test_a_list_that_shrinks_while_it_is_read_is_read_again() -> None:
    """Row 3 moves up to where page 1 was read already, as 1 is deleted."""
    head = {"X-Total": "4"}, {"X-Total": "3"}
    app = in_turn(
        Reply(rows("1", "2"), headers=head[0]),
        Reply(rows("4"), headers=head[1]),
        Reply(rows("2", "3"), headers=head[1]),
        Reply(rows("4"), headers=head[1]),
    )
    with serving(app) as server:
        found = listed(feed(server.url, {"paging": {**PAGE["paging"], "total": "header:X-Total"}}).pages(None))
    assert found[2:] == ["2", "3", "4"]


def test_more_says_whether_there_is_another_page() -> None:
    app = in_turn(Reply('{"items": [], "more": true}'), Reply('{"items": [{"id": "1"}], "more": false}'))
    table = {"rows": "items", "paging": {"by": "page", "param": "page", "more": "more"}}
    with serving(app) as server:
        assert listed(feed(server.url, table).pages(None)) == ["1"]
        assert len(server.asked) == 2


def by_offset(current: list[str]) -> Callable[[Asked], Reply]:
    return lambda asked: Reply(rows(*current[int(asked.query["skip"]) :][: int(asked.query["take"])]))


def test_offsets_give_each_row() -> None:
    with serving(by_offset(ALL)) as server:
        assert list(dict.fromkeys(listed(feed(server.url, OFFSET).pages(None)))) == ALL


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_offsets_end_at_any_length(count: int) -> None:
    with serving(by_offset(ALL[:count])) as server:
        assert list(dict.fromkeys(listed(feed(server.url, OFFSET).pages(None)))) == ALL[:count]


def test_no_row_is_passed_over_where_rows_go_while_offsets_are_read() -> None:
    """After the second page four rows that were read are deleted: all behind them move up, over the next offset."""
    current = [str(number) for number in range(1, 13)]
    with serving(by_offset(current)) as server:
        pages = feed(server.url, OFFSET).pages(None)
        found = [record.values["id"] for _ in range(2) for record in next(pages).records]
        del current[:4]
        found += [record.values["id"] for page in pages for record in page.records]
    assert set(found) == {str(number) for number in range(1, 13)}


def test_offsets_over_a_list_without_order_stop() -> None:
    def app(asked: Asked) -> Reply:
        return Reply(rows(*(f"{len(server.asked)}-{n}" for n in range(3))))

    with serving(app) as server, pytest.raises(TransientError, match="sort by a key"):
        listed(feed(server.url, OFFSET).pages(None))


def by_token(asked: Asked) -> Reply:
    start = int(asked.query.get("after", 0))
    following = start + 3 if start + 3 < len(ALL) else None
    return Reply(json.dumps({"items": json.loads(rows(*ALL[start : start + 3])), "next": following}))


def test_tokens_lead_on() -> None:
    with serving(by_token) as server:
        assert listed(feed(server.url, TOKEN).pages(None)) == ALL
        assert [asked.query.get("after") for asked in server.asked] == [None, "3", "6"]


def test_tokens_may_come_in_a_header_and_go_into_the_body() -> None:
    app = in_turn(Reply(rows("1"), headers={"X-Next": "abc"}), Reply(rows("2")))
    table = {
        "method": "POST",
        "body": {"query": "all", "page": {"size": 10}},
        "params_in": "body",
        "paging": {"by": "cursor", "param": "page.after", "next": "header:X-Next"},
    }
    with serving(app) as server:
        assert listed(feed(server.url, table).pages(None)) == ["1", "2"]
        sent = [json.loads(asked.body) for asked in server.asked]
        assert sent == [{"query": "all", "page": {"size": 10}}, {"query": "all", "page": {"size": 10, "after": "abc"}}]
        assert server.asked[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(("token", "sent"), [('"7"', '"7"'), ("7", "7"), ('"a&b=c"', '"a&b=c"')])
def test_a_token_goes_into_a_json_body_as_it_came(token: str, sent: str) -> None:
    app = in_turn(Reply(f'{{"items": [], "next": {token}}}'), Reply('{"items": []}'))
    with serving(app) as server:
        listed(feed(server.url, {**TOKEN, "method": "POST", "params_in": "body"}).pages(None))
        assert server.asked[1].body.decode() == f'{{"after": {sent}}}'


def test_numbers_go_into_a_json_body_as_numbers() -> None:
    paging = {"by": "page", "param": "page.number", "size": 3, "size_param": "page.size"}
    with serving(always(Reply("[]"))) as server:
        listed(feed(server.url, {"method": "POST", "body": {"a": 0.5}, "params_in": "body", "paging": paging}).pages(None))
        assert server.asked[0].body.decode() == '{"a": 0.5, "page": {"number": 1, "size": 3}}'


def test_a_page_behind_the_last_that_is_refused_is_not_the_end() -> None:
    """It may as well be a service that is being replaced: what was not listed must not be taken for gone."""
    with (
        serving(in_turn(Reply(rows("1")), Reply("Invalid page", 404))) as server,
        pytest.raises(SourceHalted, match=r"HTTP 404.*Earlier pages were given.*paging\.total"),
    ):
        listed(feed(server.url, PAGE).pages(None))


def test_a_link_is_followed_to_the_letter() -> None:
    """Some are signed."""
    asked: list[str] = []

    def app(request: Asked) -> Reply:
        asked.append(request.target)
        return Reply(rows(len(asked)), headers={"Link": "</x?b=2&a=%2f+~&c&sig=A/+=>; rel=next"} if len(asked) == 1 else {})

    with serving(app) as server:
        assert listed(feed(f"{server.url}/y?tenant=1", LINK).pages(None)) == ["1", "2"]
    assert asked == ["/y?tenant=1", "/x?b=2&a=%2f+~&c&sig=A/+="]


def test_the_same_token_again_stops() -> None:
    with serving(always(Reply('{"items": [], "next": "t"}'))) as server, pytest.raises(SourceHalted, match="never end"):
        listed(feed(server.url, TOKEN).pages(None))


def test_new_tokens_for_the_same_rows_stop() -> None:
    def app(asked: Asked) -> Reply:
        return Reply(json.dumps({"items": json.loads(rows("1", "2")), "next": len(server.asked)}))

    with serving(app) as server, pytest.raises(SourceHalted, match="same records as an earlier one"):
        listed(feed(server.url, TOKEN).pages(None))


def test_an_origin_that_does_not_know_the_page_parameter_stops() -> None:
    with serving(always(Reply(rows("1", "2")))) as server, pytest.raises(SourceHalted, match=r"paging\.param"):
        listed(feed(server.url, PAGE).pages(None))


def test_a_page_that_comes_twice_by_chance_does_not_stop() -> None:
    """As many rows were inserted before it as a page holds."""
    app = in_turn(Reply(rows("1")), Reply(rows("1")), Reply(rows("2")), Reply(rows("2")), Reply("[]"))
    with serving(app) as server:
        assert listed(feed(server.url, PAGE).pages(None)) == ["1", "1", "2", "2"]


def test_too_many_pages_stop() -> None:
    table = {"paging": {**PAGE["paging"], "max_pages": 3}}
    with (
        serving(lambda asked: Reply(rows(asked.query["page"]))) as server,
        pytest.raises(SourceHalted, match=r"more than 3 pages.*max_pages"),
    ):
        listed(feed(server.url, table).pages(None))


def linked(header: Callable[[int, int], str]) -> Callable[[Asked], Reply]:
    def app(asked: Asked) -> Reply:
        page = int(asked.query.get("page", 1))
        following = {"Link": header(page + 1, int(asked.headers["host"].partition(":")[2]))} if page < 3 else {}
        return Reply(rows(page), headers=following)

    return app


@pytest.mark.parametrize(
    "form",
    [
        '</x?page={0}>; rel="next"',
        "<?page={0}>; rel=next",
        '</first>; rel="first", </x?page={0}&a=1,2>; title="a, \\"b\\"; rel=prev"; rel="last next"',
        '</x?page={0}> ; REL = "NEXT"; rel="prev"',
        '<http://127.0.0.1:{1}/x?page={0}>; rel="next"',
    ],
)
def test_link_headers_lead_on(form: str) -> None:
    table = {**LINK, "path": "/x", "params": {"kind": "a"}}
    with serving(linked(lambda page, port: form.format(page, port))) as server:
        assert listed(feed(server.url, table).pages(None)) == ["1", "2", "3"]
        assert {asked.path for asked in server.asked} == {"/x"}
        assert server.asked[0].query == {"kind": "a"}


def test_links_may_stand_in_the_body() -> None:
    app = in_turn(Reply('{"items": [{"id": "1"}], "next": "?after=1"}'), Reply('{"items": [{"id": "2"}], "next": null}'))
    with serving(app) as server:
        table = {"path": "/things", "rows": "items", "paging": {"by": "link", "next": "next"}}
        assert listed(feed(server.url, table).pages(None)) == ["1", "2"]
        assert server.asked[1].path == "/things"


@pytest.mark.parametrize("address", ["http://other.example/x?page=2", "http://127.0.0.1:1/x", "//evil.example/", "file:///etc"])
def test_a_link_to_another_server_is_refused(address: str) -> None:
    with (
        serving(always(Reply(rows("1"), headers={"Link": f"<{address}>; rel=next"}))) as server,
        pytest.raises(SourceHalted, match=r"another server|cannot be followed"),
    ):
        listed(feed(server.url, LINK, auth={"type": "bearer", "token": "secret-token"}).pages(None))


def test_the_same_link_again_stops() -> None:
    with (
        serving(always(Reply("[]", headers={"Link": "</x?page=2>; rel=next"}))) as server,
        pytest.raises(SourceHalted, match="address came a second time"),
    ):
        listed(feed(server.url, LINK).pages(None))


def test_pages_are_asked_for_when_they_are_wanted() -> None:
    with serving(numbered()) as server:
        pages = feed(server.url, PAGE).pages(None)
        next(pages)
        assert len(server.asked) == 1


def test_parameters_of_the_table_go_with_every_request() -> None:
    params: dict[str, Any] = {"status": "paid & done", "limit": 5, "all": True}
    with serving(numbered()) as server:
        listed(feed(f"{server.url}/api/", {**PAGE, "path": "/v1/things", "params": params}).pages(None))
        assert {asked.path for asked in server.asked} == {"/api/v1/things"}
        assert all(
            asked.query.items() >= {("status", "paid & done"), ("limit", "5"), ("all", "true")} for asked in server.asked
        )
