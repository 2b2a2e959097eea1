"""What the kernels over records and those who call them agree on, without the compiler."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Marks = npt.NDArray[np.int32]

# A program's lines: (operation, operand, slot), the slot -1 where the value is passed over. The operand is:
END = 0
UNION = 1  # where its branches' addresses begin; in the slot's place, how many they are
JUMP = 2  # the address to go on from
BYTES = 3  # nothing: bytes or a text
LONG = 4  # nothing: an int, a long, an enum
FIXED = 5  # how many bytes
BOOLEAN = 6  # nothing
FLOATING = 7  # bytes of the float or double
PRESENT = 8  # nothing: a record begins
LOOP = 9  # the address after the array or map
NEXT = 10  # the address of its LOOP
MOST_NESTED = 16  # arrays and maps in each other

# Why a record cannot be read.
FINE = 0
NO_BRANCH = 1
TOO_SHORT = 2
NO_NUMBER = 3
TOO_LONG = 4

# What a cell is that is written.
CELL_TEXT = 0
CELL_LONG = 1
CELL_BOOLEAN = 2
