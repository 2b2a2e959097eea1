"""Text as numbers: bytes laid end to end in an arena, found by hash.

Shapes: `arena` holds the bytes of all strings; string c begins at pages[c >> 16] + starts[c] and ends where the next begins,
so that a start takes 32 bits; both have an entry for the string that comes next. `slots` as in `rows`.
"""

# Numbers here are the compiler's, which mypy does not know.
# mypy: disable-error-code="return-value, arg-type, assignment, no-any-return"

import numpy as np
import numpy.typing as npt

from topline.compiler import helper, kernel
from topline.live.kernels.memory import AHEAD, prefetch, word_at
from topline.live.kernels.rows import home_of
from topline.live.kernels.shapes import HALF, LOW, NULL, PAGE_BITS, VACANT, Bytes, Hashes, Ints, Starts

_FULL = np.int64(2**32)
_SALT = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)


@helper
def begin(pages: Ints, starts: Starts, code: int) -> int:
    return pages[code >> PAGE_BITS] + np.int64(starts[code])


@helper
def _hash(data: Bytes, start: int, end: int) -> int:
    mixed = _SALT ^ np.uint64(end - start)
    at = start
    while at + 8 <= end:
        mixed = (mixed ^ word_at(data, at)) * _MIX
        mixed ^= mixed >> HALF
        at += 8
    rest = np.uint64(0)
    while at < end:
        rest = (rest << np.uint64(8)) | np.uint64(data[at])
        at += 1
    mixed = (mixed ^ rest) * _MIX
    mixed ^= mixed >> HALF
    return mixed * _SALT


@helper
def _equal(one: Bytes, start: int, other: Bytes, begin_: int, length: int) -> bool:
    at = 0
    while at + 8 <= length:
        if word_at(one, start + at) != word_at(other, begin_ + at):
            return False
        at += 8
    while at < length:
        if one[start + at] != other[begin_ + at]:
            return False
        at += 1
    return True


@helper
def compare(arena: Bytes, pages: Ints, starts: Starts, left: int, right: int) -> int:
    """-1, 0 or 1: how two strings stand by their bytes; a prefix comes first."""
    if left == right:
        return 0
    one, other = begin(pages, starts, left), begin(pages, starts, right)
    one_length, other_length = begin(pages, starts, left + 1) - one, begin(pages, starts, right + 1) - other
    shorter = min(one_length, other_length)
    at = 0
    while at + 8 <= shorter and word_at(arena, one + at) == word_at(arena, other + at):
        at += 8
    while at < shorter:
        if arena[one + at] != arena[other + at]:
            return -1 if arena[one + at] < arena[other + at] else 1
        at += 1
    return -1 if one_length < other_length else (1 if one_length > other_length else 0)


@helper
def _look_ahead(tags: Hashes, number: int, arena: Bytes, pages: Ints, starts: Starts, slots: Hashes) -> None:
    """Ask for where the strings after this one will be looked for: first the slot, then the beginning, then the bytes."""
    if number + 3 * AHEAD < len(tags):
        prefetch(slots, home_of(tags[number + 3 * AHEAD], len(slots)))
    if number + 2 * AHEAD < len(tags):
        entry = slots[home_of(tags[number + 2 * AHEAD], len(slots))]
        if entry >> HALF == tags[number + 2 * AHEAD] and entry != VACANT:
            prefetch(starts, np.int64(entry & LOW) - 1)
    if number + AHEAD < len(tags):
        entry = slots[home_of(tags[number + AHEAD], len(slots))]
        if entry >> HALF == tags[number + AHEAD] and entry != VACANT:
            prefetch(arena, begin(pages, starts, np.int64(entry & LOW) - 1))


@helper
def first_bytes(arena: Bytes, pages: Ints, starts: Starts, code: int) -> int:
    """The first four bytes as a number, the first one highest; 0 for those that are not there."""
    at, end = begin(pages, starts, code), begin(pages, starts, code + 1)
    number = np.uint64(0)
    for place in range(4):
        number <<= np.uint64(8)
        if at + place < end:
            number |= np.uint64(arena[at + place])
    return number


@kernel(
    "int64(Array(uint8, 1, 'C', readonly=True), int64[::1], int64, boolean, uint8[::1], int64[::1], uint32[::1], uint64[::1], "
    "int64[::1])"
)
def intern(
    data: Bytes, offsets: Ints, count: int, add: bool, arena: Bytes, pages: Ints, starts: Starts, slots: Hashes, codes: Ints
) -> int:
    """Fill `codes` for the strings data[offsets[i]:offsets[i + 1]]: of those known, and with `add` of new ones from `count` on.

    There is room for all of them in arena, pages, starts and slots. Gives the new count, or -1 where a page of strings would
    take more than 4 GiB.
    """
    tags = np.empty(len(codes), np.uint64)
    for number in range(len(codes)):
        tags[number] = _hash(data, offsets[number], offsets[number + 1]) >> HALF
    for number in range(len(codes)):
        _look_ahead(tags, number, arena, pages, starts, slots)
        start, end, tag = offsets[number], offsets[number + 1], tags[number]
        place = home_of(tag, len(slots))
        code = np.int64(-1)
        while slots[place] != VACANT:
            if slots[place] >> HALF == tag:
                known = np.int64(slots[place] & LOW) - 1
                at = begin(pages, starts, known)
                same_length = begin(pages, starts, known + 1) - at == end - start
                if same_length and _equal(data, start, arena, at, end - start):
                    code = known
                    break
            place += 1
            if place == len(slots):
                place = 0
        if code < 0 and add:
            at = begin(pages, starts, count)
            for byte in range(end - start):
                arena[at + byte] = data[start + byte]
            after, page = at + end - start, (count + 1) >> PAGE_BITS
            if page != count >> PAGE_BITS:
                pages[page] = after
            if after - pages[page] >= _FULL:
                return -1
            starts[count + 1] = after - pages[page]
            slots[place] = (tag << HALF) | np.uint64(count + 1)
            code = np.int64(count)
            count += 1
        codes[number] = code
    return count


@kernel("int64[::1](int64[::1], int64[::1], uint32[::1])")
def offsets(codes: Ints, pages: Ints, starts: Starts) -> Ints:
    """Where each string would begin if they were laid end to end, with an end; NULL is as long as ''."""
    ends = np.zeros(len(codes) + 1, np.int64)
    for number in range(len(codes)):
        code = codes[number]
        length = begin(pages, starts, code + 1) - begin(pages, starts, code) if code != NULL else 0
        ends[number + 1] = ends[number] + length
    return ends


@kernel("void(int64[::1], int64[::1], uint8[::1], int64[::1], uint32[::1], uint8[::1])")
def lay(codes: Ints, ends: Ints, arena: Bytes, pages: Ints, starts: Starts, data: Bytes) -> None:
    """Copy the strings to where `offsets` says."""
    for number in range(len(codes)):
        if codes[number] != NULL:
            at = begin(pages, starts, codes[number])
            for byte in range(ends[number + 1] - ends[number]):
                data[ends[number] + byte] = arena[at + byte]


@kernel("boolean[::1](int64[::1], uint8[::1], int64[::1], uint32[::1])")
def visible(codes: Ints, arena: Bytes, pages: Ints, starts: Starts) -> npt.NDArray[np.bool_]:
    """Which strings begin and end with a visible ASCII character; NULL and '' do not."""
    found = np.zeros(len(codes), np.bool_)
    for number in range(len(codes)):
        code = codes[number]
        if code >= 0:
            first, end = begin(pages, starts, code), begin(pages, starts, code + 1)
            found[number] = first < end and 0x20 < arena[first] < 0x7F and 0x20 < arena[end - 1] < 0x7F
    return found
