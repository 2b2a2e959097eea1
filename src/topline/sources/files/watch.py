"""Looks at folders: which files match, and which of them stand still."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from topline.errors import TransientError
from topline.sources.files.content import Stat
from topline.sources.files.settings import SUFFIXES, FileTable, Format
from topline.sources.files.unpack import SUFFIXES as PACKED

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a table. `name` is its path relative to the project (absolute outside of it)."""

    table: str
    path: Path
    name: str
    stat: Stat

    @property
    def partition(self) -> str:
        return f"{self.table}:{self.name}"

    @property
    def order(self) -> tuple[int, str]:
        return self.stat.mtime_ns, self.name


@dataclass(frozen=True, slots=True)
class Pattern:
    """A folder to walk, and which of the relative paths below it are meant."""

    base: Path
    names: re.Pattern[str]
    deep: bool

    @classmethod
    def of(cls, root: Path, text: str, kind: Format) -> "Pattern":
        parts = (root / text).parts
        wild = next((i for i, part in enumerate(parts) if _WILD.search(part)), None)
        if wild is not None:
            rest = parts[wild:]
            return cls(Path(*parts[:wild]), _translate(rest), len(rest) > 1)
        path = root / text
        if path.suffix in (*PACKED, *SUFFIXES[kind]) and not path.is_dir():
            return cls(path.parent, re.compile(re.escape(path.name)), deep=False)
        endings, packed = ("|".join(map(re.escape, suffixes)) for suffixes in (SUFFIXES[kind], PACKED))
        return cls(path, re.compile(rf"[^/]*(?:{endings})(?:{packed})?"), deep=False)


def _translate(parts: tuple[str, ...]) -> re.Pattern[str]:
    """A glob's parts as an expression over relative paths: ** is any folders, * and ? never pass a slash."""
    pieces = [r"(?:[^/]+/)*" if part == "**" else _translate_part(part) + "/" for part in parts[:-1]]
    last = "[^/]*" if parts[-1] == "**" else _translate_part(parts[-1])
    return re.compile("".join(pieces) + last)


def _translate_part(part: str) -> str:
    def one(match: re.Match[str]) -> str:
        token = match[0]
        if token[0] == "[" and len(token) > 2:
            return "[" + token[1:-1].replace("\\", r"\\").replace("!", "^", token[1] == "!") + "]"
        return {"*": "[^/]*", "?": "[^/]"}.get(token, re.escape(token))

    return re.sub(r"\[[^\]]+\]|.", one, part)


class Watch:
    """Sees the files of all tables. A file stands still once size and mtime were the same for `settle` seconds, or when it
    got its name by a rename after it had been seen under another."""

    def __init__(self, root: Path, tables: Mapping[str, FileTable], settle: float) -> None:
        self._root, self._settle = root, settle
        self.patterns = {name: [Pattern.of(root, text, t.format) for text in t.path] for name, t in tables.items()}
        self._since: dict[tuple[int, int], tuple[Stat, str, float]] = {}
        self._still: set[str] = set()

    def scan(self) -> dict[str, Found]:
        """Every matching file, by partition. TransientError where a folder cannot be listed: it is not an empty one."""
        found: dict[str, Found] = {}
        since: dict[tuple[int, int], tuple[Stat, str, float]] = {}
        self._still.clear()
        for table, patterns in self.patterns.items():
            for pattern in patterns:
                for relative, entry in _walk(pattern.base, pattern.deep):
                    self._see(table, pattern, relative, entry, (found, since))
        self._since = since
        return found

    def stands_still(self, file: Found) -> bool:
        """As of the last scan."""
        return file.partition in self._still

    def _see(
        self,
        table: str,
        pattern: Pattern,
        relative: str,
        entry: os.DirEntry[str],
        into: tuple[dict[str, Found], dict[tuple[int, int], tuple[Stat, str, float]]],
    ) -> None:
        found, since = into
        try:
            stat = Stat.of(entry.stat())
        except OSError:
            return  # gone since it was listed, or a link to nowhere
        still = self._note(stat, entry.path, since)
        if not entry.is_file() or entry.name.startswith(".") or not pattern.names.fullmatch(relative):
            return
        file = Found(table, Path(entry.path), _name(Path(entry.path), self._root), stat)
        found[file.partition] = file
        if still:
            self._still.add(file.partition)

    def _note(self, stat: Stat, path: str, since: dict[tuple[int, int], tuple[Stat, str, float]]) -> bool:
        """Remember what is seen; whether it stands still by our own clock, or by the age of its mtime."""
        now = time.monotonic()
        before = self._since.get(stat.identity)
        if before is None or not before[0].looks_like(stat):
            first = now
        elif before[1] != path:
            first = now - self._settle
        else:
            first = before[2]
        since[stat.identity] = (stat, path, first)
        return now - first >= self._settle or time.time() - stat.mtime_ns / 1e9 >= self._settle


def _walk(base: Path, deep: bool, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(base) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if prefix and isinstance(error, FileNotFoundError):
            return
        raise TransientError(f"cannot list {base}: {error.strerror}; make the folder, or give the right to read it") from None
    for entry in listed:
        if not entry.is_dir():
            yield prefix + entry.name, entry
        elif deep and not entry.is_symlink() and not entry.name.startswith("."):
            yield from _walk(Path(entry.path), deep, f"{prefix}{entry.name}/")


def _name(path: Path, root: Path) -> str:
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return os.fsencode(shown.as_posix()).decode("utf-8", "backslashreplace")
