"""What kernels and those who call them agree on, without the compiler."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BLOCK = 64  # rows that a block of a sorted index has room for
TEXT, DESCENDING, NULLS_FIRST = 1, 2, 4  # flags of a sort
PAGE_BITS = 16  # of a string's code: which page of strings it is on


class Texts(NamedTuple):
    """Where strings lie: the arena, and where each begins (see `text`)."""

    arena: npt.NDArray[np.uint8]
    pages: npt.NDArray[np.int64]
    starts: npt.NDArray[np.uint32]
