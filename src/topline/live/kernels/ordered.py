"""Rows in order, in blocks: sorting, searching and merging, with text compared by its bytes where it lies.

Shapes: rows are runs of words, as in `rows`; `sorts` has the flags of each column, in order of weight. Block b is the stored
rows b * BLOCK to b * BLOCK + fill[b]; `order` lists the blocks in the rows' order. The last column is a row's weight, which
is not compared.
"""

# Numbers here are the compiler's, which mypy does not know.
# mypy: disable-error-code="return-value, arg-type, assignment, no-any-return"

import numpy as np

from topline.compiler import helper, kernel
from topline.live.kernels.memory import prefetch
from topline.live.kernels.rows import value, write
from topline.live.kernels.shapes import BLOCK, DESCENDING, LOW, NULL, NULLS_FIRST, TEXT, Bytes, Hashes, Ints, Starts, Words
from topline.live.kernels.text import compare as compare_text
from topline.live.kernels.text import first_bytes

MOST_WEIGHT = np.int64(2**31 - 1)
_TEXTS = "uint8[::1], int64[::1], uint32[::1]"
_ONE = np.uint64(1)
_SHOWN = np.uint64(33)  # bits of a lead that follow the group's
_LINE_WORDS = 16  # in a line of the processor's cache
_DIGIT_BITS = 11
_DIGITS, _DIGIT = 2**_DIGIT_BITS, np.uint64(2**_DIGIT_BITS - 1)
_LARGEST = np.int64(2**63 - 1)
_LAST_SHOWN = np.uint64(2**33 - 1)


@helper
def _compare_values(left: int, right: int, sort: int, arena: Bytes, pages: Ints, starts: Starts) -> int:
    if left == right:
        return 0
    if left == NULL or right == NULL:
        first = -1 if left == NULL else 1
        return first if sort & NULLS_FIRST else -first
    below = compare_text(arena, pages, starts, left, right) < 0 if sort & TEXT else left < right
    sign = -1 if below else 1
    return -sign if sort & DESCENDING else sign


@helper
def _compare(
    one: Words, row: int, other: Words, at: int, layout: Ints, sorts: Ints, arena: Bytes, pages: Ints, starts: Starts
) -> int:
    """-1, 0 or 1: how two rows stand by their first columns, as many as there are sorts."""
    for column in range(len(sorts)):
        place = layout[column]
        sign = _compare_values(value(one, row, place), value(other, at, place), sorts[column], arena, pages, starts)
        if sign:
            return sign
    return 0


@helper
def _shown(number: int, low: int, shift: int, sort: int, arena: Bytes, pages: Ints, starts: Starts) -> int:
    """What 33 bits show of a value, as it is ordered: upper bits of its distance from the lowest, or first bytes of text."""
    if number == NULL:
        return np.uint64(0) if sort & NULLS_FIRST else _LAST_SHOWN
    distance = (np.uint64(number) - np.uint64(low)) >> np.uint64(shift)
    shown = first_bytes(arena, pages, starts, number) if sort & TEXT else distance
    return _ONE + (LOW - shown if sort & DESCENDING else shown)


@kernel(f"uint64[::1](int32[:,::1], int64[:,::1], int64[::1], {_TEXTS})")
def leads(words: Words, layout: Ints, sorts: Ints, arena: Bytes, pages: Ints, starts: Starts) -> Hashes:
    """A number of each row that sorts as they do, but that rows may share: the group, and what 33 bits show of what follows."""
    found = np.empty(len(words), np.uint64)
    for row in range(len(words)):
        found[row] = np.uint64(value(words, row, layout[0])) << _SHOWN
    if len(sorts) == 1:
        return found
    low, high = _LARGEST, NULL
    for row in range(len(words)):
        number = value(words, row, layout[1])
        if number != NULL:
            low, high = min(low, number), max(high, number)
    shift = 0
    while low < high and (np.uint64(high) - np.uint64(low)) >> np.uint64(shift) > LOW:
        shift += 1
    for row in range(len(words)):
        found[row] |= _shown(value(words, row, layout[1]), low, shift, sorts[1], arena, pages, starts)
    return found


@kernel("int64[::1](uint64[::1])")
def order(leads: Hashes) -> Ints:
    """The permutation that sorts numbers: radix sort, from the last digit to the first, digits that all share left out."""
    turn, other, counts = np.arange(len(leads)), np.empty(len(leads), np.int64), np.empty(_DIGITS, np.int64)
    differing = np.uint64(0)
    for row in range(1, len(leads)):
        differing |= leads[row] ^ leads[0]
    for shift in range(0, 64, _DIGIT_BITS):
        if not (differing >> np.uint64(shift)) & _DIGIT:
            continue
        counts[:] = 0
        for row in range(len(leads)):
            counts[(leads[row] >> np.uint64(shift)) & _DIGIT] += 1
        place = 0
        for digit in range(_DIGITS):
            place, counts[digit] = place + counts[digit], place
        for at in range(len(leads)):
            digit = (leads[turn[at]] >> np.uint64(shift)) & _DIGIT
            other[counts[digit]] = turn[at]
            counts[digit] += 1
        turn, other = other, turn
    return turn


@helper
def _sort_run(
    turn: Ints, other: Ints, begin: int, limit: int, words: Words, layout: Ints, sorts: Ints,
    arena: Bytes, pages: Ints, starts: Starts,
) -> None:  # fmt: skip
    """Sort the rows turn[begin:limit] (merge sort from below: n log n comparisons). `other`: room as for `turn`."""
    width = 1
    while width < limit - begin:
        for start in range(begin, limit, 2 * width):
            middle, end = min(start + width, limit), min(start + 2 * width, limit)
            left, right = start, middle
            for target in range(start, end):
                from_left = right == end or (
                    left < middle and _compare(words, turn[left], words, turn[right], layout, sorts, arena, pages, starts) <= 0
                )
                if from_left:
                    other[target] = turn[left]
                    left += 1
                else:
                    other[target] = turn[right]
                    right += 1
        for at in range(begin, limit):
            turn[at] = other[at]
        width *= 2


@kernel(f"void(int64[::1], uint64[::1], int32[:,::1], int64[:,::1], int64[::1], {_TEXTS})")
def settle(
    turn: Ints, leads: Hashes, words: Words, layout: Ints, sorts: Ints, arena: Bytes, pages: Ints, starts: Starts
) -> None:
    """Finish a permutation that sorts rows by their leads: those that share one are compared."""
    other = np.empty(len(turn), np.int64)
    begin = 0
    for end in range(1, len(turn) + 1):
        if end == len(turn) or leads[turn[end]] != leads[turn[begin]]:
            if end - begin > 1:
                _sort_run(turn, other, begin, end, words, layout, sorts, arena, pages, starts)
            begin = end


@helper
def _block_of(
    rows: Words, row: int, low: int, words: Words, order: Ints, layout: Ints, sorts: Ints,
    arena: Bytes, pages: Ints, starts: Starts,
) -> int:  # fmt: skip
    """The last block, from `low` on, whose first row is not above the row; `low` where there is none. By leaps, then halves."""
    step, high = 1, low + 1
    while high < len(order) and _compare(words, order[high] * BLOCK, rows, row, layout, sorts, arena, pages, starts) <= 0:
        low = high
        step *= 2
        high = low + step
    high = min(high, len(order))
    while high - low > 1:
        middle = (low + high) >> 1
        if _compare(words, order[middle] * BLOCK, rows, row, layout, sorts, arena, pages, starts) <= 0:
            low = middle
        else:
            high = middle
    return low


@helper
def _copy(source: Words, row: int, target: Words, at: int) -> None:
    for word in range(source.shape[1]):
        target[at, word] = source[row, word]


@helper
def _copy_all(source: Words, begin: int, end: int, target: Words, at: int) -> int:
    """Rows from `begin` to `end`; where they end in the target."""
    for row in range(begin, end):
        _copy(source, row, target, at + row - begin)
    return at + end - begin


@helper
def _place(
    words: Words, begin: int, end: int, rows: Words, row: int, layout: Ints, sorts: Ints, arena: Bytes, pages: Ints,
    starts: Starts,
) -> int:  # fmt: skip
    """The first of the stored rows from `begin` to `end` that a new one does not follow: in ever larger steps, then halves."""
    low, step = begin, 1
    while low + step <= end and _compare(words, low + step - 1, rows, row, layout, sorts, arena, pages, starts) < 0:
        low += step
        step *= 2
    high = min(low + step - 1, end)
    while low < high:
        middle = (low + high) // 2
        if _compare(words, middle, rows, row, layout, sorts, arena, pages, starts) < 0:
            low = middle + 1
        else:
            high = middle
    return low


@kernel(f"int64[::1](int32[:,::1], int64[::1], int32[:,::1], int64[::1], int64[:,::1], int64[::1], {_TEXTS})")
def blocks(
    rows: Words, turn: Ints, words: Words, order: Ints, layout: Ints, sorts: Ints, arena: Bytes, pages: Ints, starts: Starts
) -> Ints:
    """The number (in `order`) of the block into which each of the rows, in sorted turn, belongs."""
    found = np.empty(len(turn), np.int64)
    low = 0
    for number in range(len(turn)):
        low = _block_of(rows, turn[number], low, words, order, layout, sorts, arena, pages, starts)
        found[number] = low
    return found


@helper
def _merge_block(
    words: Words, old: int, end: int, rows: Words, turn: Ints, number: int, upto: int, out: Words, at: int, layout: Ints,
    sorts: Ints, arena: Bytes, pages: Ints, starts: Starts,
) -> tuple[int, bool]:  # fmt: skip
    """Stored rows from `old` to `end` and new ones from `number` to `upto` in turn, into `out` from `at` on.

    Where they end there, and whether all weights are as they may be."""
    weight, right = layout[len(layout) - 1], True
    while number < upto:
        here = _place(words, old, end, rows, turn[number], layout, sorts, arena, pages, starts)
        at = _copy_all(words, old, here, out, at)
        old = here
        if old < end and _compare(words, old, rows, turn[number], layout, sorts, arena, pages, starts) == 0:
            _copy(words, old, out, at)
            old += 1
        else:
            _copy(rows, turn[number], out, at)
            number += 1
        total = value(out, at, weight)
        while number < upto and _compare(out, at, rows, turn[number], layout, sorts, arena, pages, starts) == 0:
            total += value(rows, turn[number], weight)
            number += 1
        right = right and 0 <= total <= MOST_WEIGHT
        write(out, at, weight, total)
        at += 1 if total else 0
    return _copy_all(words, old, end, out, at), right


@helper
def _ask_for(words: Words, block: int, fill: Ints) -> None:
    """Have a block come from memory while another one is worked on."""
    width = words.shape[1]
    for word in range(block * BLOCK * width, (block * BLOCK + fill[block]) * width, _LINE_WORDS):
        prefetch(words, word)


@helper
def _end_of_run(own: Ints, number: int) -> int:
    upto = number + 1
    while upto < len(own) and own[upto] == own[number]:
        upto += 1
    return upto


@kernel(
    "Tuple((int32[:,::1], int64[::1], int64[::1], int64, b1))(int32[:,::1], int64[::1], int64[::1], int32[:,::1], int64[::1], "
    f"int64[::1], int64[:,::1], int64[::1], {_TEXTS})"
)
def merge(
    rows: Words, turn: Ints, own: Ints, words: Words, order: Ints, fill: Ints, layout: Ints, sorts: Ints,
    arena: Bytes, pages: Ints, starts: Starts,
) -> tuple[Words, Ints, Ints, int, bool]:  # fmt: skip
    """Bring new rows into the touched blocks, equal ones summed up, weights of 0 left out.

    own: of each new row, in turn, its block (as `blocks` gives it). Most blocks are changed where they lie. Those that may
    overflow or are empty now are left to the caller: gives their rows, their numbers in `order` and how many rows each has;
    then by how many the rows are more, and whether no weight fell below 0 or rose too high.
    """
    room, left, number = 0, 0, 0
    while number < len(turn):
        upto = _end_of_run(own, number)
        size = fill[order[own[number]]] + upto - number
        room += size if size > BLOCK else 0
        number, left = upto, left + 1
    out, block = np.empty((room, words.shape[1]), np.int32), np.empty((BLOCK, words.shape[1]), np.int32)
    numbers, sizes = np.empty(left, np.int64), np.empty(left, np.int64)
    used, left, number, more, right = 0, 0, 0, 0, True
    while number < len(turn):
        upto, mine = _end_of_run(own, number), order[own[number]]
        old, stored = mine * BLOCK, fill[mine]
        if upto < len(turn):
            _ask_for(words, order[own[upto]], fill)
        large, end = stored + upto - number > BLOCK, old + stored
        target, at, stay = out, used, 0
        if not large:
            target, at = block, 0
            stay = _place(words, old, end, rows, turn[number], layout, sorts, arena, pages, starts) - old
        end, good = _merge_block(
            words, old + stay, end, rows, turn, number, upto, target, at, layout, sorts, arena, pages, starts
        )
        now = stay + end - at
        more, right = more + now - stored, right and good
        if large or now == 0:
            numbers[left], sizes[left] = own[number], now
            used, left = used + now if large else used, left + 1
        else:
            _copy_all(block, 0, end, words, old + stay)
            fill[mine] = now
        number = upto
    return out[:used], numbers[:left], sizes[:left], more, right


@kernel("void(int32[:,::1], int64[::1], int32[:,::1], int64[::1])")
def place(words: Words, ids: Ints, rows: Words, sizes: Ints) -> None:
    """Write rows, `sizes` of them a block, into these blocks."""
    row = 0
    for number in range(len(ids)):
        for at in range(sizes[number]):
            _copy(rows, row, words, ids[number] * BLOCK + at)
            row += 1


@kernel("int64(int64[::1], int64, int64[::1], int64[::1], int64[::1])")
def splice(order: Ints, count: int, touched: Ints, pieces: Ints, targets: Ints) -> int:
    """In the first `count` of the blocks' order, `pieces` of the targets in place of each touched block; `order` has room.

    A touched block that stays is the first of its pieces. Gives how many there are now."""
    dropped, number, kept = np.int64((pieces == 0).sum()), 0, 0
    for block in range(count if dropped else 0):
        while number < len(touched) and touched[number] < block:
            number += 1
        if number == len(touched) or touched[number] != block or pieces[number]:
            order[kept] = order[block]
            kept += 1
    read, at = count - dropped, count - len(pieces) + pieces.sum()
    now, next_ = at, len(targets)
    for number in range(len(touched) - 1, -1, -1):
        if not pieces[number]:
            dropped -= 1
            continue
        if at == read:
            break  # what is before stays where it is
        begin = touched[number] - dropped
        while read > begin + 1:
            read, at = read - 1, at - 1
            order[at] = order[read]
        for _ in range(pieces[number]):
            at, next_ = at - 1, next_ - 1
            order[at] = targets[next_]
        read -= 1
    return now


@helper
def _start(words: Words, order: Ints, fill: Ints, place_: Ints, group: int) -> tuple[int, int]:
    """Block (in order) and row of the first row whose group is not below `group`."""
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) >> 1
        if value(words, order[middle] * BLOCK, place_) < group:
            low = middle + 1
        else:
            high = middle
    block = max(low - 1, 0)
    first, end = 0, fill[order[block]]
    while first < end:
        middle = (first + end) >> 1
        if value(words, order[block] * BLOCK + middle, place_) < group:
            first = middle + 1
        else:
            end = middle
    return block, first


@kernel("Tuple((int64[::1], int64[::1]))(int32[:,::1], int64[::1], int64[::1], int64[:,::1], int64[::1], int64, int64)")
def first(words: Words, order: Ints, fill: Ints, layout: Ints, groups: Ints, limit: int, count: int) -> tuple[Ints, Ints]:
    """The first `limit` rows of each group: which of `groups`, and the stored rows. `count`: of all stored rows."""
    room = min(len(groups) * limit, count)
    which, found = np.empty(room, np.int64), np.empty(room, np.int64)
    used = 0
    for number in range(len(groups)):
        block, row = _start(words, order, fill, layout[0], groups[number])
        left = limit
        while left and block < len(order):
            if row == fill[order[block]]:
                block, row = block + 1, 0
                continue
            at = order[block] * BLOCK + row
            if value(words, at, layout[0]) != groups[number]:
                break
            which[used], found[used] = number, at
            used += 1
            row, left = row + 1, left - 1
    return which[:used].copy(), found[:used].copy()
