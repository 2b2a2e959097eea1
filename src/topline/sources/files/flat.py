"""Flat JSON objects that are written alike, many at once: their values are cut out by numpy, without a parser.

A record is read so only if it proves, byte for byte, to be like another that was taken apart in full: the same names in the
same order with the same spaces, nothing escaped, no nested value. Then its values are what lies between, and each keeps the
text of its token. All others go through the parser of `objects`; a property test holds that both ways give the same.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import Ints
from topline.sources.files.lines import Lines, Mask

_NAME = re.compile(rb'[ \t\r\n]*[{,][ \t\r\n]*"([^"\\\x00-\x1f]*)"[ \t\r\n]*:[ \t\r\n]*')
_NUMBER = "-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?"
_VALUE = re.compile(rb'"[^"\\\x00-\x1f]*"|true|false|null|' + _NUMBER.encode())
_LITERAL = f"^(?:true|false|null|{_NUMBER})$"
_END = re.compile(rb"[ \t\r\n]*\}[ \t\r\n]*")
_QUOTE, _BACKSLASH, _SPACE = 34, 92, 32
_PAD = bytes(8)


@dataclass(frozen=True, slots=True)
class Layout:
    """The members' names, and the bytes before each value and behind the last one."""

    names: tuple[bytes, ...]
    glue: tuple[bytes, ...]

    @classmethod
    def of(cls, record: bytes) -> "Layout | None":
        """None where the record is no flat object, holds an escape, or names a member twice."""
        names: list[bytes] = []
        glue: list[bytes] = []
        place = 0
        while (name := _NAME.match(record, place)) and (value := _VALUE.match(record, name.end())):
            if record[name.start() : name.end()].lstrip()[:1] != (b"," if names else b"{"):
                return None
            names.append(name[1])
            glue.append(name[0])
            place = value.end()
        end = _END.fullmatch(record, place)
        if end is None or not names or len(set(names)) < len(names):
            return None
        return cls(tuple(names), (*glue, end[0]))

    @property
    def controls(self) -> int:
        """Bytes below the space."""
        return sum(octet < _SPACE for piece in self.glue for octet in piece)


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one member, one a record: `texts` (null is NULL), and which of them are no strings in the file."""

    texts: pa.Array
    typed: Mask


class Piece:
    """Some records of a piece of a file. `spans`: where each one lies."""

    def __init__(self, spans: Lines) -> None:
        self.spans = spans
        padded = spans.data + _PAD
        self._octets = np.frombuffer(padded, np.uint8)
        self._eights = np.ndarray((len(spans.data) + 1,), "<u8", padded, strides=(1,))
        self._quotes = np.flatnonzero(self._octets == _QUOTE).astype(np.int64)
        self._closers = np.flatnonzero((self._octets == ord(",")) | (self._octets == ord("}"))).astype(np.int64)
        self._controls = spans.per_line(np.flatnonzero(spans.octets < _SPACE).astype(np.int64))
        self._data = pa.py_buffer(padded)

    def unescaped(self) -> Mask:
        return ~self.spans.holding_any([_BACKSLASH])

    def alike(self, layout: Layout, among: Ints) -> tuple[Ints, dict[bytes, Values]]:
        """Those of `among` (places of records without escapes) that are laid out so, and their values by member."""
        among = among[self._controls[among] == layout.controls]
        at = self.spans.starts[among]
        quote = np.searchsorted(self._quotes, at)
        ok = np.ones(len(among), dtype=bool)
        found: dict[bytes, tuple[Ints, Ints, Mask]] = {}
        for name, glue in zip(layout.names, layout.glue, strict=False):
            ok &= self._equal(at, glue)
            at = at + len(glue)
            quote = quote + 2
            is_string, start, at = self._value(at, quote)
            found[name] = (start, at - is_string, ~is_string)
            quote = quote + 2 * is_string
        ok &= self._equal(at, layout.glue[-1]) & (at + len(layout.glue[-1]) == self.spans.ends[among])
        values = {name: self._values(start[ok], end[ok], typed[ok]) for name, (start, end, typed) in found.items()}
        valid = np.ones(int(ok.sum()), dtype=bool)
        for member in values.values():
            valid &= _are_literals(member)
        kept = {name: _without_null(Values(v.texts.filter(pa.array(valid)), v.typed[valid])) for name, v in values.items()}
        return among[ok][valid], kept

    def _equal(self, at: Ints, text: bytes) -> Mask:
        """Where `text` stands at these places."""
        mask = np.ones(len(at), dtype=bool)
        for offset in range(0, len(text), 8):
            part = text[offset : offset + 8]
            eights = self._eights[np.minimum(at + offset, len(self._eights) - 1)]
            bits: npt.NDArray[np.uint64] = eights & np.uint64((1 << 8 * len(part)) - 1)
            mask &= bits == np.uint64(int.from_bytes(part, "little"))
        return mask

    def _value(self, at: Ints, quote: Ints) -> tuple[Mask, Ints, Ints]:
        """Of the values that begin at these places: is it a string, its first byte, and the place behind it."""
        is_string: Mask = self._octets[np.minimum(at, len(self._octets) - 1)] == _QUOTE
        closing = _at(self._quotes, quote + 1) + 1
        literal = ~is_string
        end = np.where(is_string, closing, at)
        end[literal] = self._behind_literal(at[literal])
        return is_string, at + is_string, end

    def _behind_literal(self, at: Ints) -> Ints:
        """The end of a number, true, false or null: before spaces, a comma or a brace."""
        end = np.minimum(_at(self._closers, np.searchsorted(self._closers, at)), len(self.spans.data))
        while (spaces := (end > at) & (self._octets[np.maximum(end - 1, 0)] <= _SPACE)).any():
            end = end - spaces
        return end

    def _values(self, start: Ints, end: Ints, typed: Mask) -> Values:
        """Every second of the strings between start, end, start, end, ... of one buffer."""
        if not len(start):
            return Values(pa.array([], pa.string()), typed)
        offsets = np.empty(2 * len(start), np.int32)
        offsets[0::2], offsets[1::2] = start, end
        between = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), self._data)
        return Values(between.take(pa.array(np.arange(0, len(offsets) - 1, 2))), typed)


def _at(places: Ints, index: Ints) -> Ints:
    """`places[index]`; behind the last one, a place that nothing is at."""
    if not len(places):
        return np.full(len(index), 1 << 40, np.int64)
    return np.where(index < len(places), places[np.minimum(index, len(places) - 1)], 1 << 40)


def _are_literals(values: Values) -> Mask:
    valid = np.ones(len(values.typed), dtype=bool)
    if values.typed.any():
        literals = values.texts.filter(pa.array(values.typed))
        valid[values.typed] = pc.match_substring_regex(literals, _LITERAL).to_numpy(zero_copy_only=False)
    return valid


def _without_null(values: Values) -> Values:
    if not values.typed.any():
        return values
    null = pc.and_(pa.array(values.typed), pc.equal(values.texts, "null"))
    return Values(pc.if_else(null, pa.scalar(None, pa.string()), values.texts), values.typed)
