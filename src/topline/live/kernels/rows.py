"""Rows as runs of 32-bit words, found by hash: a row is one stretch of memory, so that looking at it costs one miss.

Shapes, in all kernels: `columns` and `keys` are int64 matrices, one line a column; `words` an int32 matrix, one line a stored
row. `layout` has a line (first word, 1 if it takes two words) a column; one-word columns hold 32 bits, their own NULL among
them. `slots` is a table of 64-bit entries, hash's upper half (the tag) over row number + 1, 0 where vacant, probed one after
the other from a place that the tag gives; it is never full. All cost O(rows handed in), whatever is stored.
"""

# Numbers here are the compiler's, which mypy does not know.
# mypy: disable-error-code="return-value, arg-type, assignment, no-any-return"

import numpy as np

from topline.compiler import helper, kernel
from topline.live.kernels.memory import AHEAD, prefetch
from topline.live.kernels.shapes import HALF, LOW, LOWER, NULL, VACANT, Hashes, Ints, Words

NARROW_NULL = np.int64(np.iinfo(np.int32).min)
_ONE = np.uint64(1)
_SEED = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_FINISHER = np.uint64(0xFF51AFD7ED558CCD)


@helper
def value(words: Words, row: int, place: Ints) -> int:
    """What a stored row has in the column of this line of the layout."""
    at = place[0]
    if place[1]:
        return (np.int64(words[row, at + 1]) << 32) | (np.int64(words[row, at]) & LOWER)
    narrow = np.int64(words[row, at])
    return NULL if narrow == NARROW_NULL else narrow


@helper
def write(words: Words, row: int, place: Ints, number: int) -> None:
    """The reverse of `value`."""
    at = place[0]
    if place[1]:
        words[row, at] = np.int32(number & LOWER)
        words[row, at + 1] = np.int32(number >> 32)
    else:
        words[row, at] = np.int32(max(number, NARROW_NULL))


@kernel("uint64[::1](int64[:,::1])")
def hash_rows(columns: Ints) -> Hashes:
    """64 bits a row, the upper half well mixed (multiply, then xor the upper half into the lower)."""
    width, count = columns.shape
    hashes = np.full(count, _SEED)
    for column in range(width):
        for row in range(count):
            mixed = (hashes[row] ^ np.uint64(columns[column, row])) * _MULTIPLIER
            hashes[row] = mixed ^ (mixed >> HALF)
    for row in range(count):
        hashes[row] *= _FINISHER
    return hashes


@helper
def home_of(tag: int, size: int) -> int:
    """A tag's first place in a table of `size` slots, which need not be a power of two (Lemire, 2019: multiply, shift)."""
    return np.int64((tag * np.uint64(size)) >> HALF)


@helper
def _same(keys: Ints, query: int, words: Words, row: int, layout: Ints) -> bool:
    for column in range(keys.shape[0]):  # noqa: SIM110 - the compiler takes loops better
        if value(words, row, layout[column]) != keys[column, query]:
            return False
    return True


@helper
def _look_ahead(hashes: Hashes, query: int, slots: Hashes, words: Words) -> None:
    """Ask for where the keys after this one will be looked for: first the slot, then the row."""
    if query + 2 * AHEAD < len(hashes):
        prefetch(slots, home_of(hashes[query + 2 * AHEAD] >> HALF, len(slots)))
    if query + AHEAD < len(hashes):
        tag = hashes[query + AHEAD] >> HALF
        entry = slots[home_of(tag, len(slots))]
        if entry >> HALF == tag and entry != VACANT:
            prefetch(words, (np.int64(entry & LOW) - 1) * words.shape[1])


@kernel("int64[::1](int64[:,::1], uint64[::1], uint64[::1], int32[:,::1], int64[:,::1])")
def find(keys: Ints, hashes: Hashes, slots: Hashes, words: Words, layout: Ints) -> Ints:
    """The row of each key, or -1."""
    found = np.full(len(hashes), np.int64(-1))
    for query in range(len(hashes)):
        _look_ahead(hashes, query, slots, words)
        tag = hashes[query] >> HALF
        place = home_of(tag, len(slots))
        while slots[place] != VACANT:
            if slots[place] >> HALF == tag:
                row = np.int64(slots[place] & LOW) - 1
                if _same(keys, query, words, row, layout):
                    found[query] = row
                    break
            place += 1
            if place == len(slots):
                place = 0
    return found


@kernel("void(uint64[::1], uint64[::1], int64[::1])")
def index(slots: Hashes, hashes: Hashes, rows: Ints) -> None:
    """Put in rows that are not there yet, each once."""
    for number in range(len(rows)):
        tag = hashes[number] >> HALF
        place = home_of(tag, len(slots))
        while slots[place] != VACANT:
            place += 1
            if place == len(slots):
                place = 0
        slots[place] = (tag << HALF) | np.uint64(rows[number] + 1)


@kernel("void(uint64[::1], uint64[::1])")
def reindex(slots: Hashes, entries: Hashes) -> None:
    """Put the entries of another table into this one, which is empty."""
    for number in range(len(entries)):
        if entries[number] != VACANT:
            place = home_of(entries[number] >> HALF, len(slots))
            while slots[place] != VACANT:
                place += 1
                if place == len(slots):
                    place = 0
            slots[place] = entries[number]


@helper
def _close(slots: Hashes, hole: int) -> None:
    """Move what was pushed past a hole back, so that no search ends in it (Knuth, volume 3, 6.4, algorithm R)."""
    place = hole
    while True:
        place += 1
        if place == len(slots):
            place = 0
        if slots[place] == VACANT:
            break
        home = home_of(slots[place] >> HALF, len(slots))
        stays = (hole < home and home <= place) if hole <= place else (hole < home or home <= place)
        if not stays:
            slots[hole] = slots[place]
            hole = place
    slots[hole] = VACANT


@kernel("void(uint64[::1], uint64[::1], int64[::1])")
def unindex(slots: Hashes, hashes: Hashes, rows: Ints) -> None:
    """Take out rows that are there."""
    for number in range(len(rows)):
        tag = hashes[number] >> HALF
        entry = (tag << HALF) | np.uint64(rows[number] + 1)
        place = home_of(tag, len(slots))
        while slots[place] != entry:
            place += 1
            if place == len(slots):
                place = 0
        _close(slots, place)


@kernel("void(int32[:,::1], int64[:,::1], int64[::1], int64[:,::1])")
def put(words: Words, layout: Ints, rows: Ints, columns: Ints) -> None:
    """Write these columns, of as many lines of the layout, into stored rows."""
    for number in range(len(rows)):
        for column in range(layout.shape[0]):
            write(words, rows[number], layout[column], columns[column, number])


@kernel("int64[:,::1](int32[:,::1], int64[:,::1], int64[::1])")
def take(words: Words, layout: Ints, rows: Ints) -> Ints:
    """The columns of these lines of the layout, of stored rows."""
    columns = np.empty((layout.shape[0], len(rows)), np.int64)
    for number in range(len(rows)):
        for column in range(layout.shape[0]):
            columns[column, number] = value(words, rows[number], layout[column])
    return columns


@kernel("int64[::1](int32[:,::1], int64[:,::1], int64[::1], int64[::1])")
def add_to(words: Words, layout: Ints, rows: Ints, amounts: Ints) -> Ints:
    """Add to the first column of the layout in stored rows, of which one may be named twice; what each is afterwards."""
    after = np.empty(len(rows), np.int64)
    for number in range(len(rows)):
        after[number] = value(words, rows[number], layout[0]) + amounts[number]
        write(words, rows[number], layout[0], after[number])
    return after


@kernel("int64[:,::1](int64[:,::1], int64[::1])")
def pick(columns: Ints, which: Ints) -> Ints:
    """Some rows of columns."""
    picked = np.empty((columns.shape[0], len(which)), np.int64)
    for column in range(columns.shape[0]):
        for number in range(len(which)):
            picked[column, number] = columns[column, which[number]]
    return picked


@kernel("Tuple((int64[::1], int64[::1]))(int64[::1], int32[:,::1], int64[:,::1])")
def follow(heads: Ints, words: Words, layout: Ints) -> tuple[Ints, Ints]:
    """All rows of these lists: which list, which row. The layout's first column links a row to the next; -1 ends a list."""
    room = 0
    for number in range(len(heads)):
        row = heads[number]
        while row >= 0:
            room += 1
            row = value(words, row, layout[0])
    which, rows = np.empty(room, np.int64), np.empty(room, np.int64)
    used = 0
    for number in range(len(heads)):
        row = heads[number]
        while row >= 0:
            which[used], rows[used] = number, row
            used += 1
            row = value(words, row, layout[0])
    return which, rows


@kernel("void(int32[:,::1], int64[:,::1], int64[::1], int64[::1], int64[::1])")
def link(words: Words, layout: Ints, rows: Ints, numbers: Ints, heads: Ints) -> None:
    """Put each row before the head of its list, numbers[i] among `heads`, which change. Columns: next, previous."""
    for at in range(len(rows)):
        row, head = rows[at], heads[numbers[at]]
        write(words, row, layout[0], head)
        write(words, row, layout[1], -1)
        if head >= 0:
            write(words, head, layout[1], row)
        heads[numbers[at]] = row


@kernel("void(int32[:,::1], int64[:,::1], int64[::1], int64[::1], int64[::1])")
def unlink(words: Words, layout: Ints, rows: Ints, numbers: Ints, heads: Ints) -> None:
    """Take each row out of its list; the reverse of `link`."""
    for at in range(len(rows)):
        next_, previous = value(words, rows[at], layout[0]), value(words, rows[at], layout[1])
        if next_ >= 0:
            write(words, next_, layout[1], previous)
        if previous >= 0:
            write(words, previous, layout[0], next_)
        else:
            heads[numbers[at]] = next_
