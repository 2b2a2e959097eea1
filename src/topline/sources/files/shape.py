"""How the files of one table are read: its declared columns, its settings, and what a file itself says."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from topline.schema import TableSchema
from topline.sources.files.coding import Coding
from topline.sources.files.opening import Opening
from topline.sources.files.quoted import Dialect
from topline.sources.files.record import FILE, LINE, text_columns
from topline.sources.files.settings import FileTable
from topline.sources.files.spelling import Spelling

_BLOCK = 4 << 20


@dataclass(frozen=True)
class FileShape:
    """`state_dir` takes what is too large for a letter. `opening`: what the file said of itself, where that is known."""

    schema: TableSchema
    settings: FileTable
    state_dir: Path
    block: int = _BLOCK
    fast: bool = True
    opening: Opening | None = None

    @cached_property
    def wanted(self) -> list[str]:
        """The columns that a file has to bring."""
        return text_columns(self.schema)

    @cached_property
    def way(self) -> str:
        """Tells the settings apart that decide what is read of a file."""
        said = self.settings.model_dump_json(exclude={"path", "on_remove", "on_empty"}, exclude_defaults=True)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(name for name in self.schema.key if name not in (FILE, LINE))

    @property
    def coding(self) -> Coding:
        return self.opening.coding if self.opening else Coding(self.settings.encoding)

    @property
    def dialect(self) -> Dialect:
        s, encoding = self.settings, self.coding.inner
        delimiter = (self.opening and self.opening.delimiter) or s.delimiter
        return Dialect(delimiter.encode(encoding), s.quote.encode(), s.escape.encode(), s.max_line_bytes)

    def field_of(self, column: str) -> str:
        """What the file calls a column."""
        said = self.settings.columns.get(column)
        return said.field if said and said.field else column

    @cached_property
    def spellings(self) -> dict[str, Spelling]:
        """The columns that the files write otherwise than staging casts."""
        found = {
            name: Spelling.of(said.decimal, said.thousands, said.format, said.zone)
            for name, said in self.settings.columns.items()
        }
        return {name: spelling for name, spelling in found.items() if spelling is not None and name in self.wanted}

    def opened(self, opening: Opening) -> "FileShape":
        return replace(self, opening=opening)
