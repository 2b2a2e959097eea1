"""One table of a SOAP service: its operation is called page by page, and its answers' rows are read."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from topline.schema import TableSchema
from topline.sources.base import Fault
from topline.sources.polled import Cursor, Greatest, Page, Record, begin, value_of
from topline.sources.soap.answer import Answer, Reading
from topline.sources.soap.check import check
from topline.sources.soap.paging import Pages
from topline.sources.soap.placeholders import Values, fill
from topline.sources.soap.service import Service
from topline.sources.soap.settings import SoapTable
from topline.sources.soap.wsdl import Wsdl


class SoapFeed:
    """`topline.sources.polled.Feed` over a service that it shares with the other tables of its source."""

    def __init__(self, schema: TableSchema, settings: SoapTable, service: Service, zone: tzinfo) -> None:
        self.schema, self.settings = schema, settings
        self._service, self._zone = service, zone
        self.incremental, self.steady = settings.cursor is not None, settings.paging is None
        self.reading = Reading(schema, settings)
        self._wsdl: Wsdl | None = None

    def check(self) -> list[Fault]:
        return check(self)

    def pages(self, since: str | None) -> Iterator[Page]:
        cursor = self.settings.cursor
        greatest = None if cursor is None else Greatest(cursor, self._zone, since)
        begins = self.settings.start if since is None or cursor is None else begin(since, cursor, self._zone)
        pages = Pages(self.settings.paging, begins)
        while pages.more:
            with self._service.told(f"{self.schema.name} ({self.settings.operation})"):
                answer = self._ask(pages.values)
                pages.saw(answer)
            if greatest is not None and cursor is not None:
                _see(greatest, answer.records, cursor, self._zone)
            complete = self.settings.ordered or not pages.more
            yield Page(answer.records, greatest.text if greatest is not None and complete else None)

    def keys(self) -> None:
        """Whole rows have to be listed."""

    def reread(self, raw: bytes) -> Record:
        wsdl = self.wsdl()
        return self.reading.again(raw, wsdl, wsdl.operation(self.settings.operation))

    def close(self) -> None:
        if self._wsdl is not None:
            self._wsdl = None
            self._service.release()

    def wsdl(self) -> Wsdl:
        """Loaded where it is not yet."""
        if self._wsdl is None:
            self._wsdl = self._service.acquire()
        return self._wsdl

    def _ask(self, values: Values) -> Answer:
        wsdl = self.wsdl()
        operation = wsdl.operation(self.settings.operation)
        reply = wsdl.call(operation.name, fill(self.settings.arguments, values, self._zone) or {})
        page = f"page {values['page']}, " if self.settings.paging else ""
        return self.reading.read(wsdl, operation, reply, page)


def _see(greatest: Greatest, records: Sequence[Record], cursor: Cursor, zone: tzinfo) -> None:
    """A value that is no cursor moves nothing, nor does a time of another day to come: a single wrong clock would hide all
    that changes until then. Its row is read all the same."""
    latest = datetime.now(UTC) + timedelta(days=1)
    for record in records:
        value = record.values.get(cursor.field)
        try:
            found = None if value is None else value_of(value, cursor, zone)
        except ValueError:
            continue
        if not (isinstance(found, datetime) and found > latest):
            greatest.see(value)
