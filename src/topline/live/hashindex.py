"""A vectorised open-addressing hash index: from the hash of a row to the row's number in someone else's columns."""

from collections.abc import Callable

import numpy as np

from topline.live.arrays import Array, Arrays, Flags, Hashes, Ints

Same = Callable[[Ints, Ints], Flags]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_VACANT = np.uint64(0)
_TOMBSTONE = _LOW  # as a slot's lower half: never a row's number + 1
_NO_ROW = int(_LOW) - 1
_LOOKS = np.arange(6, dtype=np.uint64)  # slots at a time for those that were not found at once
_MANY_LOOKS = np.arange(20, dtype=np.uint64)  # of a small batch, where calls cost more than slots
_SMALL_BATCH = 2_000
_SMALLEST = 64


class HashIndex:
    """Slots hold 32 bits of the hash (the tag) and the row's number + 1; a slot's place is taken from the tag itself.

    So growing touches the slots alone. Linear probing, at most half full (tombstones included). Up to 2^32 - 2 rows.
    """

    def __init__(self) -> None:
        self._slots: Hashes = np.zeros(_SMALLEST, np.uint64)
        self._used = 0  # live rows and tombstones
        self._count = 0

    @property
    def nbytes(self) -> int:
        return self._slots.nbytes

    def find(self, hashes: Hashes, same: Same) -> Ints:
        """The row of each hash, or -1. `same(queries, rows)` settles whether a candidate really is the row asked for."""
        found = np.full(len(hashes), -1, np.int64)
        if not self._count:
            return found
        mask = np.uint64(len(self._slots) - 1)
        tags = hashes >> _HALF
        places = tags & mask
        entries = self._slots[places]
        likely = np.flatnonzero(entries >> _HALF == tags)
        rows = (entries[likely] & _LOW).astype(np.int64) - 1
        right = (rows >= 0) & (rows != _NO_ROW)
        if not right.all():
            likely, rows = likely[right], rows[right]
        right = same(likely, rows)
        found[likely[right]] = rows[right]
        asking = np.flatnonzero((entries != _VACANT) & (found < 0))
        self._look_on(asking, tags[asking], places[asking] + _ONE, same, found)
        return found

    def _look_on(self, asking: Ints, tags: Hashes, places: Hashes, same: Same, found: Ints) -> None:
        """Go on for those that were not found in their first slot, several slots at a time."""
        mask = np.uint64(len(self._slots) - 1)
        while len(asking):
            looks = _MANY_LOOKS if len(asking) < _SMALL_BATCH else _LOOKS
            entries = self._slots[(places[:, None] + looks) & mask]
            likely, at = np.nonzero(entries >> _HALF == tags[:, None])
            rows = (entries[likely, at] & _LOW).astype(np.int64) - 1
            real = (rows >= 0) & (rows != _NO_ROW)
            likely, rows = likely[real], rows[real]
            right = same(asking[likely], rows)
            found[asking[likely[right]]] = rows[right]
            onward = (entries != _VACANT).all(axis=1)
            onward[likely[right]] = False
            asking, tags, places = asking[onward], tags[onward], places[onward] + np.uint64(len(looks))

    def add(self, hashes: Hashes, rows: Ints) -> None:
        """Put in rows that are not there yet, each once."""
        self._reserve(len(rows))
        self._place((hashes >> _HALF << _HALF) | (rows.astype(np.uint64) + _ONE))
        self._used += len(rows)
        self._count += len(rows)

    def remove(self, hashes: Hashes, rows: Ints) -> None:
        """Take out rows that are there."""
        mask = np.uint64(len(self._slots) - 1)
        entries = (hashes >> _HALF << _HALF) | (rows.astype(np.uint64) + _ONE)
        places = (hashes >> _HALF) & mask
        while len(entries):
            here = self._slots[places] == entries
            self._slots[places[here]] = _TOMBSTONE
            entries, places = entries[~here], (places[~here] + _ONE) & mask
        self._count -= len(rows)

    def _reserve(self, more: int) -> None:
        if 2 * (self._used + more) <= len(self._slots):
            return
        size = len(self._slots)
        while 2 * (self._count + more) > size:
            size *= 2
        if 4 * (self._count + more) > size > _SMALLEST and size == len(self._slots):
            size *= 2  # cleaning alone would have to be done again soon
        entries = self._slots[(self._slots & _LOW != _TOMBSTONE) & (self._slots != _VACANT)]
        self._slots = np.zeros(size, np.uint64)
        self._place(entries)
        self._used = len(entries)

    def _place(self, entries: Hashes) -> None:
        """Every entry looks for a vacant slot; where two want the same, the one that finds itself there has won."""
        mask = np.uint64(len(self._slots) - 1)
        places = (entries >> _HALF) & mask
        while len(entries):
            vacant = self._slots[places] == _VACANT
            self._slots[places[vacant]] = entries[vacant]
            lost = self._slots[places] != entries
            entries, places = entries[lost], (places[lost] + _ONE) & mask

    def arrays(self) -> dict[str, Array]:
        return {"slots": self._slots, "counts": np.array([self._used, self._count])}

    def restore(self, arrays: Arrays) -> None:
        self._slots = arrays["slots"]
        self._used, self._count = (int(count) for count in arrays["counts"])
