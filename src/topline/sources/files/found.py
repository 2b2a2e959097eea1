"""A file as a look finds it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from topline.sources.base import Fault
from topline.sources.files.content import Place, Stat


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a table. `name` is its path relative to the project (absolute outside of it), or an object's URL."""

    table: str
    place: Place
    name: str
    stat: Stat
    partition: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "partition", f"{self.table}:{self.name}")

    @property
    def order(self) -> tuple[int, str]:
        return self.stat.mtime_ns, self.name


class Listing(Protocol):
    """The files of one table that one path of its settings names."""

    def files(self) -> Iterator[tuple[Found, bool]]:
        """Each file, and whether it stands still. An unchanged file is the same object as at the last look.

        TransientError where the place cannot be listed: it is not an empty one. SourceHalted where a person must act.
        """

    def faults(self, where: str) -> list[Fault]:
        """Why the place cannot be listed, with the remedy."""
