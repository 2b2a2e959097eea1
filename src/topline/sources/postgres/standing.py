"""Where the stream stands against the copies: from the last copy's point on, what is seen is one state of the source."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from topline.changes import SourceBatch
from topline.faults import point
from topline.sources.postgres.memory import Copied, Memory
from topline.sources.postgres.shapes import Members


class Standing:
    """LSNs. passed: up to where the stream was read; end: of the server's log at `open`; server_end: at the last look.

    memory: what the log is to remember of all this.
    """

    def __init__(self, tables: Collection[str], memory: Memory, passed: int, end: int) -> None:
        self._tables = tables
        self.memory, self.passed = memory, passed
        self.end = self.server_end = end

    @property
    def last_copy(self) -> int:
        return max((copied.lsn for name, copied in self.memory.tables.items() if name in self._tables), default=0)

    @property
    def first_copy(self) -> int:
        """What was committed before is in every copy."""
        return min((self.memory.tables[name].lsn for name in self._tables), default=0)

    @property
    def is_copying(self) -> bool:
        return self.memory.consistent < self.last_copy

    @property
    def is_waited_for(self) -> bool:
        """True while somebody waits for the stream to pass a point: the end at `open`, or the last copy."""
        return self.is_copying or self.passed < self.end

    def copied(self, table: str, copied: Copied) -> None:
        self.memory = self.memory.with_table(table, copied)

    def passing(self, batch: SourceBatch, passed: int, news: Mapping[str, Members]) -> SourceBatch:
        """`batch`, with its place against the copies: the first that passes the last of them makes all consistent.

        `news`: tables with partitions that were made since; they are remembered with it.
        """
        was_copying = self.is_copying
        self.passed = max(self.passed, passed)
        if news:
            self.memory = self.memory.grown(news)
        if was_copying and self.passed >= self.last_copy:
            self.memory = replace(self.memory, consistent=self.last_copy)
            point("copy:passed")
            return replace(batch, memory=self.memory.dump())
        return replace(batch, copying=was_copying, memory=self.memory.dump() if news else batch.memory)
