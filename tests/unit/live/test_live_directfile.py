"""Given a file past the page cache, when it is written and read, then it holds the bytes, whatever the file system allows."""

import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from topline.live import directfile
from topline.live.arrays import Array
from topline.live.directfile import BLOCK, CHUNK, DirectFile

LARGE = 1 << 30
WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
CHUNKS = [np.arange(CHUNK, dtype=np.uint8), np.full(5000, 7, np.uint8), np.full(1, 9, np.uint8)]
PLACES = [0, CHUNK, CHUNK + 2 * BLOCK]
Put = Callable[[int, memoryview, int], int]


def written(path: Path, size: int = LARGE) -> bool:
    """Whether it went past the cache to its end."""
    file = DirectFile(path, WRITE, size)
    try:
        for chunk, place in zip(CHUNKS, PLACES, strict=True):
            file.write(chunk, place)
        return file._direct
    finally:
        file.close()


def found(path: Path, size: int = LARGE) -> list[bool]:
    file = DirectFile(path, os.O_RDONLY, size)
    rooms = [np.zeros_like(chunk) for chunk in CHUNKS]
    try:
        there = [file.read(room, place) for room, place in zip(rooms, PLACES, strict=True)]
    finally:
        file.close()
    return [whole and bool((room == chunk).all()) for whole, room, chunk in zip(there, rooms, CHUNKS, strict=True)]


def as_it_should_be() -> bytes:
    return b"".join(bytes(chunk) + bytes(-len(chunk) % BLOCK) for chunk in CHUNKS)


def refusing(real: Put, refused: Callable[[memoryview, int], bool]) -> Put:
    """A file system that says EINVAL to some transfers past the cache."""

    def put(descriptor: int, data: memoryview, place: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT and refused(data, place):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(descriptor, data, place)

    return put


@pytest.mark.parametrize("size", [0, LARGE])
def test_what_is_written_is_read(tmp_path: Path, size: int) -> None:
    written(tmp_path / "f", size)
    assert (tmp_path / "f").read_bytes() == as_it_should_be()
    assert found(tmp_path / "f", size) == [True] * 3


def test_only_a_large_file_goes_past_the_cache(tmp_path: Path) -> None:
    assert not written(tmp_path / "f", 1 << 20)


def test_a_file_system_that_cannot_be_opened_so_is_used_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refused(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refused)
    assert not written(tmp_path / "f")
    assert found(tmp_path / "f") == [True] * 3


@pytest.mark.parametrize("first", [0, BLOCK])
def test_a_transfer_that_is_refused_so_goes_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr(os, "pwrite", refusing(os.pwrite, lambda _, place: place >= first))
    assert not written(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == as_it_should_be()


def test_a_short_transfer_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write, real_read = os.pwrite, os.preadv

    def short_write(descriptor: int, data: memoryview, place: int) -> int:
        return real_write(descriptor, data[: max(BLOCK, len(data) // 2 // BLOCK * BLOCK)], place)

    def short_read(descriptor: int, rooms: Sequence[memoryview], place: int) -> int:
        return real_read(descriptor, [rooms[0][: max(BLOCK, len(rooms[0]) // 2 // BLOCK * BLOCK)]], place)

    monkeypatch.setattr(os, "pwrite", short_write)
    monkeypatch.setattr(os, "preadv", short_read)
    written(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == as_it_should_be()
    assert found(tmp_path / "f") == [True] * 3


def test_a_file_that_ends_before_is_noticed(tmp_path: Path) -> None:
    written(tmp_path / "f")
    os.truncate(tmp_path / "f", CHUNK + 100)
    assert found(tmp_path / "f") == [True, False, False]


def test_another_error_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _data: memoryview, _place: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path / "f")


def test_a_slow_disk_is_left_to_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directfile, "_TRIED", CHUNK - 1)
    monkeypatch.setattr(directfile, "_SLOW", 1e15)
    assert not written(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == as_it_should_be()


def test_a_fast_disk_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directfile, "_TRIED", CHUNK - 1)
    monkeypatch.setattr(directfile, "_SLOW", 1.0)
    if not DirectFile(tmp_path / "f", WRITE, LARGE)._direct:
        pytest.skip("this file system has no O_DIRECT")
    assert written(tmp_path / "f")


def test_room_is_each_threads_own(tmp_path: Path) -> None:
    file = DirectFile(tmp_path / "f", WRITE, LARGE)
    blocks: list[Array] = [np.full(CHUNK, number, np.uint8) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(file.write, blocks, [number * CHUNK for number in range(8)]))
    file.close()
    whole = np.fromfile(tmp_path / "f", np.uint8).reshape(8, CHUNK)
    assert [set(row.tolist()) for row in whole[:, ::997]] == [{number} for number in range(8)]
