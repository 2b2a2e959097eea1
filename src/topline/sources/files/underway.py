"""The file that is being read: what of it goes into the next batch, and what its end means."""

from dataclasses import replace

from topline.changes import Position
from topline.sources.files.content import Content, OtherVersion
from topline.sources.files.found import Found
from topline.sources.files.memory import Draft, FileState
from topline.sources.files.reading import Chunk, FileShape, Reading


class Underway:
    """`state`: as what generation the file is read; `skip`: lines of it that are committed already, or known to be."""

    def __init__(self, file: Found, content: Content, shape: FileShape, state: FileState, skip: int) -> None:
        self.file, self.state = file, state
        self._content, self._shape, self._skip = content, shape, skip
        self._reading = Reading(shape, content, file.name)
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
        state = replace(self.state, digest=self._content.digest())
        if self._content.changed():
            raise OtherVersion(self.file.name)
        at = Position(self.state.generation, self._reading.end)
        if self._may_sweep():
            draft.sweep(self._shape.schema.name, self.file.partition, at)
        draft.move(self.file.partition, at)
        return state

    def _may_sweep(self) -> bool:
        """Only a clean re-read retracts what it did not see; an empty one only where that is allowed."""
        rows, letters = self._reading.rows, self._reading.letters
        allowed = rows > 0 or self._shape.settings.on_empty == "retract"
        return self.state.generation > 1 and letters == 0 and allowed

    def close(self) -> None:
        self._content.close()
