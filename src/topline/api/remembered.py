"""Rankings that were asked for since the last publication are answered from memory, to the byte."""

from collections.abc import Callable
from datetime import date

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PATHS = ("/api/v1/sales/", "/api/v1/salesmen/")
_MOST = 1_000  # answers
Key = tuple[str, bytes, date]


class Remembered:
    """An answer counts as long as `generation()` is what it was before the answer was made; None: nobody can tell.

    So epochs that one client sees never go back: whoever reads a newer one from the database moves the generation on.
    """

    def __init__(self, app: ASGIApp, generation: Callable[[], int | None], today: Callable[[], date]) -> None:
        self._app = app
        self._generation = generation
        self._today = today
        self._answers: dict[Key, list[Message]] = {}
        self._of: int | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        generation = self._generation() if scope["type"] == "http" and _is_ranking(scope) else None
        if generation is None:
            await self._app(scope, receive, send)
            return
        if generation != self._of or len(self._answers) > _MOST:
            self._answers, self._of = {}, generation
        key = (scope["path"], scope["query_string"], self._today())
        answer = self._answers.get(key)
        if answer is None:
            answer = await self._asked(scope, receive, send)
            if answer[0].get("status") == 200 and generation == self._generation() == self._of:
                self._answers[key] = answer
            return
        for message in answer:
            await send(message)

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> list[Message]:
        messages: list[Message] = []

        async def both(message: Message) -> None:
            messages.append(message)
            await send(message)

        await self._app(scope, receive, both)
        return messages


def _is_ranking(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["method"] == "GET" and path.startswith(_PATHS)
