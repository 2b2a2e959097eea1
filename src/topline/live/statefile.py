"""The file of a checkpoint: every array of the state, whole or refused.

The arrays lie one after the other as they lie in memory, each from a new block on. An index (JSON) behind them says what each
is, where it lies and its CRC-32; the last bytes of the file are the index's place, length and CRC-32.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from topline.durable import sync
from topline.errors import StateError
from topline.faults import point
from topline.live.arrays import Array, with_room
from topline.live.directfile import BLOCK, CHUNK, DirectFile

FORMAT = 8  # of the state's arrays; another number is refused
_THREADS = 2
_TRAILER = struct.Struct("<QQI8s")
_MAGIC = b"topline6"


def write(path: Path, header: Mapping[str, str], arrays: Mapping[str, Array]) -> None:
    """To a temporary file beside `path`, which `settle` makes the checkpoint. The arrays must not change meanwhile."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    places, end = _places(plain)
    file = DirectFile(_temporary(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, end)
    try:
        file.reserve(end)
        with ThreadPoolExecutor(_THREADS) as pool:
            sums = [pool.submit(_put, file, array, places[name]) for name, array in plain.items()]
            index = [
                (name, array.dtype.str, array.shape, places[name], crc.result())
                for (name, array), crc in zip(plain.items(), sums, strict=True)
            ]
        _put(file, _facts_of({"header": {"format": str(FORMAT), **header}, "index": index}, end), end)
    finally:
        file.close()
    point("checkpoint:written")


def settle(path: Path) -> None:
    """What was written for `path` is on the disk, and has its name: all, or nothing of it. From any thread."""
    sync(_temporary(path))
    _temporary(path).replace(path)
    sync(path.parent)


def read(path: Path, expected: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Array]]:
    """The header and the arrays. StateError where the file is damaged or an `expected` entry of the header differs."""
    try:
        facts = _facts(path)
        _check(path, facts["header"], {"format": str(FORMAT), **expected})
        return facts["header"], _arrays(path, facts["index"])
    except (OSError, ValueError, KeyError, struct.error, MemoryError) as error:
        raise StateError(
            f"{path} is no readable checkpoint ({error}); it is only a cache: remove it, the log has all"
        ) from error


def _arrays(path: Path, index: Sequence[Any]) -> dict[str, Array]:
    file = DirectFile(path, os.O_RDONLY, path.stat().st_size)
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            arrays = [pool.submit(_get, file, *described) for described in index]
            return dict(array.result() for array in arrays)
    finally:
        file.close()


def _facts_of(facts: Mapping[str, Any], place: int) -> Array:
    """The index and what is behind it, which ends with a block."""
    text = json.dumps(facts).encode()
    text += b" " * (-(len(text) + _TRAILER.size) % BLOCK)
    return np.frombuffer(text + _TRAILER.pack(place, len(text), zlib.crc32(text), _MAGIC), np.uint8)


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TRAILER.size))
        place, length, crc, magic = _TRAILER.unpack(file.read(_TRAILER.size))
        if magic != _MAGIC or place + length + _TRAILER.size != size:
            raise ValueError("it is cut, or of another format")
        file.seek(place)
        found = file.read(length)
    if zlib.crc32(found) != crc:
        raise ValueError("its index is damaged")
    facts: dict[str, Any] = json.loads(found)
    return facts


def _places(arrays: Mapping[str, Array]) -> tuple[dict[str, int], int]:
    """Where each array begins, and where the last one ends."""
    places, end = {}, 0
    for name, array in arrays.items():
        places[name] = end
        end += -(-array.nbytes // BLOCK) * BLOCK
    return places, end


def _put(file: DirectFile, array: Array, place: int) -> int:
    """Write an array; returns its CRC-32, which is taken while a chunk is in the processor's cache."""
    crc = 0
    for start, chunk in _chunks(array):
        file.write(chunk, place + start)
        crc = zlib.crc32(chunk.data, crc)
    return crc


def _get(file: DirectFile, name: str, dtype: str, shape: list[int], place: int, crc: int) -> tuple[str, Array]:
    array = with_room(shape, dtype)
    found = 0
    for start, chunk in _chunks(array):
        if not file.read(chunk, place + start):
            raise ValueError(f"{name} is cut")
        found = zlib.crc32(chunk.data, found)
    if found != crc:
        raise ValueError(f"{name} is damaged")
    return name, array


def _chunks(array: Array) -> Iterator[tuple[int, Array]]:
    whole = array.reshape(-1).view(np.uint8)
    return ((start, whole[start : start + CHUNK]) for start in range(0, len(whole), CHUNK))


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _check(path: Path, header: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for name, value in expected.items():
        if header.get(name) != value:
            raise StateError(
                f"{path} has {name} {header.get(name)}, wanted is {value}; it is only a cache: remove it, the log has all"
            )
