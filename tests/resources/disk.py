"""A small disk: a tmpfs that a test mounts over a folder, fills, and makes larger. Where mounting is not allowed, it skips."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_FILLER = "filler"


class Disk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, leave: int = 0) -> None:
        """All but about `leave` bytes are taken, whoever else writes meanwhile."""
        with (self.folder / _FILLER).open("ab", buffering=0) as filler, suppress(OSError):
            while (room := os.statvfs(self.folder)).f_bavail * room.f_frsize > leave:
                filler.write(bytes(4096))

    def make_room(self) -> None:
        (self.folder / _FILLER).unlink()

    def grow(self, megabytes: float) -> None:
        _mount("-o", f"remount,size={int(megabytes * 1024)}k", str(self.folder))


@contextmanager
def disk(folder: Path, megabytes: float, mode: str = "755") -> Iterator[Disk]:
    """Skips where this user may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    failure = _mount("-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k,mode={mode}", "tmpfs", str(folder))
    if failure:
        pytest.skip(f"a small disk cannot be mounted here: {failure}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> str:
    """'' or what went wrong."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""
