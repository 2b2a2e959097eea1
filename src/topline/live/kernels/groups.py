"""Equal rows brought together by a hash table that lives for one call: O(rows), no sorting."""

import numpy as np

from topline.compiler import helper, kernel
from topline.live.kernels.shapes import HALF, LOWER, NULL, Hashes, Ints

_MOST_HEFT = np.int64(2**31)


@helper
def _equal(columns: Ints, one: int, other: int) -> bool:
    for column in range(columns.shape[0]):  # noqa: SIM110 - the compiler takes loops better
        if columns[column, one] != columns[column, other]:
            return False
    return True


@kernel("Tuple((int64[::1], int64[::1]))(int64[:,::1], uint64[::1])")
def group(columns: Ints, hashes: Hashes) -> tuple[Ints, Ints]:
    """The number of each row's group, in order of first appearance, and the first row of each group."""
    count = len(hashes)
    size = 16
    while size < 2 * count:
        size *= 2
    table = np.full(size, np.int32(-1))
    numbers, first = np.empty(count, np.int64), np.empty(count, np.int64)
    groups = 0
    for row in range(count):
        place = np.int64(hashes[row] >> HALF) & (size - 1)
        while table[place] >= 0:
            held = first[table[place]]
            if hashes[held] == hashes[row] and _equal(columns, held, row):
                break
            place = (place + 1) & (size - 1)
        if table[place] < 0:
            table[place] = groups
            first[groups] = row
            groups += 1
        numbers[row] = table[place]
    return numbers, first[:groups].copy()


@kernel("int64[::1](int64[::1], int64, int64[::1])")
def sums(numbers: Ints, groups: int, values: Ints) -> Ints:
    """The sum of small values (weights, counts) in each group."""
    totals = np.zeros(groups, np.int64)
    for row in range(len(numbers)):
        totals[numbers[row]] += values[row]
    return totals


@kernel("int64[:,::1](int64[::1], int64, int64[::1], int64[::1])")
def wide_sums(numbers: Ints, groups: int, values: Ints, weights: Ints) -> Ints:
    """Of value * weight, NULLs left out, in each group: the sum's part above 32 bits, the rest, and the weights' sum.

    Exact for any values, below 2^31 of weight in all (OverflowError): each half of a value is summed apart.
    """
    totals = np.zeros((3, groups), np.int64)
    heft = np.int64(0)
    for row in range(len(numbers)):
        if values[row] != NULL:
            number, weight = numbers[row], weights[row]
            heft += min(abs(weight), _MOST_HEFT)
            totals[0, number] += (values[row] >> 32) * weight
            totals[1, number] += (values[row] & LOWER) * weight
            totals[2, number] += weight
    if heft >= _MOST_HEFT:
        raise OverflowError("a batch has rows that stand for more than 2^31 rows")
    for number in range(groups):
        totals[0, number] += totals[1, number] >> 32
        totals[1, number] &= LOWER
    return totals


@kernel("Tuple((int64[::1], int64[::1]))(int64[::1], int64)")
def ordered(numbers: Ints, groups: int) -> tuple[Ints, Ints]:
    """The rows by group, in each in their own order, and where each group begins, with an end."""
    starts = np.zeros(groups + 1, np.int64)
    for row in range(len(numbers)):
        starts[numbers[row] + 1] += 1
    for number in range(groups):
        starts[number + 1] += starts[number]
    order, next_ = np.empty(len(numbers), np.int64), starts.copy()
    for row in range(len(numbers)):
        order[next_[numbers[row]]] = row
        next_[numbers[row]] += 1
    return order, starts


@kernel("int64[::1](int64[::1], int64)")
def last(numbers: Ints, groups: int) -> Ints:
    """The last row of each group."""
    rows = np.empty(groups, np.int64)
    for row in range(len(numbers)):
        rows[numbers[row]] = row
    return rows
