"""The file of a checkpoint: every array of the state, whole or refused.

The arrays lie one after the other as they lie in memory. An index (JSON) behind them says what each is, where it lies and its
CRC-32; the last bytes of the file are the index's place, length and CRC-32.
"""

import json
import os
import struct
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from topline.durable import sync
from topline.errors import StateError
from topline.faults import point
from topline.live.arrays import Array

FORMAT = 7  # of the state's arrays; another number is refused
_ALIGNED, _CHUNK, _THREADS = 64, 4 << 20, 2  # bytes; a chunk's CRC is taken while it is in the processor's cache
_TRAILER = struct.Struct("<QQI8s")
_MAGIC = b"topline6"


def write(path: Path, header: Mapping[str, str], arrays: Mapping[str, Array]) -> None:
    """To a temporary file beside `path`, which `settle` makes the checkpoint. The arrays must not change meanwhile."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    places, end = _places(plain)
    descriptor = os.open(_temporary(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if end and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, end)  # a disk without room says so at once, and the writes are cheaper
        with ThreadPoolExecutor(_THREADS) as pool:
            sums = [pool.submit(_put, descriptor, array, places[name]) for name, array in plain.items()]
            index = [
                (name, array.dtype.str, array.shape, places[name], crc.result())
                for (name, array), crc in zip(plain.items(), sums, strict=True)
            ]
        facts = json.dumps({"header": {"format": str(FORMAT), **header}, "index": index}).encode()
        _write_at(descriptor, facts + _TRAILER.pack(end, len(facts), zlib.crc32(facts), _MAGIC), end)
    finally:
        os.close(descriptor)
    point("checkpoint:written")


def settle(path: Path) -> None:
    """What was written for `path` is on the disk, and has its name: all, or nothing of it. From any thread."""
    sync(_temporary(path))
    _temporary(path).replace(path)
    sync(path.parent)


def read(path: Path, expected: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Array]]:
    """The header and the arrays. StateError where the file is damaged or an `expected` entry of the header differs."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return _read(path, descriptor, {"format": str(FORMAT), **expected})
        finally:
            os.close(descriptor)
    except (OSError, ValueError, KeyError, struct.error, MemoryError) as error:
        raise StateError(
            f"{path} is no readable checkpoint ({error}); it is only a cache: remove it, the log has all"
        ) from error


def _read(path: Path, descriptor: int, expected: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Array]]:
    facts = _facts(descriptor)
    header: dict[str, str] = facts["header"]
    _check(path, header, expected)
    with ThreadPoolExecutor(_THREADS) as pool:
        arrays = [pool.submit(_get, descriptor, *described) for described in facts["index"]]
        return header, dict(array.result() for array in arrays)


def _facts(descriptor: int) -> dict[str, Any]:
    size = os.fstat(descriptor).st_size
    end, length, crc, magic = _TRAILER.unpack(os.pread(descriptor, _TRAILER.size, max(0, size - _TRAILER.size)))
    if magic != _MAGIC or end + length + _TRAILER.size != size:
        raise ValueError("it is cut, or of another format")
    found = os.pread(descriptor, length, end)
    if zlib.crc32(found) != crc:
        raise ValueError("its index is damaged")
    facts: dict[str, Any] = json.loads(found)
    return facts


def _places(arrays: Mapping[str, Array]) -> tuple[dict[str, int], int]:
    """Where each array begins, and where the last one ends."""
    places, end = {}, 0
    for name, array in arrays.items():
        places[name] = end
        end += -(-array.nbytes // _ALIGNED) * _ALIGNED
    return places, end


def _put(descriptor: int, array: Array, place: int) -> int:
    """Write an array; returns its CRC-32."""
    crc = 0
    for start, chunk in _chunks(array):
        crc = zlib.crc32(chunk, crc)
        _write_at(descriptor, chunk, place + start)
    return crc


def _get(descriptor: int, name: str, dtype: str, shape: list[int], place: int, crc: int) -> tuple[str, Array]:
    array: Array = np.empty(shape, dtype)
    found = 0
    for start, chunk in _chunks(array):
        if os.preadv(descriptor, [chunk], place + start) != len(chunk):
            raise ValueError(f"{name} is cut")
        found = zlib.crc32(chunk, found)
    if found != crc:
        raise ValueError(f"{name} is damaged")
    return name, array


def _chunks(array: Array) -> "list[tuple[int, memoryview]]":
    whole = array.reshape(-1).view(np.uint8).data
    return [(start, whole[start : start + _CHUNK]) for start in range(0, len(whole), _CHUNK)]


def _write_at(descriptor: int, data: "bytes | memoryview", place: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, place)
        left, place = left[written:], place + written


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _check(path: Path, header: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for name, value in expected.items():
        if header.get(name) != value:
            raise StateError(
                f"{path} has {name} {header.get(name)}, wanted is {value}; it is only a cache: remove it, the log has all"
            )
