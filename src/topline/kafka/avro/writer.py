"""Change events in Avro, in Confluent's wire format, written by columns under schemas that the registry keeps compatible."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from topline.changes import DELETE, TableChanges
from topline.errors import SourceHalted
from topline.kafka.avro.program import Schema
from topline.kafka.envelope import Origin, Records, key_schema, spelt, value_schema, with_tombstones
from topline.kafka.kernels import encode
from topline.kafka.registry import COMPATIBILITY, IncompatibleError, Registry
from topline.kafka.shapes import CELL_BOOLEAN, CELL_LONG, CELL_TEXT, Ints
from topline.schema import TableSchema

Rows = npt.NDArray[np.int64]
_NO_BYTES = np.zeros(0, np.uint8)


class AvroWriter:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._ids: dict[tuple[str, TableSchema], tuple[int, int]] = {}  # of key and value

    def close(self) -> None:
        self._registry.close()

    def records(self, topic: str, schema: TableSchema, changes: TableChanges, origin: Origin) -> Records:
        key_id, value_id = self._schemas(topic, schema)
        deleted = changes.ops == DELETE
        keys = _Cells.of(changes.rows, schema, schema.key).records(_header(key_id), b"", b"", [], nullable=False)
        values: list[bytes | None] = [None] * len(changes)
        for gone in (False, True):
            rows = np.flatnonzero(deleted == gone)
            if len(rows):
                some = _values(changes, schema, origin, rows, value_id, deleted=gone)
                for row, value in zip(rows.tolist(), some, strict=True):
                    values[row] = value
        return with_tombstones(keys, values, np.flatnonzero(deleted).tolist())

    def _schemas(self, topic: str, schema: TableSchema) -> tuple[int, int]:
        """Ids of the key's and the value's schema."""
        if (topic, schema) not in self._ids:
            self._ids[topic, schema] = (
                self._register(f"{topic}-key", key_schema(topic, schema)),
                self._register(f"{topic}-value", value_schema(topic, schema)),
            )
        return self._ids[topic, schema]

    def _register(self, subject: str, schema: Schema) -> int:
        try:
            number = self._registry.register(subject, schema)
            self._registry.require_backward(subject)
        except IncompatibleError as error:
            raise SourceHalted(
                f"the schema registry refuses the columns as they are now, since readers of {subject} could not follow "
                f"({COMPATIBILITY}): {error}. Bring the column's declared type back, or have the table under another name, "
                "which is another topic"
            ) from None
        return number


def _values(
    changes: TableChanges, schema: TableSchema, origin: Origin, rows: Rows, number: int, *, deleted: bool
) -> list[bytes]:
    """The events of the rows that are deleted, or of those that are not."""
    names = () if deleted else schema.names
    operation = "d" if deleted else "r" if origin.copying else "u"
    head = _header(number) + _NULL + (_NULL if deleted else _THERE)
    middle = b"".join(_text(part) for part in (origin.connector, origin.name, changes.table, changes.partition))
    middle += _long(origin.time)
    tail = _text(operation) + _THERE + _long(origin.time)
    taken = changes.rows.take(pa.array(rows)) if len(rows) < len(changes) else changes.rows
    places = [changes.hi[rows], changes.lo[rows]]
    return _Cells.of(taken, schema, names).records(head, middle, tail, places, nullable=True)


_NULL, _THERE = b"\0", b"\2"  # which type of a union


def _header(number: int) -> bytes:
    return b"\0" + number.to_bytes(4, "big")


def _text(text: str) -> bytes:
    raw = text.encode()
    return _long(len(raw)) + raw


def _long(number: int) -> bytes:
    bits = (number << 1) ^ (number >> 63)
    parts = []
    while bits >= 0x80:
        parts.append(bits & 0x7F | 0x80)
        bits >>= 7
    return bytes([*parts, bits])


@dataclass(frozen=True, slots=True)
class _Cells:
    """Columns as the kernels take them: see `encode.written`."""

    count: int
    data: npt.NDArray[np.uint8]
    kinds: Ints
    values: Ints
    lengths: Ints

    @classmethod
    def of(cls, rows: pa.Table, schema: TableSchema, names: Sequence[str]) -> "_Cells":
        texts: list[npt.NDArray[np.uint8]] = []
        kinds = np.full(len(names), CELL_LONG, np.int64)
        values = np.zeros((len(names), len(rows)), np.int64)
        lengths = np.zeros_like(values)
        before = 0
        for cell, name in enumerate(names):
            array = spelt(rows.column(name), schema.type_of(name))
            if pa.types.is_string(array.type):
                kinds[cell] = CELL_TEXT
                raw, values[cell], lengths[cell] = _texts(array)
                values[cell] += before
                before += len(raw)
                texts.append(raw)
            else:
                kinds[cell] = CELL_BOOLEAN if pa.types.is_boolean(array.type) else CELL_LONG
                values[cell] = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            if array.null_count:
                lengths[cell, array.is_null().to_numpy(zero_copy_only=False)] = -1
        return cls(len(rows), np.concatenate(texts) if texts else _NO_BYTES, kinds, values, lengths)

    def records(self, head: bytes, middle: bytes, tail: bytes, numbers: Sequence[Ints], *, nullable: bool) -> list[bytes]:
        ends = np.empty(self.count + 1, np.int64)
        trailing = np.array(numbers, np.int64).reshape(len(numbers), self.count)
        constant = len(head) + len(middle) + len(tail)
        encode.sized(self.kinds, nullable, self.values, self.lengths, trailing, constant, ends)
        target = np.empty(int(ends[-1]), np.uint8)
        first, second, last = (np.frombuffer(bytearray(part), np.uint8) for part in (head, middle, tail))
        cells = (self.data, self.kinds, nullable, self.values, self.lengths)
        encode.written(*cells, trailing, first, second, last, ends, target)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(target)]
        found: list[bytes] = pa.Array.from_buffers(pa.large_binary(), self.count, buffers).to_pylist()
        return found


def _texts(array: pa.Array) -> tuple[npt.NDArray[np.uint8], Ints, Ints]:
    """Bytes, and where each text begins in them and how long it is."""
    _, ends, data = array.buffers()
    offsets = np.frombuffer(ends, np.int32)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    first = int(offsets[0])
    raw = np.frombuffer(data, np.uint8)[first : int(offsets[-1])] if data is not None else _NO_BYTES
    return raw, offsets[:-1] - first, np.diff(offsets)
