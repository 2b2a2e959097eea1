"""What kernels and those who call them agree on, without the compiler."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Starts = npt.NDArray[np.uint32]

NULL = np.int64(np.iinfo(np.int64).min)
LOWER = np.int64(0xFFFFFFFF)  # the lower half of a number
LOW = np.uint64(0xFFFFFFFF)  # the same of a hash, or of a slot
HALF = np.uint64(32)
VACANT = np.uint64(0)  # a slot

BLOCK = 64  # rows that a block of a sorted index has room for
TEXT, DESCENDING, NULLS_FIRST = 1, 2, 4  # flags of a sort
PAGE_BITS = 16  # of a string's code: which page of strings it is on


class Texts(NamedTuple):
    """Where strings lie: the arena, and where each begins (see `text`)."""

    arena: Bytes
    pages: Ints
    starts: Starts
