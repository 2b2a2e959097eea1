"""Avro's binary encoding, written by columns: records that differ in their cells and numbers, and are alike in all else.

Source: the Avro 1.12 specification, "Binary encoding".
"""

# Numbers here are the compiler's, which mypy does not know.
# mypy: disable-error-code="return-value, arg-type, assignment, no-any-return"

import numpy as np

from topline.compiler import helper, kernel
from topline.kafka.shapes import CELL_BOOLEAN, CELL_TEXT, Bytes, Ints

_SEVEN = np.uint64(7)
_LOW_BITS = np.uint64(0x7F)
_MORE = np.uint64(0x80)


@helper
def _zigzag(number: int) -> np.uint64:
    return np.uint64((np.int64(number) << np.int64(1)) ^ (np.int64(number) >> np.int64(63)))


@helper
def _size(number: int) -> int:
    """Bytes of a number's zigzag varint."""
    bits, size = _zigzag(number), np.int64(1)
    while bits >= _MORE:
        bits >>= _SEVEN
        size += 1
    return size


@helper
def _put(target: Bytes, at: int, number: int) -> int:
    bits = _zigzag(number)
    while bits >= _MORE:
        target[at] = np.uint8((bits & _LOW_BITS) | _MORE)
        bits >>= _SEVEN
        at += 1
    target[at] = np.uint8(bits)
    return at + 1


@helper
def _copy(target: Bytes, at: int, data: Bytes, start: int, size: int) -> int:
    for byte in range(size):
        target[at + byte] = data[start + byte]
    return at + size


@kernel("void(i8[::1], b1, i8[:,::1], i8[:,::1], i8[:,::1], i8, i8[::1])")
def sized(kinds: Ints, nullable: bool, values: Ints, lengths: Ints, numbers: Ints, constant: int, ends: Ints) -> None:
    """Where each record ends when they lie side by side (`ends` has one more entry). `constant`: bytes that all have."""
    ends[0] = 0
    for record in range(len(ends) - 1):
        size = constant
        for cell in range(len(kinds)):
            length = lengths[cell, record]
            size += nullable
            if length >= 0:
                if kinds[cell] == CELL_TEXT:
                    size += _size(length) + length
                elif kinds[cell] == CELL_BOOLEAN:
                    size += 1
                else:
                    size += _size(values[cell, record])
        for number in range(len(numbers)):
            size += _size(numbers[number, record])
        ends[record + 1] = ends[record] + size


@kernel("void(u1[::1], i8[::1], b1, i8[:,::1], i8[:,::1], i8[:,::1], u1[::1], u1[::1], u1[::1], i8[::1], u1[::1])")
def written(
    data: Bytes,
    kinds: Ints,
    nullable: bool,
    values: Ints,
    lengths: Ints,
    numbers: Ints,
    head: Bytes,
    middle: Bytes,
    tail: Bytes,
    ends: Ints,
    target: Bytes,
) -> None:
    """Each record: `head`, its cells, `middle`, its numbers, `tail`.

    values   a line a cell: the number (of a text: where it begins in `data`)
    lengths  a line a cell: bytes of a text, 0 of another value, -1 of NULL, which only `nullable` cells have: they are unions
             of null and their type
    numbers  a line a number
    """
    for record in range(len(ends) - 1):
        at = _copy(target, ends[record], head, np.int64(0), len(head))
        for cell in range(len(kinds)):
            length = lengths[cell, record]
            if nullable:
                target[at] = np.uint8(0 if length < 0 else 2)
                at += 1
            if length >= 0:
                if kinds[cell] == CELL_TEXT:
                    at = _put(target, at, length)
                    at = _copy(target, at, data, values[cell, record], length)
                elif kinds[cell] == CELL_BOOLEAN:
                    target[at] = np.uint8(values[cell, record])
                    at += 1
                else:
                    at = _put(target, at, values[cell, record])
        at = _copy(target, at, middle, np.int64(0), len(middle))
        for number in range(len(numbers)):
            at = _put(target, at, numbers[number, record])
        _copy(target, at, tail, np.int64(0), len(tail))
