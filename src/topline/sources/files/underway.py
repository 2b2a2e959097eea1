"""The file that is being read: what of it goes into the next batch, and what its end means."""

from dataclasses import replace

from topline.changes import Position
from topline.faults import point
from topline.sources.files.content import Content, OtherVersion
from topline.sources.files.found import Found
from topline.sources.files.memory import Draft, FileState
from topline.sources.files.reading import Chunk, FileShape, Reading


class Underway:
    """`state`: as what generation the file is read; `skip`: lines of it that are committed already, or were known before.

    `line`: where `content` stands, at the beginning of a record.
    """

    def __init__(self, file: Found, content: Content, shape: FileShape, reading: tuple[FileState, int], line: int = 1) -> None:
        self.file, (self.state, self._skip) = file, reading
        self._content, self._shape = content, shape
        self._reading = Reading(shape, content, file.name, line)
        self._chunks = self._reading.chunks()
        self._rest: Chunk | None = None

    def step(self, draft: Draft, rows: int) -> bool:
        """Add what comes next to a batch, about `rows` rows at most; False at the end of the file. OtherVersion: see Opened."""
        chunk = self._rest or next(self._chunks, None)
        self._rest = None
        if self._content.changed():
            raise OtherVersion(self.file.name)
        if chunk is None:
            return False
        head, self._rest = chunk.after(self._skip).split(rows)
        if len(head):
            draft.add(self._shape.schema.name, (self.file.partition, self.file.name), self.state.generation, head)
        return True

    def finish(self, draft: Draft) -> FileState:
        """Read to its end: what the new version does not have is retracted. Returns what to remember of it."""
        point("file:read")
        sweeps = self._may_sweep()
        state = replace(self.state, digest=self._content.digest(), end=self._reading.end if self._may_grow(sweeps) else 0)
        if self._content.changed():
            raise OtherVersion(self.file.name)
        at = Position(self.state.generation, self._reading.end)
        if sweeps:
            point("file:sweep")
            draft.sweep(self._shape.schema.name, self.file.partition, at)
        draft.move(self.file.partition, at)
        draft.replace(self.file.partition, state)
        return state

    def _may_grow(self, sweeps: bool) -> bool:
        """Whether what gets appended can be read by itself: no rows of older versions are left that a re-read would retract."""
        alone = sweeps or self.state.generation == 1 or self.state.first > 1
        return alone and self._reading.closed and not self._content.packed

    def _may_sweep(self) -> bool:
        """Only a clean re-read of the whole retracts what it did not see; an empty one only where that is allowed."""
        rows, letters = self._reading.rows, self._reading.letters
        allowed = rows > 0 or self._shape.settings.on_empty == "retract"
        return self.state.generation > 1 and self.state.first == 1 and letters == 0 and allowed

    def close(self) -> None:
        self._content.close()


def opened(file: Found) -> Content:
    """FileNotFoundError or OtherVersion where it is not as the look found it."""
    content = Content(file.place)
    if content.stat != file.stat:
        content.close()
        raise OtherVersion(file.name)
    return content
