"""Vector primitives on int64 columns that every part of the live engine's state is made of."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

NULL = int(np.iinfo(np.int64).min)
EMPTY: Ints = np.empty(0, np.int64)

_SEED = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_FINISHER = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)


class State(Protocol):
    """What a checkpoint can take and give back."""

    def arrays(self) -> dict[str, Array]: ...

    def restore(self, arrays: Arrays) -> None: ...


def nest(**parts: State) -> dict[str, Array]:
    """The arrays of several states under `name.`."""
    return {f"{name}.{key}": array for name, part in parts.items() for key, array in part.arrays().items()}


def unnest(arrays: Arrays, **parts: State) -> None:
    """The reverse of `nest`, into the same states."""
    for name, part in parts.items():
        head = f"{name}."
        part.restore({key.removeprefix(head): array for key, array in arrays.items() if key.startswith(head)})


def ranges(starts: Ints, lengths: Ints) -> Ints:
    """arange(start, start + length) of each pair, one after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Ints = np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - lengths), lengths)
    return numbers


def grown(array: Array, used: int, needed: int) -> Array:
    """`array` with room for `needed` entries, half as large again so that appending is linear; the first `used` are kept."""
    if needed <= len(array):
        return array
    larger = np.empty(max(needed, len(array) + len(array) // 2, 16), array.dtype)
    larger[:used] = array[:used]
    return larger


def take(columns: Sequence[Ints], index: Array) -> list[Ints]:
    return [column[index] for column in columns]


def hash_columns(columns: Sequence[Ints], count: int) -> Hashes:
    """64-bit hash of each row; its upper half is well mixed (multiply, then xor the upper half into the lower)."""
    hashes: Hashes = np.full(count, _SEED, np.uint64)
    for column in columns:
        hashes ^= column.view(np.uint64)
        hashes *= _MULTIPLIER
        hashes ^= hashes >> _HALF
    hashes *= _FINISHER
    return hashes


class Groups(NamedTuple):
    """order: a permutation that brings equal rows together; starts: where in it each group begins."""

    order: Ints
    starts: Ints

    @property
    def first(self) -> Ints:
        """One row of each group."""
        return self.order[self.starts]

    @property
    def lengths(self) -> Ints:
        return np.diff(self.starts, append=len(self.order))

    def inverse(self) -> Ints:
        """The number of each row's group."""
        inverse = np.empty(len(self.order), np.int64)
        inverse[self.order] = np.repeat(np.arange(len(self.starts)), self.lengths)
        return inverse

    def sums(self, values: Array) -> Array:
        """The sum of `values` in each group."""
        return np.add.reduceat(values[self.order], self.starts) if len(self.starts) else values[:0]


def group_rows(columns: Sequence[Ints], count: int, hashes: Hashes | None = None) -> Groups:
    """Bring equal rows together by one sort on a hash; rows that collide are told apart by sorting on all columns."""
    if len(columns) == 1 and hashes is None:
        keys: Array = columns[0]
    else:
        keys = hash_columns(columns, count) if hashes is None else hashes
    order = np.argsort(keys)
    arranged = keys[order]
    fresh = np.empty(count, np.bool_)
    fresh[:1] = True
    np.not_equal(arranged[1:], arranged[:-1], out=fresh[1:])
    if _collides(columns, order, fresh):
        return _group_by_sorting(columns, count)
    return Groups(order, np.flatnonzero(fresh))


def _collides(columns: Sequence[Ints], order: Ints, fresh: Flags) -> bool:
    repeated = np.flatnonzero(~fresh)
    if not len(repeated):
        return False
    left, right = order[repeated - 1], order[repeated]
    return any(bool((column[left] != column[right]).any()) for column in columns)


def _group_by_sorting(columns: Sequence[Ints], count: int) -> Groups:
    order = np.lexsort(columns)
    fresh = np.zeros(count, np.bool_)
    fresh[:1] = True
    for column in columns:
        arranged = column[order]
        fresh[1:] |= arranged[1:] != arranged[:-1]
    return Groups(order, np.flatnonzero(fresh))


class Stack:
    """Free numbers, last in first out; push and pop take arrays."""

    def __init__(self) -> None:
        self._items = EMPTY
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, items: Ints) -> None:
        self._items = grown(self._items, self._count, self._count + len(items))
        self._items[self._count : self._count + len(items)] = items
        self._count += len(items)

    def pop(self, at_most: int) -> Ints:
        count = min(at_most, self._count)
        self._count -= count
        return self._items[self._count : self._count + count].copy()

    def arrays(self) -> dict[str, Array]:
        return {"items": self._items[: self._count]}

    def restore(self, arrays: Arrays) -> None:
        self._items = arrays["items"]
        self._count = len(self._items)
