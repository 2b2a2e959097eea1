"""What a kind of pulled source (SOAP, REST, SQL) gives for one table: pages of records, as the origin has them.

Polls, positions, memory, deletions, dead letters and retry live once, in `polled.source` and `sources.reader`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from topline.sources.base import Fault


@dataclass(frozen=True, slots=True)
class Record:
    """One record as the origin gave it.

    values   field name -> what `topline.sources.values` can cast: text, number, date, nested value, None. A declared column
             that is missing is NULL; fields that are not declared are ignored
    raw      its bytes as they came, for a dead letter: `Feed.reread` reads them again; a function of `values` where making
             them costs
    locator  where it stood, for people: `page 3, record 17`; a function of `values` where making it costs
    fault    why it cannot be read at all; '' where `values` hold
    """

    values: Mapping[str, object]
    raw: bytes | Callable[[Mapping[str, object]], bytes]
    locator: str | Callable[[Mapping[str, object]], str]
    fault: str = ""

    def original(self) -> bytes:
        return self.raw if isinstance(self.raw, bytes) else self.raw(self.values)

    def place(self) -> str:
        return self.locator if isinstance(self.locator, str) else self.locator(self.values)


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, in the order of the origin.

    cursor     once this page is committed, a later poll may begin here (`Feed.pages(since=cursor)`) and misses nothing; None:
               not before a later page says so
    unchanged  the origin says that nothing changed since the last poll (HTTP 304): no row came, and none is gone
    """

    records: Sequence[Record] = ()
    cursor: str | None = None
    unchanged: bool = False


class CursorExpired(Exception):  # noqa: N818 - caught within this package: it asks for another way, nothing failed
    """Raised by `pages(since)` before its first page: the origin does not know that cursor any more. All is listed again."""


class Feed(Protocol):
    """One table of one origin. All is called from the source's thread, but for `check` and what `pages(None)` does for
    `topline audit --sources`, which stand alone on a feed of their own.

    TransientError for what another try may heal (no connection, a timeout, HTTP 503): the whole source is opened anew after a
    backoff, and the poll begins again at the last committed cursor. SourceHalted for what a person must mend (wrong password,
    another certificate, an endless page loop). An origin that cannot be asked is never an empty page.
    """

    incremental: bool
    """Whether `pages` can begin at a cursor. Otherwise each poll lists everything, and what is missing is gone."""

    steady: bool
    """Whether a whole list surely has every row that was there all the while. Of one in pages that count rows, a row may be
    passed over when others go; then it takes two lists in a row to say that it is gone."""

    def check(self) -> list[Fault]:
        """Every fault that can be seen from here, each with its remedy. Reads only, little."""

    def pages(self, since: str | None) -> Iterator[Page]:
        """Everything from the cursor on (None: everything there is), lazily: a page is asked for when it is wanted."""

    def keys(self) -> Iterator[Page] | None:
        """The keys alone of everything there is, to see what is gone; None where whole rows have to be listed for that."""

    def reread(self, raw: bytes) -> Record:
        """A record from the bytes kept of it, under today's settings."""

    def close(self) -> None:
        """Let go of connections; `pages` opens them again. Never raises; may be called twice."""
