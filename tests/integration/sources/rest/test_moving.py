"""Rows change while they are listed, at any page: in the end each row is known as it is, whatever the order and the paging."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.sources.rest.asking import feed
from tests.servers.http import Asked, Reply, Server

SIZE = 3
START = 8
BASE = 1_700_000_000  # seconds: the time of version 0; versions are a thousand seconds apart
Action = int
ACTIONS = st.lists(st.lists(st.integers(0, 2 * START), max_size=2), max_size=4)
ORDERS: dict[str, Callable[[tuple[int, int]], int]] = {
    "rising": lambda row: row[1],
    "newest first": lambda row: -row[1],
    "by id": lambda row: row[0],
    "by no order": lambda row: row[0] * 7919 % 101,
}
PAGE = {"by": "page", "param": "page"}
LINK = {"by": "link"}
TOKEN = {"by": "cursor", "param": "page", "next": "header:X-Next"}
OFFSET = {"by": "offset", "param": "skip", "size": SIZE}


class Moving:
    """id -> version. An action updates a row, or inserts it; before each page but the first, the next actions take place."""

    def __init__(self, order: str, actions: list[list[Action]]) -> None:
        self._order, self.actions = ORDERS[order], list(actions)
        self.rows = {number: number for number in range(START)}

    def __call__(self, asked: Asked) -> Reply:
        start = int(asked.query.get("skip", SIZE * (int(asked.query.get("page", 1)) - 1)))
        if start and self.actions:
            for number in self.actions.pop(0):
                self.act(number)
        since = int(asked.query.get("since", 0))
        since = (since - BASE) // 1000 if since > BASE else since
        rows = sorted((row for row in self.rows.items() if row[1] >= since), key=self._order)
        following = f"{start // SIZE + 2}"
        answer = [{"id": one, "v": v, "at": BASE + 1000 * v} for one, v in rows[start : start + SIZE]]
        more = {"Link": f"</?page={following}&since={since}>; rel=next", "X-Next": following} if rows[start + SIZE :] else {}
        now = format_datetime(datetime.fromtimestamp(BASE + 1000 * max(self.rows.values()) + 500, UTC), usegmt=True)
        return Reply(json.dumps(answer), headers={**more, "Date": now})

    def act(self, number: Action) -> None:
        self.rows[number] = max(self.rows.values()) + 1


class Shrinking(Moving):
    """Where an action names a row that is there, it is deleted."""

    def act(self, number: Action) -> None:
        if self.rows.pop(number, None) is None:
            self.rows[number] = number


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(lambda _: Reply())
    yield server
    server.close()


NUMBER = {"field": "v", "type": "number", "overlap": 0}
TIME = {"field": "at", "overlap": 0}


def polled(asking: Any, cursor: str | None, known: dict[int, int]) -> str | None:
    for page in asking.pages(cursor):
        known.update((int(record.values["id"]), int(str(record.values["value"]))) for record in page.records)
        cursor = page.cursor or cursor
    return cursor


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize("paging", [PAGE, LINK, OFFSET, TOKEN], ids=["page", "link", "offset", "token"])
@pytest.mark.parametrize("cursor", [NUMBER, TIME], ids=["number", "time"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_every_change_is_seen(
    server: Server, paging: dict[str, Any], order: str, cursor: dict[str, Any], actions: list[list[Action]]
) -> None:
    """Tokens that are page numbers underneath are not what `cursor` stands for: only an order by a fixed key suits them."""
    if paging is TOKEN and order in ("rising", "newest first"):
        return
    origin = server.app = Moving(order, actions)
    since = {"param": "since", "rising": order == "rising", "format": "epoch"}
    asking, known = (
        feed(server.url, {"fields": {"value": "v"}, "paging": paging, "cursor": cursor, "since": since}),
        dict[int, int](),
    )
    stands: str | None = None
    for _ in range(4):
        stands = polled(asking, stands, known)
    origin.actions.clear()
    for _ in range(2):
        stands = polled(asking, stands, known)
    assert server.fault is None
    assert known == origin.rows


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_by_offset_no_row_that_stays_is_passed_over(server: Server, actions: list[list[Action]]) -> None:
    origin = server.app = Shrinking("by id", actions)
    stay = set(range(START)) - {number for several in actions for number in several}
    found = [
        int(str(record.values["id"])) for page in feed(server.url, {"paging": OFFSET}).pages(None) for record in page.records
    ]
    assert server.fault is None
    assert stay <= set(found)
    assert origin.rows.keys() >= stay
