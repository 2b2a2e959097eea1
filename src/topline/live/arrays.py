"""Vector primitives on int64 columns that every part of the live engine's state is made of."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from topline.live.kernels import groups as kernels
from topline.live.kernels import rows as row_kernels
from topline.live.kernels import shapes

Ints = npt.NDArray[np.int64]
Columns = npt.NDArray[np.int64]  # a matrix, one contiguous line a column
Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

NULL = int(shapes.NULL)
_SPARE = 1 << 30
EMPTY: Ints = np.empty(0, np.int64)


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


class _Room(np.ndarray[Any, Any]):
    """Memory of which the beginning is in use; `grown` goes on in it."""


def with_room(shape: Sequence[int], dtype: str) -> Array:
    """An empty array, and behind it room for half as many lines, which `grown` gives without copying any.

    Its owner alone may ask for that, and nobody may keep a part of what has grown."""
    lines, *rest = shape
    room: Array = _Room((lines + _spare(lines // 2, rest, dtype), *rest), dtype)
    return np.ndarray((lines, *rest), dtype, room)


def grown(array: Array, used: int, needed: int) -> Array:
    """`array` with room for `needed` lines; the first `used` are kept.

    Room is taken for twice as many more, up to a GiB, but for an eighth, and for half of what is needed: the system gives
    memory where it is first written to, so that what is not used costs nothing, but it refuses to promise more than there is.
    """
    if needed <= len(array):
        return array
    room = array.base
    if isinstance(room, _Room) and needed <= len(room):
        return room.view(np.ndarray)
    more, most = (_spare(lines, array.shape[1:], array.dtype) for lines in (needed // 2, 2 * len(array)))
    larger = np.empty((max(needed + more, len(array) + max(most, len(array) // 8), 16), *array.shape[1:]), array.dtype)
    larger[:used] = array[:used]
    return larger


def _spare(lines: int, rest: Sequence[int], dtype: npt.DTypeLike) -> int:
    """So many lines, or as many as take a GiB."""
    return min(lines, _SPARE // max(1, np.dtype(dtype).itemsize * prod(rest)))


def matrix(columns: Sequence[Ints], count: int) -> Columns:
    """Columns of `count` rows as one matrix."""
    made = np.empty((len(columns), count), np.int64)
    for place, column in enumerate(columns):
        made[place] = column
    return made


def take(columns: Columns, index: Ints) -> Columns:
    """Some of the rows."""
    return row_kernels.pick(columns, index)


def hash_columns(columns: Columns) -> Hashes:
    """64-bit hash of each row."""
    return row_kernels.hash_rows(columns)


class Groups(NamedTuple):
    """numbers: of each row's group, in order of first appearance; first: one row of each group, the first."""

    numbers: Ints
    first: Ints

    def __len__(self) -> int:
        return len(self.first)

    def sums(self, values: Ints) -> Ints:
        """The sum of small numbers (weights, counts) in each group."""
        return kernels.sums(self.numbers, len(self.first), values)

    def last(self) -> Ints:
        """The last row of each group."""
        return kernels.last(self.numbers, len(self.first))

    def ordered(self) -> tuple[Ints, Ints]:
        """The rows by group, in each in their own order, and where each group begins, with an end."""
        return kernels.ordered(self.numbers, len(self.first))


def group_rows(columns: Columns, hashes: Hashes | None = None) -> Groups:
    """Bring equal rows together. `hashes`: of the rows, where they are known already."""
    return Groups(*kernels.group(columns, hash_columns(columns) if hashes is None else hashes))


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
