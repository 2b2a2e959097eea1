"""A folder that files are dropped into, a source over it, and the ledger that its batches are committed to."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.polling import until
from topline.changes import DeadLetter, Position, SourceBatch, Sweep, TableChanges
from topline.schema import Column, TableSchema, Type
from topline.sources import spill
from topline.sources.base import Context, Resume
from topline.sources.files import FilesSource, Settings, create

START = 1_700_000_000


def schema(*names: str, key: tuple[str, ...] = ("id",)) -> TableSchema:
    return TableSchema("branch.sales", tuple(Column(name, Type.TEXT) for name in names), key)


class Inbox:
    more: Mapping[str, Any] = {}  # settings of the source beside its table's
    patience = 10.0  # seconds for `read`

    def __init__(self, root: Path, table: TableSchema | None = None, **options: Any) -> None:
        self.root, self.folder = root, root / "inbox"
        self.folder.mkdir(exist_ok=True)
        self.table = table or schema("id", "amount")
        self.options = {"path": "inbox", **options}
        self.settle = 0.02
        self.positions: dict[str, Position] = {}
        self.memory: dict[str, bytes] = {}
        self.parts: list[TableChanges | Sweep] = []
        self.letters: list[DeadLetter] = []
        self.batches: list[SourceBatch] = []
        self._tick = START
        self.source = self.make()

    def make(self) -> FilesSource:
        settings = {"kind": "files", "settle": self.settle, "poll": 0.01, "tables": {"sales": self.options}, **self.more}
        context = Context("branch", {"sales": self.table}, self.root, self.root / "state")
        return create(context, Settings.model_validate(settings))

    def drop(self, name: str, data: bytes | str, mtime: int | None = None) -> Path:
        """Write a file at once, with an mtime of its own: one second after the last, unless told."""
        self._tick += 1
        path, hidden = self.folder / name, self.folder / f".{name}"
        hidden.write_bytes(data.encode() if isinstance(data, str) else data)
        when = mtime or self._tick
        os.utime(hidden, (when, when))
        hidden.rename(path)
        return path

    def restart(self) -> None:
        """As a new process opens the source: from what was committed."""
        self.source.close()
        self.source = self.make()
        self.source.open(Resume(self.positions, self.memory))

    def read(self, max_rows: int = 1000) -> None:
        """Commit what is there now, as it stands."""
        self.source.close()
        self.source.open(Resume(self.positions, self.memory))
        until(lambda: self.commit_one(max_rows) is None and self.source.reached_end(), self.patience, what="all files are read")

    def commit_one(self, max_rows: int = 1000) -> SourceBatch | None:
        batch = self.source.read(max_rows, 0.01)
        if batch is not None:
            self.commit(batch)
        return batch

    def commit(self, batch: SourceBatch) -> None:
        self.batches.append(batch)
        self.parts += [part for part in batch.parts if isinstance(part, TableChanges | Sweep)]
        self.letters += batch.dead_letters
        self.positions.update(batch.positions)
        for key, value in batch.memory.items():
            if value is None:
                self.memory.pop(key, None)
            else:
                self.memory[key] = value

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The values of all rows, in the order in which they came."""
        return [tuple(row.values()) for part in self.parts if isinstance(part, TableChanges) for row in part.rows.to_pylist()]

    @property
    def sweeps(self) -> list[Sweep]:
        return [part for part in self.parts if isinstance(part, Sweep)]

    @property
    def bad(self) -> list[tuple[str, bytes]]:
        """Where each letter stood, and its bytes."""
        return [(letter.locator, b"".join(spill.original(letter.raw, self.root / "state"))) for letter in self.letters]

    def forget(self) -> None:
        """Forget what came, to look at what comes next."""
        self.parts, self.letters, self.batches = [], [], []
