"""Files that went away, where their rows are to go with them."""

from collections.abc import Mapping

from topline.sources.files.found import Found
from topline.sources.files.generations import Generations
from topline.sources.files.settings import FileTable
from topline.sources.files.waiting import Waiting


class Removals:
    """A file is gone when two looks in a row did not find it: one look may miss a file that is being renamed."""

    def __init__(self, tables: Mapping[str, FileTable]) -> None:
        self._tables = {name: table for name, table in tables.items() if table.on_remove == "retract"}
        self._may_be_empty = {name for name, table in tables.items() if table.on_empty == "retract"}
        self._gone: set[str] = set()

    def due(self, generations: Generations, found: Mapping[str, Found], waiting: Waiting) -> list[str]:
        """Partitions to retract now, after this look.

        Not while the table has an unread file of the same size, which may be the same one under its new name, so that its
        rows pass from one to the other; nor where all files of the table are gone, which a folder that is not mounted
        looks like, unless `on_empty` allows it.
        """
        if not self._tables:
            return []
        before, self._gone = self._gone, {p for p in generations.gone(found) if table_of(p) in self._tables}
        twice = before & self._gone
        if not twice:
            return []
        there = {file.table for file in found.values()} | {
            n for n, table in self._tables.items() if table.on_empty == "retract"
        }
        moving = {name: waiting.sizes(name) for name in self._tables}
        return sorted(p for p in twice if table_of(p) in there and generations.size(p) not in moving[table_of(p)])


def table_of(partition: str) -> str:
    return partition.partition(":")[0]
