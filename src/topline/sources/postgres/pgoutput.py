"""The wire format of pgoutput (protocol version 1), decoded by columns: numpy walks all rows of a batch in lockstep.

PostgreSQL's manual, "Logical Replication Message Formats". A message here is one XLogData: a header of 25 bytes ('w', start,
end, time), then the logical message's kind and body. Whatever the bytes are, the outcome is a value or `UnreadableStreamError`.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from topline.changes import Ints
from topline.errors import TransientError

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

HEADER = 25
BODY = HEADER + 1  # where a logical message's body begins
BEGIN, COMMIT, RELATION, TRUNCATE, INSERT, UPDATE, DELETE = b"BCRTIUD"
NEW, KEY, OLD = b"NKO"
TEXT, NULL, UNCHANGED = b"tnu"
_PAD = 8  # so that a number may be read at the last byte without asking first


class UnreadableStreamError(TransientError):
    """Bytes that are not what pgoutput writes: a fault of the connection or of this decoder."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise UnreadableStreamError(
            f"the replication stream is not readable: {what}; please report it with the server's version"
        )


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as the stream describes it: columns' names, type oids and type modifiers, in the order of its rows."""

    oid: int
    namespace: str
    name: str
    columns: tuple[str, ...]
    types: tuple[int, ...]
    modifiers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tuples:
    """n rows of one width. kind: TEXT, NULL or UNCHANGED; begin, length: the text's place; arrays of (width, n).

    after: where each row's bytes end.
    """

    kind: Bytes
    begin: Ints
    length: Ints
    after: Ints

    def take(self, places: Ints) -> "Tuples":
        return Tuples(self.kind[:, places], self.begin[:, places], self.length[:, places], self.after[places])


class Messages:
    """A batch of messages as one buffer. `starts`, `ends` and `kinds`: one a message."""

    def __init__(self, messages: Sequence[bytes | memoryview]) -> None:
        self.data = b"".join((*messages, bytes(_PAD)))
        self.buf: Bytes = np.frombuffer(self.data, np.uint8)
        self._buffer = pa.py_buffer(self.data)
        sizes = np.fromiter(map(len, messages), np.int64, len(messages))
        require((sizes > HEADER).all(), "a message is shorter than its header")
        self.ends: Ints = np.cumsum(sizes)
        self.starts: Ints = self.ends - sizes
        require((self.buf[self.starts] == ord("w")).all(), "a message is neither data nor a keep-alive")
        self.kinds: Bytes = self.buf[self.starts + HEADER]
        self._int16, self._int32 = self._view(">i2"), self._view(">i4")
        self._uint32, self._int64 = self._view(">u4"), self._view(">i8")

    def __len__(self) -> int:
        return len(self.kinds)

    def of_kind(self, *kinds: int) -> Ints:
        """The places of the messages of these kinds."""
        found = self.kinds == kinds[0]
        for kind in kinds[1:]:
            found = found | (self.kinds == kind)
        return np.flatnonzero(found)

    def int64(self, places: Ints, offset: int) -> Ints:
        """The 8-byte number at `offset` of each message."""
        at = self.starts[places] + offset
        require((at + 8 <= self.ends[places]).all(), "a message is cut short")
        return self._int64[at].astype(np.int64)

    def relations(self, places: Ints) -> Ints:
        at = self.starts[places] + BODY
        require((at + 4 < self.ends[places]).all(), "a row message is cut short")
        return self._uint32[at].astype(np.int64)

    def raw(self, place: int) -> bytes:
        """One message without its header."""
        return self.data[int(self.starts[place]) + HEADER : int(self.ends[place])]

    def tuples(self, at: Ints, ends: Ints, width: int) -> Tuples:
        """The rows (TupleData) that begin at `at`, each with `width` columns, within `ends`."""
        require((at + 2 <= ends).all(), "a row is cut short")
        require((self._int16[at] == width).all(), f"a row has not the {width} columns of its table")
        kinds = np.empty((width, len(at)), np.uint8)
        begins, lengths = np.empty((width, len(at)), np.int64), np.empty((width, len(at)), np.int64)
        at = at + 2
        for column in range(width):
            require((at < ends).all(), "a row is cut short")
            kind = self.buf[at]
            sized = kind == TEXT
            require((sized | (kind == NULL) | (kind == UNCHANGED)).all(), "a column is neither text nor null")
            begin = at + 1 + 4 * sized
            length = np.where(sized, self._int32[at + 1], 0)
            at = begin + length
            require((length >= 0).all() and (at <= ends).all(), "a value is longer than its message")
            kinds[column], begins[column], lengths[column] = kind, begin, length
        return Tuples(kinds, begins, lengths, at)

    def texts(self, tuples: Tuples, column: int) -> pa.StringArray:
        """One column's values, null where they are not TEXT. Rows must stand in the order of the buffer.

        Arrow reads the buffer as values and gaps in turn; taking each second one copies the values out.
        """
        count = tuples.kind.shape[1]
        if not count:
            return pa.array([], pa.string())
        offsets = np.empty(2 * count + 1, np.int32)
        offsets[0:-1:2] = tuples.begin[column]
        offsets[1::2] = tuples.begin[column] + tuples.length[column]
        offsets[-1] = offsets[-2]
        values_and_gaps = pa.Array.from_buffers(pa.binary(), 2 * count, [None, pa.py_buffer(offsets), self._buffer])
        places = pa.array(np.arange(0, 2 * count, 2), mask=tuples.kind[column] != TEXT)
        try:
            return values_and_gaps.take(places).cast(pa.string())
        except pa.ArrowInvalid:
            raise UnreadableStreamError(
                "a value of the replication stream is not UTF-8: is the database's encoding SQL_ASCII?"
            ) from None

    def _view(self, kind: str) -> npt.NDArray[Any]:
        """The buffer read as numbers of `kind` beginning at every byte."""
        size = np.dtype(kind).itemsize
        return np.ndarray((max(len(self.data) - size + 1, 0),), kind, self.data, 0, (1,))


def parse_relation(raw: bytes) -> Relation:
    """A Relation message, its kind byte included."""
    try:
        (oid,) = struct.unpack_from(">I", raw, 1)
        namespace, at = _name(raw, 5)
        name, at = _name(raw, at)
        (width,) = struct.unpack_from(">h", raw, at + 1)  # behind the replica identity
        columns, types, modifiers, at = [], [], [], at + 3
        for _ in range(width):
            column, at = _name(raw, at + 1)
            columns.append(column)
            oid_and_modifier = struct.unpack_from(">Ii", raw, at)
            types.append(oid_and_modifier[0])
            modifiers.append(oid_and_modifier[1])
            at += 8
        if at != len(raw):
            _not_a("Relation", raw)
    except (struct.error, ValueError):
        _not_a("Relation", raw)
    return Relation(oid, namespace or "pg_catalog", name, tuple(columns), tuple(types), tuple(modifiers))


def parse_truncate(raw: bytes) -> tuple[int, ...]:
    """The oids of the tables that a Truncate message empties."""
    try:
        (count,) = struct.unpack_from(">i", raw, 1)
        return struct.unpack_from(f">{count}I", raw, 6) if 0 <= count <= len(raw) else _not_a("Truncate", raw)
    except struct.error:
        _not_a("Truncate", raw)


def _not_a(kind: str, raw: bytes) -> NoReturn:
    raise UnreadableStreamError(f"not a {kind} message: {raw[:100]!r}") from None


def _name(raw: bytes, at: int) -> tuple[str, int]:
    end = raw.index(b"\0", at)
    return raw[at:end].decode("utf-8"), end + 1
