"""Avro records of one writer's schema, decoded at once into Arrow's columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from topline.kafka import shapes
from topline.kafka.avro.program import Kind, Path, Program, Slot
from topline.kafka.kernels import avro as kernels
from topline.kafka.shapes import Bytes, Ints

REASONS = {
    shapes.NO_BRANCH: "a union has no such type",
    shapes.TOO_SHORT: "it ends amid a value",
    shapes.NO_NUMBER: "a number or a truth value is none",
    shapes.TOO_LONG: "bytes follow its last value",
}
_MOST_BYTES = 2**31 - 1  # of a column's texts, as Arrow counts them


@dataclass(frozen=True, slots=True)
class Decoded:
    """`columns`: the wanted values, one array each, a place a record: texts, bytes, whole numbers, truth values, floats;
    of a record whether it is there. `faults`: place -> why the record cannot be read; its values mean nothing."""

    columns: dict[Path, pa.Array]
    faults: dict[int, str]


def decoded(program: Program, records: Sequence[bytes], header: int = 0) -> Decoded:
    """`header`: how many bytes stand before each record's own; a shorter one is a fault."""
    sizes = np.fromiter(map(len, records), np.int64, len(records))
    data = np.frombuffer(bytearray(b"".join(records)), np.uint8)
    ends = np.cumsum(sizes)
    starts = np.minimum(ends - sizes + header, ends)
    values = np.zeros((max(len(program.slots), 1), len(records)), np.int64)
    lengths = np.full_like(values, -1)
    faults = np.zeros(len(records), np.uint8)
    kernels.decode(data, starts, ends, program.lines, program.branches, values, lengths, faults)
    lengths[:, faults != shapes.FINE] = -1
    reasons = {int(place): REASONS[int(faults[place])] for place in np.flatnonzero(faults)}
    columns = _Columns(data, values, lengths, reasons)
    return Decoded({path: columns.array(path, slot) for path, slot in program.slots.items()}, reasons)


@dataclass(frozen=True, slots=True)
class _Columns:
    data: Bytes
    values: Ints
    lengths: Ints
    faults: dict[int, str]

    def array(self, path: Path, slot: Slot) -> pa.Array:
        numbers, lengths = self.values[slot.number], self.lengths[slot.number]
        missing = lengths < 0
        match slot.kind:
            case Kind.TEXT:
                return self._text(path, numbers, lengths)
            case Kind.BYTES:
                return self._gathered(numbers, lengths, pa.binary())
            case Kind.ENUM:
                return self._symbols(path, slot, numbers, missing)
            case Kind.PRESENT:
                return pa.array(~missing)
            case Kind.BOOLEAN:
                return pa.array(numbers == 1, mask=missing)
            case Kind.FLOAT:
                return pa.array(numbers.astype(np.uint32).view(np.float32), mask=missing)
            case Kind.DOUBLE:
                return pa.array(numbers.view(np.float64), mask=missing)
            case Kind.LONG:
                return pa.array(numbers, mask=missing)

    def _text(self, path: Path, starts: Ints, lengths: Ints) -> pa.Array:
        found = self._gathered(starts, lengths, pa.string())
        try:
            found.validate(full=True)
        except pa.ArrowInvalid:
            return self._text(path, starts, self._without_other_bytes(path, found, lengths))
        return found

    def _without_other_bytes(self, path: Path, texts: pa.Array, lengths: Ints) -> Ints:
        """A text that is no UTF-8 is its record's fault."""
        lengths = lengths.copy()
        for place, raw in enumerate(texts.cast(pa.binary()).to_pylist()):
            if raw is not None and not _is_utf8(raw):
                self.faults.setdefault(place, f"{'.'.join(path)} is no UTF-8")
                lengths[place] = -1
        return lengths

    def _gathered(self, starts: Ints, lengths: Ints, type_: Any) -> pa.Array:
        ends = np.empty(len(starts) + 1, np.int32)
        total = kernels.ends_of(lengths, ends)
        if total > _MOST_BYTES:
            raise OverflowError(f"{total:,} bytes of texts in one column of a batch: at most {_MOST_BYTES:,}")
        target = np.empty(total, np.uint8)
        kernels.gather(self.data, starts, lengths, target)
        buffers = [_validity(lengths >= 0), pa.py_buffer(ends), pa.py_buffer(target)]
        return pa.Array.from_buffers(type_, len(starts), buffers)

    def _symbols(self, path: Path, slot: Slot, numbers: Ints, missing: npt.NDArray[np.bool_]) -> pa.Array:
        strange = ~missing & ((numbers < 0) | (numbers >= len(slot.symbols)))
        for place in np.flatnonzero(strange):
            self.faults.setdefault(int(place), f"{'.'.join(path)} is none of {', '.join(slot.symbols)}")
        return pa.array(slot.symbols, pa.string()).take(pa.array(numbers, mask=missing | strange))


def _validity(valid: npt.NDArray[np.bool_]) -> pa.Buffer | None:
    return None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
