"""A file that is written and read past the page cache (O_DIRECT, open(2)), wherever the file system can.

A checkpoint is as large as the state and is read once, at the next start. In the cache it would push out what is needed, and
each of its pages would be copied, after the machine (a virtual one: its host) had to find one for it.
"""

import errno
import fcntl
import os
import threading
import time
from mmap import mmap
from pathlib import Path

import numpy as np

from topline.live.arrays import Array

BLOCK = 4096  # bytes: places and lengths are multiples of what disks and file systems ask for
CHUNK = 4 << 20  # bytes that go at once at most; a multiple of BLOCK
_LARGE = 16 << 20  # bytes
_TRIED, _SLOW = 64 << 20, 300e6  # bytes, bytes a second: a slower disk is left to the cache, which takes the rest at once
_DIRECT = getattr(os, "O_DIRECT", 0)


class DirectFile:
    """From any thread. `size`: bytes that it has or will have; a small file is left to the cache. `close` at the end;
    OSError as the system tells it."""

    def __init__(self, path: Path, flags: int, size: int) -> None:
        self._descriptor, self._direct = _open(path, flags, _DIRECT if size >= _LARGE else 0)
        self._own = threading.local()
        self._started, self._written = time.monotonic(), 0

    def close(self) -> None:
        os.close(self._descriptor)

    def reserve(self, size: int) -> None:
        """A disk without room says so at once, and the writes are cheaper."""
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._descriptor, 0, size)

    def write(self, data: Array, place: int) -> None:
        """At most CHUNK bytes to a multiple of BLOCK; zeros follow up to the next one."""
        room = self._room()[: _up(len(data))]
        np.copyto(room[: len(data)], data)
        room[len(data) :] = 0
        self._write(room.data, place)
        self._written += len(data)
        if self._direct and self._written > _TRIED and self._written < _SLOW * (time.monotonic() - self._started):
            self._use_cache()

    def read(self, data: Array, place: int) -> bool:
        """Fill it from a multiple of BLOCK. False where the file ends before."""
        room = self._room()[: _up(len(data))]
        found = self._read(room.data, place)
        np.copyto(data, room[: len(data)])
        return found >= len(data)

    def _room(self) -> Array:
        """A thread's own CHUNK bytes that begin at a page, as O_DIRECT wants them."""
        if not hasattr(self._own, "room"):
            self._own.room = np.frombuffer(mmap(-1, CHUNK), np.uint8)
        room: Array = self._own.room
        return room

    def _write(self, data: memoryview, place: int) -> None:
        while data:
            direct = self._direct
            try:
                written = os.pwrite(self._descriptor, data, place)
            except OSError as error:
                self._retry(error, direct)
            else:
                data, place = data[written:], place + written

    def _read(self, data: memoryview, place: int) -> int:
        found = 0
        while found < len(data):
            direct = self._direct
            try:
                count = os.preadv(self._descriptor, [data[found:]], place + found)
            except OSError as error:
                self._retry(error, direct)
            else:
                if not count:
                    break
                found += count
        return found

    def _retry(self, error: OSError, direct: bool) -> None:
        """EINVAL: what is left after a short transfer, or this file system, is not to be had past the cache."""
        if error.errno != errno.EINVAL or not direct:
            raise error
        self._use_cache()

    def _use_cache(self) -> None:
        self._direct = False
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & ~_DIRECT)


def _open(path: Path, flags: int, direct: int) -> tuple[int, bool]:
    try:
        return os.open(path, flags | direct, 0o600), bool(direct)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, flags, 0o600), False


def _up(length: int) -> int:
    return -(-length // BLOCK) * BLOCK
