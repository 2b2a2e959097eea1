"""Asks for small objects before their turn comes, so that a thousand of them do not wait for the network one by one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

WINDOW = 16  # files before whose turn theirs is asked for
SMALL = 1 << 20  # bytes
_THREADS = 8

Key = tuple[str, str]


class Ahead:
    """What was asked for and not taken is dropped after some more: at most 2 * WINDOW * SMALL bytes are held."""

    def __init__(self) -> None:
        self._asked: dict[Key, Future[bytes]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def ask(self, key: Key, fetch: Callable[[], bytes]) -> None:
        if key in self._asked:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="objects")
        while len(self._asked) >= 2 * WINDOW:
            self._asked.pop(next(iter(self._asked))).cancel()
        self._asked[key] = self._pool.submit(fetch)

    def take(self, key: Key) -> bytes | None:
        """What came, once it is there; None where it was not asked for, or did not come: whoever wants it asks again."""
        future = self._asked.pop(key, None)
        return None if future is None or future.exception() is not None else future.result()

    def close(self) -> None:
        """What is under way ends by itself, within the seconds that a request may take."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool, self._asked = None, {}
