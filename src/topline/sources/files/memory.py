"""What is remembered of each file, in the log beside its position, and the batch that carries both."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from topline.changes import UPSERT, DeadLetter, Part, Position, SourceBatch, Sweep, TableChanges
from topline.sources.files.content import Stat
from topline.sources.files.reading import Chunk


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when its generation was read. `digest` is the hash of its bytes, '' until it was read whole.

    mark   see Stat
    way    how it was read (FileShape.way); '' where that was not noted
    end    the line at which bytes appended to it begin; 0 where they cannot be read by themselves
    first  the line that the generation begins with: behind 1, it holds what was appended
    """

    generation: int
    size: int
    mtime_ns: int
    digest: str = ""
    mark: str = ""
    way: str = ""
    end: int = 0
    first: int = 1

    @property
    def whole(self) -> bool:
        """Whether it was read to its end."""
        return bool(self.digest)

    def read_by(self, way: str) -> bool:
        return self.way in ("", way)

    def same(self, stat: Stat, way: str) -> bool:
        """Whether this is the version that the state tells of, read so. An e_tag tells it alone, whatever the object's time."""
        if (self.size, self.mark) != (stat.size, stat.mark) or not self.read_by(way):
            return False
        return bool(stat.e_tag) or self.mtime_ns == stat.mtime_ns

    def encode(self) -> bytes:
        values = (self.generation, self.size, self.mtime_ns, self.digest, self.mark, self.way, self.end, self.first)
        return json.dumps(values).encode()

    @classmethod
    def decode(cls, raw: bytes) -> "FileState":
        values: list[Any] = json.loads(raw)
        return cls(*values)


@dataclass(slots=True)
class Draft:
    """A batch in the making."""

    source: str
    parts: list[Part] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    states: dict[str, FileState | None] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)
    newest_ns: int = 0
    weight: int = 0

    def add(self, table: str, file: tuple[str, str], generation: int, chunk: Chunk) -> None:
        """A chunk of the file (partition, name) goes in."""
        partition, name = file
        if len(chunk.lines):
            count = len(chunk.lines)
            hi = np.full(count, generation, dtype=np.int64)
            self.parts.append(TableChanges(table, partition, chunk.rows, np.full(count, UPSERT, np.int8), hi, chunk.lines))
        for bad in chunk.bad:
            place = Position(generation, bad.line)
            self.letters.append(DeadLetter(table, partition, place, bad.raw, bad.reason, f"{name}:{bad.line}"))
        self.positions[partition] = Position(generation, chunk.last_line)
        self.weight += len(chunk)

    def sweep(self, table: str, partition: str, at: Position) -> None:
        """Rows of earlier generations than `at` are retracted."""
        self.parts.append(Sweep(table, partition, at.hi, at))

    def move(self, partition: str, position: Position) -> None:
        self.positions[partition] = position

    def replace(self, partition: str, state: FileState) -> None:
        """The file was read to its end, as this generation: what was unreadable in an older version of it is done with."""
        if state.first == 1 and state.generation > 1:
            self.replaced[partition] = state.generation

    def remember(self, partition: str, state: FileState | None) -> None:
        self.states[partition] = state
        self.newest_ns = max(self.newest_ns, state.mtime_ns if state else 0)
        self.weight += 1  # so that a batch ends even where files bring no row

    def batch(self) -> SourceBatch | None:
        if not (self.parts or self.letters or self.states or self.positions):
            return None
        time = min(_time(self.newest_ns), datetime.now(UTC)) if self.newest_ns else None
        memory = {partition: state.encode() if state else None for partition, state in self.states.items()}
        letters = tuple(self.letters)
        return SourceBatch(
            self.source, tuple(self.parts), dict(self.positions), letters, memory, time=time, replaced=dict(self.replaced)
        )


def _time(ns: int) -> datetime:
    """An mtime may be any number."""
    return datetime.fromtimestamp(min(max(ns / 1e9, 0.0), 4e9), UTC)
