"""Looks at a folder: which files match, and which of them stand still. A look costs a stat a file, and little more."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from topline.errors import TransientError
from topline.sources.base import Fault
from topline.sources.files.content import LocalFile, Stat
from topline.sources.files.found import Found
from topline.sources.files.patterns import Pattern

_Identity = tuple[int, int]


class Stillness:
    """Which files stand still: size and mtime were the same for `settle` seconds, by our own clock or by the age of the
    mtime; or the file got its name by a rename, after it had been seen under another. Shared by all folders of a source."""

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._before: dict[_Identity, tuple[Stat, str, float]] = {}
        self._seen: dict[_Identity, tuple[Stat, str, float]] = {}
        self.begin()

    def begin(self) -> None:
        """A look begins. What was not seen at the last one is forgotten."""
        self._before, self._seen = self._seen, {}
        self._now = time.monotonic()
        self.old = time.time_ns() - int(self._settle * 1e9)  # what was written no later than this stands still

    def young(self, stat: Stat, path: str) -> bool:
        """Note a file written lately, or by its time in the future; whether it stands still nevertheless."""
        before = self._before.get(stat.identity)
        if before is None or not before[0].looks_like(stat):
            since = self._now
        elif before[1] != path:
            since = self._now - self._settle
        else:
            since = before[2]
        self._seen[stat.identity] = (stat, path, since)
        return self._now - since >= self._settle


class Folder:
    """The files of one table in a folder, or in the folders below it."""

    def __init__(self, table: str, pattern: Pattern, root: Path, stillness: Stillness) -> None:
        self._table, self._pattern, self._root, self._stillness = table, pattern, root, stillness
        self._known: dict[str, Found] = {}  # by path, as of the last look

    def files(self) -> Iterator[tuple[Found, bool]]:
        before, self._known = self._known, {}
        old = self._stillness.old
        for relative, entry in _walk(self._pattern.base, self._pattern.deep):
            path = entry.path
            try:
                now = entry.stat()
            except OSError:
                continue  # gone since it was listed, or a link to nowhere
            found = before.get(path)
            if found is None or not _is_same(found.stat, now):
                found = self._found(relative, entry, now)
            still = now.st_mtime_ns <= old or self._stillness.young(found.stat if found else Stat.of(now), path)
            if found is not None:
                self._known[path] = found
                yield found, still

    def _found(self, relative: str, entry: os.DirEntry[str], now: os.stat_result) -> Found | None:
        if not self._pattern.means(relative) or not entry.is_file():
            return None
        path = Path(entry.path)
        return Found(self._table, LocalFile(path), _name(path, self._root), Stat.of(now))

    def faults(self, where: str) -> list[Fault]:
        folder = self._pattern.base
        if not os.path.isdir(folder):
            return [Fault(where, f"{folder} is not a folder", f"mkdir -p {folder}")]
        if not os.access(folder, os.R_OK | os.X_OK):
            return [Fault(where, f"{folder} cannot be read", f"chmod u+rx {folder}, as its owner")]
        return []


def _is_same(known: Stat, now: os.stat_result) -> bool:
    return (
        known.mtime_ns == now.st_mtime_ns
        and known.size == now.st_size
        and known.ctime_ns == now.st_ctime_ns
        and known.identity == (now.st_dev, now.st_ino)
    )


def _walk(base: str, deep: bool, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything in a folder that is no folder, with its path relative to the first one; linked folders are not entered."""
    try:
        with os.scandir(base) as entries:
            listed = list(entries)
    except OSError as error:
        if prefix and isinstance(error, FileNotFoundError):
            return
        raise TransientError(f"cannot list {base}: {error.strerror}; make the folder, or give the right to read it") from None
    for entry in listed:
        if not entry.is_dir():
            yield prefix + entry.name, entry
        elif deep and not entry.is_symlink() and not entry.name.startswith("."):
            yield from _walk(entry.path, deep, f"{prefix}{entry.name}/")


def _name(path: Path, root: Path) -> str:
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return os.fsencode(shown.as_posix()).decode("utf-8", "backslashreplace")
