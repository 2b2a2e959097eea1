"""The greatest value of a cursor's field, and from where the next poll reads on: a help for feeds."""

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation

from topline.schema import Type
from topline.sources.polled.feed import CursorExpired
from topline.sources.polled.settings import Cursor
from topline.sources.values import cast, text

Value = datetime | Decimal | str


class Greatest:
    """Begins at the cursor of the last poll (`since`), and grows with each value that it sees."""

    def __init__(self, cursor: Cursor, zone: tzinfo, since: str | None = None) -> None:
        """CursorExpired where `since` is not of the cursor's type: the setting was changed since it was stored."""
        self._cursor, self._zone = cursor, zone
        self._value = None if since is None else _stored(since, cursor, zone)

    def see(self, value: object) -> None:
        """A record's value. ValueError where it is none; NULL moves nothing."""
        if value is not None:
            found = value_of(value, self._cursor, self._zone)
            self._value = found if self._value is None else max(self._value, found)

    @property
    def text(self) -> str | None:
        """What to store (Page.cursor): an instant as ISO 8601 in UTC, a number plainly."""
        return None if self._value is None else text(self._value)


def value_of(value: object, cursor: Cursor, zone: tzinfo) -> Value:
    """As what values of the cursor's field are compared. ValueError where it is none."""
    if cursor.type == "text":
        return text(value)
    if cursor.type == "time":
        moment = cast(value, Type.TIMESTAMPTZ, zone)
        assert isinstance(moment, datetime)
        return moment
    try:
        number = Decimal(text(value).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{value!r} is no number; see cursor.type")
    return number


def begin(since: str, cursor: Cursor, zone: tzinfo) -> Value:
    """From where to ask: the stored cursor, less the overlap. CursorExpired where it is not of the cursor's type any more."""
    value = _stored(since, cursor, zone)
    if isinstance(value, datetime):
        try:
            return value - timedelta(seconds=cursor.reach)
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    return value - Decimal(str(cursor.reach)).normalize() if isinstance(value, Decimal) else value


def _stored(since: str, cursor: Cursor, zone: tzinfo) -> Value:
    try:
        return value_of(since, cursor, zone)
    except ValueError as error:
        raise CursorExpired(str(error)) from None
