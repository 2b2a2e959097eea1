"""How answers are remembered and shared, over an app that counts how often it is asked."""

import asyncio
import datetime as dt
from typing import Any

from starlette.datastructures import State
from starlette.types import Message, Receive, Scope, Send

from topline.api.access import Caller, anybody
from topline.api.delivery import Delivery

PATH = "/api/v1/sales/city"


class App:
    """Answers with its count once it is let to."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.asked = 0
        self.go = asyncio.Event()
        self.state = State({"identify": anybody})
        self.dependency_overrides: dict[object, object] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        body = str(self.asked).encode()
        await self.go.wait()
        if not self.status:
            raise RuntimeError("broken")
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body})


class World:
    """A delivery whose generation the test moves."""

    def __init__(self, status: int = 200) -> None:
        self.app = App(status)
        self.generation: int | None = 1
        self.delivery = Delivery(self.app, lambda: self.generation, lambda: dt.date(2026, 11, 21))

    def ask(self, caller: Caller | None = None, **headers: str) -> "asyncio.Task[tuple[int, bytes]]":
        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        state: dict[str, Any] = {"caller": caller} if caller else {}
        scope = {"type": "http", "method": "GET", "path": PATH, "query_string": b"", "headers": given, "app": self.app}
        return asyncio.create_task(self._asked({**scope, "state": state}))

    async def _asked(self, scope: Scope) -> tuple[int, bytes]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request"}

        await self.delivery(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]


async def _soon() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_asks_the_same_meanwhile_waits_for_one_answer() -> None:
    async def scenario() -> None:
        world = World()
        asked = [world.ask() for _ in range(5)]
        await _soon()
        world.app.go.set()
        assert await asyncio.gather(*asked) == [(200, b"1")] * 5
        assert await world.ask() == (200, b"1")
        world.generation = 2
        assert await world.ask() == (200, b"2")

    asyncio.run(scenario())


def test_who_asks_after_a_publication_does_not_get_what_was_asked_before_it() -> None:
    async def scenario() -> None:
        world = World()
        before = world.ask()
        await _soon()
        world.generation = 2
        after = world.ask()
        await _soon()
        world.app.go.set()
        assert [await before, await after, await world.ask()] == [(200, b"1"), (200, b"2"), (200, b"2")]

    asyncio.run(scenario())


def test_a_problem_is_nobody_elses() -> None:
    async def scenario() -> None:
        world = World(503)
        asked = [world.ask() for _ in range(3)]
        await _soon()
        world.app.go.set()
        assert sorted(await asyncio.gather(*asked)) == [(503, b"1"), (503, b"2"), (503, b"3")]

    asyncio.run(scenario())


def test_who_leaves_or_fails_holds_nobody() -> None:
    async def scenario() -> None:
        world = World()
        first, second = world.ask(), world.ask()
        await _soon()
        first.cancel()
        await _soon()
        world.app.go.set()
        assert await second == (200, b"2")
        broken = World(0)
        broken.app.go.set()
        found = await asyncio.gather(broken.ask(), broken.ask(), return_exceptions=True)
        assert [type(one) for one in found] == [RuntimeError, RuntimeError]

    asyncio.run(scenario())


def test_other_rights_are_another_answer() -> None:
    async def scenario() -> None:
        world = World()
        world.app.go.set()
        rule = Caller(name="ann", cities=frozenset({("IT", None, None)}))
        same = Caller(name="bob", cities=frozenset({("IT", None, None)}))
        assert [await world.ask(), await world.ask(rule), await world.ask(same)] == [(200, b"1"), (200, b"2"), (200, b"2")]

    asyncio.run(scenario())


def test_with_a_dependency_overridden_nothing_is_remembered() -> None:
    async def scenario() -> None:
        world = World()
        world.app.go.set()
        world.app.dependency_overrides[anybody] = anybody
        assert [await world.ask(), await world.ask()] == [(200, b"1"), (200, b"2")]

    asyncio.run(scenario())


def test_where_nobody_can_tell_nothing_is_shared() -> None:
    async def scenario() -> None:
        world = World()
        world.generation = None
        world.app.go.set()
        assert [await world.ask(), await world.ask()] == [(200, b"1"), (200, b"2")]

    asyncio.run(scenario())
