"""A folder of files that anything may happen to, and by plain dictionaries the rows that a table over it must have."""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.ledger import Rows

HEADER = "id,value\n"
Row = tuple[str, str | None]
_START = 1_700_000_000


@dataclass(frozen=True)
class Version:
    """What a file held when it was read. `grows`: what is appended to it is read by itself."""

    text: str
    grows: bool


def rows_in(text: str) -> tuple[list[Row], bool]:
    """The readable records of a file without its header, and whether all were. The header may stand again. An empty field
    is NULL.
    """
    fields = [line.split(",") for line in text.splitlines() if line + "\n" != HEADER]
    return [(line[0], line[1] or None) for line in fields if len(line) == 2], all(len(line) == 2 for line in fields)


class FolderModel:
    """`retract`: as `on_remove` says. Each method that changes a file gives it a time of its own."""

    def __init__(self, root: Path, *, retract: bool) -> None:
        self.root, self.folder = root, root / "inbox"
        self.folder.mkdir()
        self._retract, self._tick = retract, _START
        self._read: dict[str, Version] = {}
        self._ever: set[str] = set()
        self._owned: dict[str, tuple[str, str | None]] = {}

    @property
    def rows(self) -> Rows:
        return {key: value for key, (_, value) in self._owned.items()}

    def names(self) -> list[str]:
        return [name for name, _ in self._files()]

    def write(self, name: str, text: str, *, in_place: bool = False) -> None:
        path = self.folder / name
        target = path if in_place else self.folder / f".{name}"
        target.write_text(text)
        self._stamp(target)
        target.rename(path)

    def append(self, name: str, text: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(text)
        self._stamp(self.folder / name)

    def truncate(self, name: str, size: int) -> None:
        os.truncate(self.folder / name, min(size, (self.folder / name).stat().st_size))
        self._stamp(self.folder / name)

    def touch(self, name: str) -> None:
        self._stamp(self.folder / name)

    def rename(self, name: str, to: str) -> None:
        (self.folder / name).rename(self.folder / to)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def note_read(self) -> None:
        """The folder is read as it stands, file by file in the order of their times."""
        files = self._files()
        for name, text in files:
            if name not in self._read or self._read[name].text != text:
                self._note(name, text, self._read.get(name))
        there = {name for name, _ in files}
        if self._retract and there:
            for gone in self._read.keys() - there:
                del self._read[gone]
                self._drop(gone, set())

    def _note(self, name: str, text: str, before: Version | None) -> None:
        if before is not None and before.grows and text.startswith(before.text):
            self._own(name, rows_in(text[len(before.text) :])[0])
            self._read[name] = Version(text, text.endswith("\n"))
            return
        rows, clean = rows_in(text.partition("\n")[2]) if text.startswith(HEADER) else ([], not text)
        self._own(name, rows)
        swept = bool(rows) and clean
        if name in self._ever and swept:
            self._drop(name, {key for key, _ in rows})
        ended = text.endswith("\n") and text.startswith(HEADER)
        self._read[name] = Version(text, ended and (swept or name not in self._ever))
        self._ever.add(name)

    def _own(self, name: str, rows: list[Row]) -> None:
        self._owned.update({key: (name, value) for key, value in rows})

    def _drop(self, name: str, kept: set[str]) -> None:
        for key in [key for key, (owner, _) in self._owned.items() if owner == name and key not in kept]:
            del self._owned[key]

    def _files(self) -> list[tuple[str, str]]:
        paths = sorted(self.folder.glob("[!.]*.csv"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        return [(path.name, path.read_text()) for path in paths]

    def _stamp(self, path: Path) -> None:
        self._tick += 1
        os.utime(path, (self._tick, self._tick))
