"""What a source's test gives to the suite: the system that the source reads, as a few verbs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from topline.schema import Column, TableSchema, Type
from topline.sources.base import Source

TABLE = TableSchema("origin.things", (Column("id", Type.TEXT), Column("value", Type.TEXT)), ("id",))


class Origin(ABC):
    """Holds one table (`TABLE`: id, value). Each verb is one transaction, where the system has them, and done on return.

    waivers  check name -> why this source need not keep it. A waiver that is not needed fails the suite.
    """

    waivers: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def source(self) -> Source:
        """A new source over this origin, as a new process would make it. Its name and its table are those of TABLE."""

    @abstractmethod
    def put(self, rows: Mapping[str, str | None]) -> None:
        """Insert or update rows: id -> value."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> None:
        """Delete rows that are there."""

    @abstractmethod
    def interrupt(self) -> None:
        """Make the origin unreachable for every source, open or not."""

    @abstractmethod
    def mend(self) -> None:
        """Undo `interrupt`."""

    def corrupt(self, good: Mapping[str, str | None]) -> bytes | None:
        """Write an unreadable record with these good rows before and after it; its exact bytes. None: it cannot happen here."""
        del good
        return None
