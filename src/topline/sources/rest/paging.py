"""From one page to the next: by number, by offset, by a token, by a link."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jmespath
from jmespath.exceptions import JMESPathError

from topline.errors import SourceHalted, TransientError
from topline.sources.rest.bodies import Element
from topline.sources.rest.jsontext import Number, dumps, number
from topline.sources.rest.links import next_link
from topline.sources.rest.settings import Paging
from topline.sources.web.addresses import Url
from topline.sources.web.wire import Answer

Step = Mapping[str, str] | Url
"""Parameters to add to the table's own (a Number where a JSON body has to hold one), or the whole address of the page."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A page as it came. `keys`: what tells its records apart, in their order; `elements`: all that they hold."""

    answer: Answer
    document: Any
    keys: Sequence[str]
    elements: Sequence[Element]


class Shifted(TransientError):  # noqa: N818 - it says what happened
    """The list changed while it was read, so that records may have been passed over."""


class Pager(Protocol):
    """One walk over the pages of a list."""

    in_body: bool
    """Whether the body alone says that there is no other page."""
    retracing: bool
    """Whether the page asked for was passed already."""

    def first(self) -> Step: ...

    def next(self, seen: Seen) -> Step | None:
        """The page after `seen`; None where it was the last."""


def pager(paging: Paging, base: Url) -> Pager:
    """`base`: links lead to no other server."""
    match paging.by:
        case "page":
            return PagePager(paging)
        case "offset":
            return OffsetPager(paging)
        case "cursor":
            return CursorPager(paging)
        case "link":
            return LinkPager(paging, base)
    return OnePage()


def look_up(place: str, answer: Answer, document: Any) -> Any:
    """What stands at `header:NAME`, or at a JMESPath of the body; None for nothing."""
    if place.startswith("header:"):
        return answer.headers.get(place.removeprefix("header:"))
    try:
        return jmespath.search(place, document)
    except (JMESPathError, TypeError, ValueError) as error:
        raise SourceHalted(f"{answer.request.shown}: {place!r} cannot be looked up: {str(error).splitlines()[0]}") from None


class OnePage:
    in_body, retracing = True, False

    def first(self) -> Step:
        return {}

    def next(self, seen: Seen) -> Step | None:  # noqa: ARG002
        return None


class _Counted:
    """What pages by number and by offset share: size, total, and when the list ends."""

    retracing = False

    def __init__(self, paging: Paging) -> None:
        self._paging = paging
        self._listed = 0
        self._total: int | None = None
        self.in_body = not (paging.total or "").startswith("header:")

    def _params(self, value: int) -> Step:
        paging = self._paging
        assert paging.param is not None
        return {paging.param: Number(value), **_size(paging)}

    def _ends(self, seen: Seen, fresh: int, empty: bool) -> bool:
        """Whether this page is the last one: it brought `fresh` records, or is as `empty` as the page after the last."""
        self._listed += fresh
        paging, count = self._paging, len(seen.keys)
        total, more = self._counted(seen), self._said(seen)
        if more is not None:
            return not more
        if total is None or self._listed >= total:
            short = paging.until == "short" and paging.size is not None and count < paging.size
            return empty or short or total is not None
        if empty:
            raise Shifted(
                f"{seen.answer.request.shown}: the origin counts {total} records and gave {self._listed}; it is read again. "
                "Where that stays so, leave out paging.total"
            )
        return False

    def _said(self, seen: Seen) -> bool | None:
        return None if self._paging.more is None else _truth(look_up(self._paging.more, seen.answer, seen.document))

    def _counted(self, seen: Seen) -> int | None:
        """The total as this page says it. One that shrinks tells of rows that went while the list was read: those behind
        them moved forward, over the gap between two pages."""
        place = self._paging.total
        if place is None:
            return None
        found = number(look_up(place, seen.answer, seen.document))
        if found is None or found != int(found):
            raise SourceHalted(f"{seen.answer.request.shown}: paging.total: {place!r} finds no number of records")
        before, self._total = self._total, int(found)
        if before is not None and self._total < before:
            raise Shifted(
                f"{seen.answer.request.shown}: the list shrank from {before} to {self._total} records while it was read, so "
                "that some may have been passed over; it is read again"
            )
        return self._total


class PagePager(_Counted):
    def first(self) -> Step:
        self._number = self._paging.first
        return self._params(self._number)

    def next(self, seen: Seen) -> Step | None:
        if self._ends(seen, len(seen.keys), not seen.keys):
            return None
        self._number += 1
        return self._params(self._number)


class OffsetPager(_Counted):
    """Pages overlap by one record. Where a page does not begin with a record that was seen as it is now, rows went from before
    it, and the walk goes back until it meets one. (A row that was seen otherwise may have moved behind the gap.)"""

    def first(self) -> Step:
        self._offset, self._overlap, self._back, self.retracing = 0, 0, 0, False
        self._keys: set[int] = set()
        self._prints: set[int] = set()
        return self._params(0)

    def next(self, seen: Seen) -> Step | None:
        size, count = self._paging.size or 1, len(seen.keys)
        prints = [hash(repr(element.value) if not element.fault else element.raw()) for element in seen.elements]
        if self._overlap and (not prints or prints[0] not in self._prints):
            return self._step_back(seen, size)
        keys = {hash(key) for key in seen.keys}
        fresh = len(keys - self._keys)
        self.retracing &= fresh == 0
        self._keys |= keys
        self._prints.update(prints)
        if self._ends(seen, fresh, count <= self._overlap):
            return None
        self._overlap = 1 if count > 1 else 0
        self._offset += count - self._overlap
        return self._params(self._offset)

    def _step_back(self, seen: Seen, size: int) -> Step:
        self._back, self.retracing = self._back + 1, True
        if self._back > 10:
            raise Shifted(
                f"{seen.answer.request.shown}: rows went, or changed their order, again and again while the list was read; "
                "it is read again. Ask the origin to sort by a key that does not change"
            )
        self._offset = max(0, self._offset - size)
        self._overlap = 1 if self._offset else 0
        return self._params(self._offset)


class CursorPager:
    retracing = False

    def __init__(self, paging: Paging) -> None:
        self._paging, self._seen = paging, set[str]()
        self.in_body = not (paging.next or "").startswith("header:")

    def first(self) -> Step:
        return _size(self._paging)

    def next(self, seen: Seen) -> Step | None:
        paging = self._paging
        assert paging.next is not None
        assert paging.param is not None
        if paging.more is not None and not _truth(look_up(paging.more, seen.answer, seen.document)):
            return None
        token = look_up(paging.next, seen.answer, seen.document)
        if token in (None, "", False):
            return None
        text = token if isinstance(token, str) else dumps(token)
        _once(text, self._seen, seen, "the next page's token")
        return {**_size(paging), paging.param: text}


class LinkPager:
    retracing = False

    def __init__(self, paging: Paging, base: Url) -> None:
        self._paging, self._base, self._seen = paging, base, set[str]()
        self.in_body = paging.next is not None and not paging.next.startswith("header:")

    def first(self) -> Step:
        return _size(self._paging)

    def next(self, seen: Seen) -> Step | None:
        reference = self._reference(seen)
        if not reference:
            return None
        where = seen.answer.request.shown
        try:
            url = self._base.secured(seen.answer.request.url.join(reference))
        except ValueError as error:
            raise SourceHalted(f"{where}: the link to the next page cannot be followed: {error}") from None
        if not self._base.allows(url):
            raise SourceHalted(
                f"{where}: the next page lies on {url.origin}, another server, where credentials do not go; if that is right, "
                "set url to it"
            )
        _once(f"{url.path}?{url.query}", self._seen, seen, "the next page's address")
        return url

    def _reference(self, seen: Seen) -> str | None:
        if self._paging.next is None:
            return next_link(seen.answer.headers.get_list("link"))
        found = look_up(self._paging.next, seen.answer, seen.document)
        return found if isinstance(found, str) and not isinstance(found, Number) else None


def _size(paging: Paging) -> dict[str, str]:
    return {paging.size_param: Number(paging.size)} if paging.size_param else {}


def _once(text: str, seen: set[str], page: Seen, what: str) -> None:
    if text in seen:
        raise SourceHalted(f"{page.answer.request.shown}: {what} came a second time: the pages would never end; see paging")
    seen.add(text)


def _truth(value: Any) -> bool:
    return str(value).strip().lower() in ("true", "1", "yes") if isinstance(value, str | int) else bool(value)
