"""Writes entries into the partner's book, from which the partner's service answers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from topline.embedded.partner import Book, Entry
from topline.generate.events import Event

_SINGLE = 50  # up to as many events go in a transaction each, as the partner's clerks would; more go together


class PartnerWriter:
    """An earlier run may have noted entries that are dated later: those of this one follow them."""

    def __init__(self, path: Path) -> None:
        self._book = Book(path)
        self._floor = ""

    def create(self) -> None:
        self._floor = self._book.newest()

    def write(self, events: Sequence[Event]) -> None:
        if len(events) > _SINGLE:
            self._book.put(self._after(entry) for event in events for entry in event.entries)
            return
        for event in events:
            self._book.put(map(self._after, event.entries))

    def close(self) -> None:
        self._book.close()

    def _after(self, entry: Entry) -> Entry:
        return replace(entry, changed_at=max(entry.changed_at, self._floor))
