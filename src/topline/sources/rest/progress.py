"""From where the next poll may begin, so that it misses nothing: the greatest value that this one can vouch for."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise

from topline.errors import SourceHalted
from topline.sources.polled import Cursor, CursorExpired, Record, begin, value_of
from topline.sources.rest.client import http_date
from topline.sources.rest.jsontext import Number, dumps, number
from topline.sources.rest.paging import Seen, look_up
from topline.sources.rest.settings import RestTable, Since

Value = datetime | Decimal | str
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"epoch": timedelta(seconds=1), "epoch_ms": timedelta(milliseconds=1)}


class Progress:
    """Sees the pages of one poll. `after` gives what to store once a page is committed; None: not before a later one.

    Rows change while they are listed: they move within the list, and what stands at the head of a page may move to one that was
    read already. What can be vouched for at the end of a list of several pages:

    - `since.rising` says that the origin sorts by the cursor, and no row is passed over between two pages (by token, or by
      offset with its overlap): the greatest value. With tokens, each page's greatest as soon as it is committed.
    - Any other, of times: up to the time when the first page was asked for, by the origin's clock; what changed later is asked
      for again. Only where pages go by number or link, rise, and show that rows changed while they were listed, rows may have
      been passed over: up to the first page.
    - Any other, of numbers and texts: up to the greatest of the first page. What changed later is greater, and so is what was
      passed over in a rising order.

    That values rise from page to page proves no order: rows that changed meanwhile can make it look so.
    """

    def __init__(self, table: RestTable, zone: tzinfo, since: str | None) -> None:
        """CursorExpired where `since` is not of the cursor's type: the setting was changed since it was stored."""
        assert table.cursor is not None
        assert table.since is not None
        self._cursor, self._since, self._zone = table.cursor, table.since, zone
        self._gapless = table.paging.by in ("cursor", "offset")
        self._by_page = table.since.rising and table.paging.by == "cursor"
        self._texts: dict[Value, str] = {}
        self._before = self._stored(since)
        self._pages: list[tuple[Value, Value] | None] = []  # least and greatest of each page
        self._started: datetime | None = None
        self._token: str | None = None

    def after(self, seen: Seen, records: Sequence[Record], last: bool) -> str | None:
        if self._since.place != "row":
            self._token = _token(self._since, self._cursor, seen) or self._token
            return self._token if last else None
        if self._started is None:
            self._started = _clock(seen)
        values = [value for record in records if (value := self._value(record)) is not None]
        self._pages.append((min(values), max(values)) if values else None)
        if self._by_page and not self._rising():
            raise SourceHalted(
                f"{seen.answer.request.shown}: page {len(self._pages)} goes back behind the page before it in "
                f"{self._cursor.field!r}: the origin does not sort by it. Ask it to, or leave out since.rising"
            )
        if last:
            return self._text(self._end())
        return self._text(self._greatest(len(self._pages))) if self._by_page else None

    def _value(self, record: Record) -> Value | None:
        """None where the record has none that can be read: it counts as a row, and moves nothing."""
        found = record.values.get(self._cursor.field)
        try:
            value = None if found is None else _typed(found, self._since, self._cursor, self._zone)
        except (ValueError, OverflowError):
            return None
        if isinstance(value, datetime):
            value = min(value, datetime.now(UTC))  # a row dated in the future must not hide those that come until then
        if value is not None and self._since.format == "raw":
            self._texts[value] = str(found)
        return value

    def _rising(self) -> bool:
        pages = [page for page in self._pages if page is not None]
        return all(after[0] >= before[1] for before, after in pairwise(pages))  # type: ignore[operator]

    def _end(self) -> Value | None:
        greatest = self._greatest(len(self._pages))
        if len(self._pages) < 2 or (self._since.rising and self._gapless):
            return greatest
        if not isinstance(greatest, datetime) or self._started is None:
            return self._greatest(1)
        changed = greatest >= self._started - timedelta(seconds=self._cursor.reach)
        if changed and self._rising() and not self._gapless:
            return self._greatest(1)
        return min(greatest, self._started)

    def _greatest(self, pages: int) -> Value | None:
        """Of the first so many pages, and of what was stored before: it never goes back."""
        values: list[Value] = [page[1] for page in self._pages[:pages] if page is not None]
        values += [] if self._before is None else [self._before]
        return max(values) if values else None

    def _text(self, value: Value | None) -> str | None:
        if value is None or self._since.format == "raw":
            return None if value is None else self._texts.get(value, str(value))
        return value.isoformat() if isinstance(value, datetime) else str(value)

    def _stored(self, since: str | None) -> Value | None:
        if since is None or self._since.place != "row":
            return None
        try:
            value = value_of(since, self._cursor, self._zone)
        except ValueError as error:
            raise CursorExpired(str(error)) from None
        self._texts[value] = since
        return value


def asked(since: str, table: RestTable, zone: tzinfo) -> str:
    """What to send for a stored cursor. CursorExpired where it is not of the cursor's type any more."""
    assert table.cursor is not None
    assert table.since is not None
    value: Value = since
    if table.since.place == "row" and table.since.format != "raw":
        value = begin(since, table.cursor, zone)
    written = _written(value, table.since.format)
    return written if table.since.template == "{}" else table.since.template.replace("{}", written)


def _written(value: Value, form: str) -> str:
    """As the origin reads it; a Number where a JSON body has to hold one."""
    match value:
        case datetime() if form == "iso":
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case datetime() if form in _UNITS:
            return Number((value - _EPOCH) // _UNITS[form])
        case datetime():
            return value.astimezone(UTC).strftime(form)
        case Decimal():
            return Number(format(value.quantize(Decimal(1)) if value == value.to_integral_value() else value, "f"))
    return value


def _typed(found: object, since: Since, cursor: Cursor, zone: tzinfo) -> Value:
    """A record's value; of a time in seconds or milliseconds, the instant."""
    count = number(found) if cursor.type == "time" and since.format in _UNITS else None
    if count is not None:
        micros = count * (_UNITS[since.format] // timedelta(microseconds=1))
        return _EPOCH + timedelta(microseconds=int(micros))
    return value_of(found, cursor, zone)


def _token(since: Since, cursor: Cursor, seen: Seen) -> str | None:
    place = f"header:{cursor.field}" if since.place == "header" else cursor.field
    found = look_up(place, seen.answer, seen.document)
    if found in (None, "", False):
        return None
    return str(found) if isinstance(found, str) else dumps(found)


def _clock(seen: Seen) -> datetime:
    """The origin's time when it answered, else ours."""
    return min(http_date(seen.answer.headers.get("date", "")) or datetime.now(UTC), datetime.now(UTC))
