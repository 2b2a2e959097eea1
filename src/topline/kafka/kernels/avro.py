"""Avro's binary encoding, read by columns: a program made of the writer's schema runs over each record of a batch.

Source: the Avro 1.12 specification, "Binary encoding". Whatever the bytes are, nothing outside of a record is read, and a
record that the program does not end on exactly is marked.
"""

# Numbers here are the compiler's, which mypy does not know.
# mypy: disable-error-code="return-value, arg-type, assignment, no-any-return"

import numpy as np

from topline.compiler import helper, kernel
from topline.kafka.shapes import (
    BOOLEAN,
    BYTES,
    END,
    FINE,
    FIXED,
    FLOATING,
    JUMP,
    LONG,
    LOOP,
    MOST_NESTED,
    NEXT,
    NO_BRANCH,
    NO_NUMBER,
    PRESENT,
    TOO_LONG,
    TOO_SHORT,
    UNION,
    Bytes,
    Ints,
    Marks,
)

_SEVEN = np.uint64(7)
_LOW_BITS = np.uint8(0x7F)
_MORE = np.uint8(0x80)
_BAD = np.int64(-1)  # an offset: what stood before it cannot be read


@helper
def _long(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """A zigzag varint of 64 bits, and where the next value begins."""
    bits, shift = np.uint64(0), np.uint64(0)
    while at < end:
        byte = data[at]
        at += 1
        if shift == 63 and byte > 1:
            break
        bits |= np.uint64(byte & _LOW_BITS) << shift
        if byte < _MORE:
            return np.int64(bits >> np.uint64(1)) ^ -np.int64(bits & np.uint64(1)), at
        shift += _SEVEN
        if shift > 63:
            break
    return np.int64(0), _BAD


@helper
def _block(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """How many items a block of an array or a map has; before a negative number's items their size in bytes is told."""
    count, at = _long(data, at, end)
    if at >= 0 and count < 0:
        count = -count
        _, at = _long(data, at, end)
    if at >= 0 and (count < 0 or count > end - at):  # an item has a byte at least, as a program has seen to
        return np.int64(0), _BAD
    return count, at


@kernel("void(u1[::1], i8[::1], i8[::1], i8[:,::1], i8[::1], i8[:,::1], i8[:,::1], u1[::1])")
def decode(
    data: Bytes, starts: Ints, ends: Ints, program: Ints, branches: Ints, values: Ints, lengths: Ints, faults: Bytes
) -> None:
    """Run `program` over each record, which lies in data[start:end].

    values   a line a slot: the number (of a text: where it begins in `data`); left as it is where there is none
    lengths  a line a slot: bytes of a text, 0 of another value; left as it is where there is none
    faults   FINE or why it cannot be read, one a record
    """
    left = np.zeros(MOST_NESTED, np.int64)  # items of the blocks that the record is in, outermost first
    for record in range(len(starts)):
        at, end, step, depth, fault = starts[record], ends[record], 0, 0, FINE
        while fault == FINE:
            operation, a, slot = program[step, 0], program[step, 1], program[step, 2]
            step += 1
            if operation == END:
                break
            if operation == UNION:
                branch, at = _long(data, at, end)
                if at < 0 or branch < 0 or branch >= slot:
                    fault = NO_BRANCH
                else:
                    step = branches[a + branch]
            elif operation == JUMP:
                step = a
            elif operation in (BYTES, FIXED):
                size = a
                if operation == BYTES:
                    size, at = _long(data, at, end)
                if at < 0 or size < 0 or size > end - at:
                    fault = TOO_SHORT
                else:
                    if slot >= 0:
                        values[slot, record], lengths[slot, record] = at, size
                    at += size
            elif operation == LONG:
                number, at = _long(data, at, end)
                if at < 0:
                    fault = NO_NUMBER
                elif slot >= 0:
                    values[slot, record], lengths[slot, record] = number, 0
            elif operation == BOOLEAN:
                if at >= end or data[at] > 1:
                    fault = NO_NUMBER
                else:
                    if slot >= 0:
                        values[slot, record], lengths[slot, record] = np.int64(data[at]), 0
                    at += 1
            elif operation == FLOATING:
                if a > end - at:
                    fault = TOO_SHORT
                elif slot >= 0:
                    bits = np.int64(0)
                    for byte in range(a):
                        bits |= np.int64(data[at + byte]) << (8 * byte)
                    values[slot, record], lengths[slot, record] = bits, 0
                at += a
            elif operation == PRESENT:
                lengths[slot, record] = 0
            elif operation == LOOP:
                count, at = _block(data, at, end)
                if at < 0:
                    fault = NO_NUMBER
                elif count == 0:
                    step = a
                else:
                    left[depth] = count
                    depth += 1
            elif operation == NEXT:
                left[depth - 1] -= 1
                step = a + 1
                if left[depth - 1] == 0:
                    depth -= 1
                    step = a
        if fault == FINE and at != end:
            fault = TOO_LONG
        faults[record] = fault


@kernel("i8(i8[::1], i4[::1])")
def ends_of(lengths: Ints, ends: Marks) -> int:
    """Where each text ends once they lie side by side, as Arrow has it (`ends` has one more entry); NULL has no length.
    Returns the bytes of all."""
    total = np.int64(0)
    ends[0] = 0
    for place in range(len(lengths)):
        total += max(lengths[place], np.int64(0))
        ends[place + 1] = np.int32(total)
    return total


@kernel("void(u1[::1], i8[::1], i8[::1], u1[::1])")
def gather(data: Bytes, starts: Ints, lengths: Ints, target: Bytes) -> None:
    """Texts side by side."""
    to = np.int64(0)
    for place in range(len(starts)):
        start = starts[place]
        for byte in range(lengths[place]):
            target[to] = data[start + byte]
            to += 1
