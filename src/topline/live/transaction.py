"""A source's transaction that comes in parts: they wait on the disk until its end is there, so that memory stays bounded."""

import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from topline.changes import SourceBatch
from topline.errors import WorkError


@dataclass(frozen=True, slots=True)
class _Frame:
    """One part in the file: its bytes there (lz4), and without compression."""

    packed: int
    size: int


class Transaction:
    """The parts in order of arrival, in a file without a name: a crash leaves nothing of it, and the source sends all again.

    `opening`: of the source, by which parts are known to belong together. `heads`: the parts without their changes. `rows`,
    `size`: of all parts (bytes).
    """

    def __init__(self, folder: Path | None, opening: int) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the transaction
        self._frames: list[_Frame] = []
        self.opening = opening
        self.heads: list[SourceBatch] = []
        self.rows = self.size = 0

    def add(self, part: SourceBatch) -> None:
        """WorkError where the disk refuses."""
        frame = pickle.dumps(part, protocol=5)
        packed = pa.compress(frame, codec="lz4", asbytes=True)
        try:
            self._file.write(packed)
        except OSError as error:
            raise WorkError(
                f"cannot keep a large transaction of the source {part.source} in the state folder: {error.strerror}. "
                "Make room on that disk, then start again: the source sends it again"
            ) from None
        self._frames.append(_Frame(len(packed), len(frame)))
        self.heads.append(replace(part, parts=(), dead_letters=()))
        self.rows += len(part)
        self.size += len(frame)

    def parts(self) -> Iterator[SourceBatch]:
        """One at a time in memory."""
        self._file.seek(0)
        for frame in self._frames:
            packed = self._file.read(frame.packed)
            yield pickle.loads(pa.decompress(packed, frame.size, codec="lz4", asbytes=True))

    def close(self) -> None:
        self._file.close()
