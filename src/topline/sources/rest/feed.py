"""The feed of one REST table: walks over its pages, and what is kept between them while connections are open."""

from collections.abc import Iterator

from topline.sources.base import Fault
from topline.sources.polled import Page, Record
from topline.sources.rest.bodies import CsvReader
from topline.sources.rest.checking import check
from topline.sources.rest.requests import Conditions, Table
from topline.sources.rest.walk import Walk


class RestFeed:
    """See `topline.sources.polled.Feed`."""

    def __init__(self, where: str, table: Table) -> None:
        """`where`: the table's place in topline.yml, for faults."""
        self._where, self._table = where, table
        self._conditions = Conditions()
        self.incremental, self.steady = table.settings.cursor is not None, table.settings.paging.by == "none"

    def check(self) -> list[Fault]:
        return check(self._where, self._table)

    def pages(self, since: str | None) -> Iterator[Page]:
        """What would say that a list is unchanged holds only for a list that was handed over whole, to whoever asks for more
        after its last page. It is forgotten with `close`: batches that were handed over may be lost before their commit, and
        then the source is closed and opened anew."""
        before, self._conditions = self._conditions, Conditions()
        walk = Walk(self._table, since, before)
        yield from walk.pages()
        if not self.incremental:
            self._conditions = walk.conditions

    def keys(self) -> Iterator[Page] | None:
        return None

    def reread(self, raw: bytes) -> Record:
        reader = self._table.reader
        if isinstance(reader, CsvReader) and not reader.knows_header:
            next(Walk(self._table, None, Conditions()).pages(), None)  # the letter holds the record alone
        return self._table.record(reader.reread(raw), "a dead letter")

    def close(self) -> None:
        self._conditions = Conditions()
        self._table.client.close()
