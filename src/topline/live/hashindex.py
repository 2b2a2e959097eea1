"""An open-addressing hash index: from the hash of a row to the row's number in someone else's words."""

import numpy as np

from topline.live.arrays import Array, Arrays, Columns, Hashes, Ints
from topline.live.kernels import rows as kernels

_SMALLEST = 64


class HashIndex:
    """Slots hold 32 bits of the hash (the tag) and the row's number + 1; a slot's place is taken from the tag itself.

    So growing touches the slots alone. Linear probing, half to three quarters full. Up to 2^32 - 2 rows.
    """

    def __init__(self) -> None:
        self.slots: Hashes = np.zeros(_SMALLEST, np.uint64)
        self._count = 0

    @property
    def nbytes(self) -> int:
        return self.slots.nbytes

    def find(self, keys: Columns, hashes: Hashes, words: Array, layout: Ints) -> Ints:
        """The row of each key, or -1; words, layout: where the keys of rows stand (see the kernels)."""
        return kernels.find(keys, hashes, self.slots, words, layout)

    def add(self, hashes: Hashes, rows: Ints) -> None:
        """Put in rows that are not there yet, each once."""
        self.reserve(len(rows))
        kernels.index(self.slots, hashes, rows)
        self.note(len(rows))

    def remove(self, hashes: Hashes, rows: Ints) -> None:
        """Take out rows that are there."""
        kernels.unindex(self.slots, hashes, rows)
        self._count -= len(rows)

    def reserve(self, more: int) -> None:
        """Make room for so many more rows."""
        needed = self._count + more
        if 4 * needed > 3 * len(self.slots):
            entries, self.slots = self.slots, np.zeros(2 * needed + _SMALLEST, np.uint64)
            kernels.reindex(self.slots, entries)

    def note(self, more: int) -> None:
        """So many rows were put in."""
        self._count += more

    def arrays(self) -> dict[str, Array]:
        return {"slots": self.slots, "count": np.array([self._count])}

    def restore(self, arrays: Arrays) -> None:
        self.slots = arrays["slots"]
        self._count = int(arrays["count"][0])
