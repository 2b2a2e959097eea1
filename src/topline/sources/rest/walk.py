"""One walk over the pages of a table: asks, reads, and stops where the pages would never end."""

import hashlib
import logging
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from topline.errors import SourceHalted, TransientError
from topline.sources.polled import CursorExpired, Page, Record
from topline.sources.rest.client import Later, Refused
from topline.sources.rest.paging import Pager, Seen, Shifted, Step, pager
from topline.sources.rest.progress import Progress, asked
from topline.sources.rest.requests import Conditions, Table
from topline.sources.web.wire import Answer

log = logging.getLogger("topline.sources.rest")

_TRIES = 4  # of one page, once the walk is under way
_WALKS = 4  # over a list that changes while it is read
_NAP = 0.1  # seconds between two signs of life while it waits
_REPEATS = 5  # pages in a row, each with the same records as an earlier one


@dataclass(slots=True)
class _Count:
    """How far a walk is, and what it saw."""

    pages: int = 0
    repeats: int = 0


class Walk:
    """`pages` gives them, and an empty one now and then while it waits for the origin. `conditions` then says how the list can
    be asked for whether it changed; none where that cannot be told.
    """

    def __init__(self, table: Table, since: str | None, conditions: Conditions) -> None:
        """CursorExpired where `since` cannot be asked for any more. `conditions`: of the same list, read before."""
        self._table, self._since = table, since
        self._asked = None if since is None else asked(since, table.settings, table.zone)
        self._before = conditions
        self.conditions = Conditions()
        self._begin()

    def _begin(self) -> None:
        table = self._table
        self._progress = Progress(table.settings, table.zone, self._since) if table.settings.cursor is not None else None
        self._pager: Pager = pager(table.settings.paging, table.client.base)
        self._count, self._contents = _Count(), set[bytes]()

    def pages(self) -> Iterator[Page]:
        """Where the list shifts under the walk, it begins again, a few times; what came twice is the same row."""
        for walk in range(1, _WALKS + 1):
            try:
                yield from self._once()
                return
            except Shifted as error:
                if walk == _WALKS:
                    raise
                log.warning("%s", error)
                self._begin()

    def _once(self) -> Iterator[Page]:
        step: Step | None = self._pager.first()
        while step is not None:
            answer = yield from self._asked_for(step)
            if answer.status == 304:
                self.conditions = self._before
                yield Page(unchanged=True)
                return
            page, step = self._page(answer)
            self._count.pages += 1
            if step is None and self._count.pages == 1 and self._pager.in_body:
                self.conditions = Conditions.of(answer)
            yield page

    def _page(self, answer: Answer) -> tuple[Page, Step | None]:
        """The page, and where the next one is."""
        body = self._table.read(answer)
        number = self._count.pages + 1
        records = [self._table.record(element, f"page {number}, record {n}") for n, element in enumerate(body.elements, 1)]
        seen = Seen(answer, body.document, [self._key(record) for record in records], body.elements)
        self._stop_loops(seen)
        step = self._pager.next(seen)
        if step is not None and number >= self._table.settings.paging.max_pages:
            raise SourceHalted(
                f"{answer.request.shown}: more than {number} pages; if the list is that long, raise paging.max_pages"
            )
        cursor = None if self._progress is None else self._progress.after(seen, records, step is None)
        return Page(records, cursor), step

    def _key(self, record: Record) -> str:
        """What tells a record apart: its key, or its bytes where it has none."""
        values = [record.values.get(name) for name in self._table.schema.key]
        if not record.fault and None not in values:
            return repr(values)
        return repr(record.original())

    def _stop_loops(self, seen: Seen) -> None:
        """That a page holds the same records as an earlier one may be chance, as rows were inserted before it; that one after
        the other does is none."""
        if not seen.keys or self._pager.retracing:
            return
        content = hashlib.blake2b("\n".join(seen.keys).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._count.repeats = self._count.repeats + 1 if content in self._contents else 0
        self._contents.add(content)
        if self._count.repeats >= _REPEATS:
            raise SourceHalted(
                f"{seen.answer.request.shown}: page {self._count.pages + 1} holds the same records as an earlier one, and so "
                "did the pages before it: the list would never end. Does the origin know the parameter that paging.param names?"
            )

    def _asked_for(self, step: Step) -> Generator[Page, None, Answer]:
        """The answer to a page's request. The first page fails at once, as nothing is lost by asking later; for the others the
        walk waits, else a long list would begin again and again."""
        first = self._count.pages == 0
        conditions = self._before if first and self._since is None else Conditions()
        for tried in range(1, _TRIES + 1):
            yield from _waiting(self._table.client.pace.rest())
            try:
                return self._table.ask(step, self._asked, conditions)
            except Refused as error:
                if first and self._since is not None and error.status in self._table.expired:
                    raise CursorExpired(str(error)) from None
                raise error if first else _beyond(error) from None
            except TransientError as error:
                if first or tried == _TRIES:
                    raise
                seconds = error.seconds if isinstance(error, Later) else 0.25 * 2.0**tried
                log.warning("%s; page %d is asked for again in %.0f s", error, self._count.pages + 1, seconds)
                yield from _waiting(seconds)
        raise AssertionError("the last try returns or raises")


def _beyond(error: Refused) -> Refused:
    """Of a later page: some origins answer so to the page behind the last, which must not be taken for the list's end."""
    hint = "if the origin says so of the page behind the last, tell it where the list ends: paging.total, more, or by: link"
    return Refused(f"{error}. Earlier pages were given: {hint}", error.status)


def _waiting(seconds: float) -> Iterator[Page]:
    """Empty pages until it is time: signs of life, so that whoever reads can stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _NAP))
        yield Page()
