"""Typed Arrow columns as exact text: what a Parquet file holds, in the spelling that staging casts."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from topline.sources.values import text as text_of


def as_text(column: pa.Array) -> pa.Array:
    """One text, or NULL, for each value.

    Numbers keep every digit and a decimal its scale (`1.10`); a float is its shortest text; dates and times are ISO 8601, with
    as many digits of a second as are not zero, a time with a zone in UTC (`2026-11-21 14:05:00+00:00`); binary is `\\x` and
    hex; what is nested is JSON. ValueError for text that cannot be held.
    """
    kind = column.type
    if pt.is_dictionary(kind):
        return as_text(column.dictionary_decode())
    for is_kind, way in _WAYS:
        if is_kind(kind):
            return way(column)
    return pa.array([None if value is None else text_of(value) for value in column.to_pylist()], pa.string())


def is_text(kind: pa.DataType) -> bool:
    """Whether the values are text in the file already."""
    if pt.is_dictionary(kind):
        kind = kind.value_type
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _cast(column: pa.Array) -> pa.Array:
    return pc.cast(column, pa.string())


def _decimal(column: pa.Array) -> pa.Array:
    """Arrow writes small ones with an exponent."""
    texts = _cast(column)
    small = pc.fill_null(pc.match_substring(texts, "E"), False)
    if not pc.any(small).as_py():
        return texts
    plain = [value is not None and format(value, "f") for value in column.filter(small).to_pylist()]
    return pc.replace_with_mask(texts, small, pa.array(plain, pa.string()))


def _moment(column: pa.Array) -> pa.Array:
    """Of a fraction of a second, no zeros at its end."""
    zone = getattr(column.type, "tz", None)
    local = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit)) if zone else column
    texts = pc.replace_substring_regex(_cast(local), r"\.0+$", "")
    texts = pc.replace_substring_regex(texts, r"(\.\d*[1-9])0+$", r"\1")
    return pc.binary_join_element_wise(texts, "+00:00", "") if zone else texts


def _half(column: pa.Array) -> pa.Array:
    return pa.array([None if value is None else str(np.float16(value)) for value in column.to_pylist()], pa.string())


_WAYS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (lambda kind: is_text(kind) or pt.is_integer(kind) or pt.is_boolean(kind) or pt.is_date(kind) or pt.is_null(kind), _cast),
    (lambda kind: pt.is_float32(kind) or pt.is_float64(kind), _cast),
    (pt.is_float16, _half),
    (pt.is_decimal, _decimal),
    (lambda kind: pt.is_timestamp(kind) or pt.is_time(kind), _moment),
)
