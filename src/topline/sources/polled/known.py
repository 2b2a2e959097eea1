"""What is known of a table's rows: key -> fingerprint, so that a poll gives only what changed, and what is gone is found.

It lives in the source's memory as chunks, each the keys that one batch changed, merged as they grow in number: what a batch
writes follows the batch, not the table.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import cast

import pyarrow as pa

_MOST_ROWS = 200_000  # of a chunk: larger ones are not merged any more
_SLACK = 10_000
_GONE = b""  # stands for a row that is gone, where not all rows are known
_SCHEMA = pa.schema([("key", pa.string()), ("print", pa.binary())])


def fingerprint(row: Iterable[object]) -> bytes:
    """128 bits of a row's values; equal rows have equal ones, in every process."""
    return hashlib.blake2b(repr(tuple(row)).encode(), digest_size=16).digest()


class Known:
    """Keys (as text) and the fingerprints of their rows. Without `stored`, it is kept in this process alone."""

    def __init__(self, prefix: str, stored: bool) -> None:
        """`prefix`: how the names of its chunks in the source's memory begin."""
        self._prefix, self.stored = prefix, stored
        self.prints: dict[str, bytes] = {}
        self._chunks: dict[int, list[str]] = {}
        self._dirty: dict[str, None] = {}

    @classmethod
    def load(cls, prefix: str, stored: bool, memory: Mapping[str, bytes]) -> "Known":
        known = cls(prefix, stored)
        stored_chunks = {int(name.removeprefix(prefix)): raw for name, raw in memory.items() if name.startswith(prefix)}
        for number, raw in sorted(stored_chunks.items()):
            keys, prints = _decode(raw)
            known._chunks[number] = keys
            for key, print_ in zip(keys, prints, strict=True):
                known._set(key, print_)
        return known

    def __len__(self) -> int:
        return len(self.prints)

    def __contains__(self, key: str) -> bool:
        return key in self.prints

    def is_news(self, key: str, print_: bytes | None) -> bool:
        """Note that the row of `key` has this fingerprint (None: it is gone); whether it had another one, or was not known."""
        if not self.stored:
            print_ = _GONE if print_ is None else print_
        if self.prints.get(key) == print_:
            return False
        self.note(key, print_)
        return True

    def note(self, key: str, print_: bytes | None) -> None:
        self._set(key, print_)
        if self.stored:
            self._dirty[key] = None

    def others(self, seen: set[str]) -> list[str]:
        """Known keys that are not among `seen`."""
        return [key for key in self.prints if key not in seen]

    def retain(self, seen: set[str]) -> None:
        """Where it is not stored: only these are of interest from now on."""
        if not self.stored:
            self.prints = {key: self.prints[key] for key in seen if key in self.prints}

    def changes(self) -> dict[str, bytes | None]:
        """What to write to the source's memory for all that was noted since the last call."""
        if not self._dirty:
            return {}
        newest = max(self._chunks, default=0) + 1
        self._chunks[newest], self._dirty = list(self._dirty), {}
        gone = self._swallow(newest)
        return {**{self._name(chunk): None for chunk in gone}, self._name(newest): _encode(self._chunks[newest], self.prints)}

    def _swallow(self, newest: int) -> list[int]:
        """The newest chunk takes in its forerunners while they are not much larger, or all of them where most is stale."""
        entries = sum(map(len, self._chunks.values()))
        stale = entries > 2 * len(self.prints) + _SLACK
        gone: list[int] = []
        for before in sorted(self._chunks.keys() - {newest}, reverse=True):
            old, new = len(self._chunks[before]), len(self._chunks[newest])
            if not stale and (old > 2 * new or old + new > _MOST_ROWS):
                break
            self._chunks[newest] = list(dict.fromkeys((*self._chunks.pop(before), *self._chunks[newest])))
            gone.append(before)
        if len(self._chunks) == 1:  # nothing lies below that the mark of a key that is gone would have to cover
            self._chunks[newest] = [key for key in self._chunks[newest] if key in self.prints]
        return gone

    def _set(self, key: str, print_: bytes | None) -> None:
        if print_ is None:
            self.prints.pop(key, None)
        else:
            self.prints[key] = print_

    def _name(self, number: int) -> str:
        return f"{self._prefix}{number}"


def _encode(keys: list[str], prints: Mapping[str, bytes]) -> bytes:
    """A chunk as Arrow IPC; a key without a fingerprint is gone."""
    table = pa.table([pa.array(keys, pa.string()), pa.array([prints.get(key) for key in keys], pa.binary())], schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return cast("bytes", sink.getvalue().to_pybytes())


def _decode(raw: bytes) -> tuple[list[str], list[bytes | None]]:
    with pa.ipc.open_stream(raw) as reader:
        table = reader.read_all()
    return table["key"].to_pylist(), table["print"].to_pylist()
