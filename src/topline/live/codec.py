"""Between Arrow columns and the engine's int64 columns, without a Python loop over rows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from topline.errors import SourceHalted
from topline.live.arrays import NULL, Columns, Flags, Ints, matrix
from topline.live.interner import Interner
from topline.schema import Column, Type

_STORED: dict[Type, pa.DataType] = {Type.DATE: pa.int32(), Type.BOOLEAN: pa.int8()}


def encode(rows: pa.Table, columns: Sequence[Column], interner: Interner, *, add: bool = True) -> Columns:
    """The named columns of `rows` as int64. `add=False`: text never seen becomes -1 instead of a new code.

    Raises SourceHalted for a BIGINT of -2^63, which stands for NULL inside.
    """
    return matrix([encode_column(rows.column(column.name), column, interner, add=add) for column in columns], len(rows))


def encode_column(values: pa.ChunkedArray, column: Column, interner: Interner, *, add: bool = True) -> Ints:
    array = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], values.type)
    if column.type is Type.TEXT:
        return interner.intern(array.cast(pa.string()) if pa.types.is_null(array.type) else array, add=add)
    if array.type != column.type.arrow:
        array = array.cast(column.type.arrow)
    numbers = _units(array) if column.type is Type.DECIMAL else _numbers(array, column.type)
    known: Flags | None = np.asarray(array.is_valid()) if array.null_count else None
    if column.type is Type.BIGINT:
        _refuse_sentinel(numbers, known, column)
    return numbers if known is None else np.where(known, numbers, NULL)


def _units(array: pa.Array) -> Ints:
    """The lower halves of 128-bit decimals: of DECIMAL(18,4) they are the whole number of units."""
    if not len(array):
        return np.empty(0, np.int64)
    halves = np.frombuffer(array.buffers()[1], np.int64)
    return halves[2 * array.offset : 2 * (array.offset + len(array)) : 2].copy()


def _numbers(array: pa.Array, type_: Type) -> Ints:
    plain = array.cast(_STORED[type_]) if type_ in _STORED else array
    wide = plain.cast(pa.int64()) if type_ in _STORED else plain.view(pa.int64())
    numbers: Ints = wide.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64, copy=True)
    return numbers


def _refuse_sentinel(numbers: Ints, known: Flags | None, column: Column) -> None:
    smallest = numbers == NULL
    if known is not None:
        smallest &= known
    if smallest.any():
        raise SourceHalted(
            f"column {column.name} holds {NULL}, a BIGINT that stands for NULL inside; allowed is {NULL + 1} to {2**63 - 1}: "
            "correct the value at the source"
        )


def decode(columns: Columns, schema: Sequence[Column], interner: Interner) -> pa.Table:
    arrays = [decode_column(values, column.type, interner) for values, column in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema([(column.name, column.type.arrow) for column in schema]))


def decode_column(values: Ints, type_: Type, interner: Interner) -> pa.Array:
    if type_ is Type.TEXT:
        return interner.text(values)
    known = values != NULL
    validity = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    if type_ is Type.DATE:
        return pa.Array.from_buffers(pa.date32(), len(values), [validity, pa.py_buffer(values.astype(np.int32))])
    if type_ is Type.BOOLEAN:
        bits = pa.py_buffer(np.packbits(values == 1, bitorder="little"))
        return pa.Array.from_buffers(pa.bool_(), len(values), [validity, bits])
    if type_ is Type.DECIMAL:
        return pa.Array.from_buffers(type_.arrow, len(values), [validity, pa.py_buffer(_halves(values))])
    return pa.Array.from_buffers(type_.arrow, len(values), [validity, pa.py_buffer(np.ascontiguousarray(values))])


def _halves(values: Ints) -> Ints:
    halves = np.empty((len(values), 2), np.int64)
    halves[:, 0] = values
    halves[:, 1] = values >> 63
    return halves


def describe(columns: Columns, schema: Sequence[Column], interner: Interner) -> str:
    """The first of these rows, for a message to a person."""
    row = decode(columns[:, :1], schema, interner).to_pylist()[0]
    return ", ".join(f"{name}={value}" for name, value in row.items())
