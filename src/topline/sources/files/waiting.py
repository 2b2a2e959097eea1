"""Files that were found and are not read yet: which comes next, and how much of them there is."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from topline.sources.files.ahead import WINDOW
from topline.sources.files.found import Found


class Waiting:
    """`lag_bytes` is the size of all that is unread. What was there at the opening is counted apart, for `reached_end`."""

    def __init__(self) -> None:
        self._news: dict[str, Found] = {}
        self._queue: deque[Found] = deque()
        self._at_first: set[str] = set()
        self.lag_bytes = 0

    def __len__(self) -> int:
        return len(self._news)

    def sizes(self, table: str) -> set[int]:
        """Of the unread files of a table."""
        return {file.stat.size for file in self._news.values() if file.table == table}

    def update(self, news: Iterable[Found], found: Mapping[str, Found]) -> None:
        """What a look brought: `news` are to be read; of the others only what is still `found` goes on waiting."""
        for file in news:
            self.done(file.partition, seen=False)
            self._news[file.partition] = file
            self.lag_bytes += file.stat.size
        for partition in self._news.keys() - found.keys():
            self.done(partition)

    def mark_first(self) -> None:
        """All that waits now was there at the opening."""
        self._at_first = set(self._news)

    @property
    def first_are_done(self) -> bool:
        return not self._at_first

    def line_up(self, ready: Callable[[Found], bool]) -> bool:
        """Those that are ready, in the order in which they are to be read; whether there are any."""
        self._queue.extend(sorted(filter(ready, self._news.values()), key=lambda file: file.order))
        for file in islice(self._queue, WINDOW):
            file.place.prepare()
        return bool(self._queue)

    def next(self) -> Found | None:
        """None: see `line_up`."""
        if len(self._queue) > WINDOW:
            self._queue[WINDOW].place.prepare()
        return self._queue.popleft() if self._queue else None

    @property
    def is_lined_up(self) -> bool:
        return bool(self._queue)

    def done(self, partition: str, seen: bool = True) -> None:
        """It is read, or gone."""
        if (file := self._news.pop(partition, None)) is not None:
            self.lag_bytes -= file.stat.size
        if seen:
            self._at_first.discard(partition)
