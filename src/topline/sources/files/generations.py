"""Which version of a file is which generation: decided from the log's positions, its memory, and what was handed out since."""

from collections.abc import Mapping
from dataclasses import replace

from topline.changes import Position
from topline.sources.base import Resume
from topline.sources.files.content import Stat
from topline.sources.files.memory import FileState

_NOWHERE = Position(0, 0)


class Generations:
    """What is known of each file (partition). Outlives an opening: a generation handed out never stands for other bytes."""

    def __init__(self) -> None:
        self._issued: dict[str, FileState] = {}
        self.resume(Resume())

    def resume(self, resume: Resume) -> None:
        self._positions = dict(resume.positions)
        self._states = {partition: FileState.decode(raw) for partition, raw in resume.memory.items()}

    def is_news(self, partition: str, stat: Stat, way: str) -> bool:
        """Whether the file is not known, not read to its end, another than the one that was read, or was read another way."""
        state = self._states.get(partition)
        return state is None or not state.whole or not state.same(stat, way)

    def whole(self, partition: str) -> FileState | None:
        """The version that was last read to its end, if none was begun since."""
        state = self._states.get(partition)
        return state if state is not None and state.whole else None

    def of(self, partition: str, stat: Stat, way: str) -> tuple[FileState, int]:
        """As what to read this version of the file, this way, and the line up to which that is committed or known.

        A version that was begun goes on as it began. What was appended only builds on what is committed before it, so that
        one which was handed out, but is not known after a reopening, is read whole.
        """
        position = self._positions.get(partition, _NOWHERE)
        newest = self._newest(partition)
        issued = self._issued.get(partition)
        for state in (self._states.get(partition), issued if issued and issued.first == 1 else None):
            if state is not None and state.generation == newest and state.same(stat, way):
                committed = position.lo if position.hi == newest else 0
                return replace(state, digest="", end=0, way=way), max(committed, state.first - 1)
        return FileState(newest + 1, stat.size, stat.mtime_ns, mark=stat.mark, way=way), 0

    def appended_to(self, partition: str, known: FileState, stat: Stat) -> FileState:
        """As what to read the bytes that follow those of a known version."""
        state = FileState(self._newest(partition) + 1, stat.size, stat.mtime_ns, mark=stat.mark, way=known.way)
        return replace(state, first=known.end)

    def _newest(self, partition: str) -> int:
        """The greatest generation that was ever handed out."""
        states = (self._issued.get(partition), self._states.get(partition))
        return max([self._positions.get(partition, _NOWHERE).hi, *(state.generation for state in states if state)])

    def note(self, partition: str, state: FileState) -> None:
        self._states[partition] = self._issued[partition] = state

    def gone(self, found: Mapping[str, object]) -> set[str]:
        """Known files that are not among `found`."""
        return self._states.keys() - found.keys()

    def size(self, partition: str) -> int:
        """Bytes of a known file, when it was read."""
        return self._states[partition].size

    def retire(self, partition: str) -> Position:
        """Forget a file that was removed; the position at which its rows are retracted."""
        generation = self._newest(partition) + 1
        self._states.pop(partition)
        self._issued[partition] = FileState(generation, -1, -1)
        return Position(generation, 0)

    def forget(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:
        """The memory under which each file of `table` (None: of all) has changed: it is read again as a new generation."""
        forgotten: dict[str, bytes | None] = {}
        for partition, raw in resume.memory.items():
            if table is None or partition.partition(":")[0] == table:
                known = FileState.decode(raw)
                generation = max(self._issued.get(partition, known).generation, known.generation)
                state = self._issued[partition] = FileState(generation, -1, -1)
                forgotten[partition] = state.encode()
        return forgotten
