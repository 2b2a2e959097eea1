"""How the bytes of a file become bytes in which an ASCII byte always means itself, and how a record's bytes become text.

Records are found by bytes, so that a broken one can be kept as it was. Files in UTF-16 and UTF-32 are therefore read as
UTF-8, in which each byte that is part of no character is marked; `Coding.original` gives a record's own bytes back.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, Protocol

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = frozenset({"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"})
_UNSAID = frozenset({"utf-16", "utf-32"})
_SWAP = bytes.maketrans(b"\r\n", b"\n\r")
_MARK = 0xDC00  # byte b that is part of no character is written as the lone surrogate U+DC00 + b, which UTF-8 cannot hold
_MARKS = re.compile(f"([{chr(_MARK)}-{chr(_MARK + 255)}]+)")
_ASCII = bytes(range(128))


def known_encoding(name: str) -> str:
    """Python's name of an encoding that files may have. ValueError says which those are."""
    try:
        found = codecs.lookup(name).name
    except LookupError:
        found = ""
    if found == "utf-8-sig":
        return "utf-8"
    if found in _WIDE or found in ("utf-8", "ascii", "iso8859-1") or _single_byte(found):
        return found
    raise ValueError(
        f"{name!r} is not utf-8, utf-16, utf-32 or a single-byte encoding that contains ASCII, such as latin-1 or cp1252; "
        "convert such files to utf-8 first"
    )


def _single_byte(name: str) -> bool:
    """Python's single-byte encodings carry their table of characters."""
    try:
        module = import_module(f"encodings.{name.replace('-', '_')}")
    except ImportError:
        return False
    return str(getattr(module, "decoding_table", ""))[:128].encode("utf-8", "replace") == _ASCII


def byte_order_mark(data: bytes) -> tuple[bytes, str]:
    """The mark that `data` begins with and the encoding that it stands for; empty where there is none."""
    return next(((mark, name) for mark, name in _BOMS if data.startswith(mark)), (b"", ""))


@dataclass(frozen=True, slots=True)
class Coding:
    """`name`: the file's encoding. `returns`: its lines end in CR alone; CR and LF are exchanged while it is read."""

    name: str = "utf-8"
    returns: bool = False

    @property
    def wide(self) -> bool:
        return self.name in _WIDE

    @property
    def unsaid(self) -> bool:
        """The order of the bytes is left to a byte-order mark."""
        return self.name in _UNSAID

    @property
    def inner(self) -> str:
        """The encoding of the bytes that records are found in."""
        return "utf-8" if self.wide else self.name

    def decode(self, raw: bytes) -> str:
        """`raw` (as records are found in) as text that PostgreSQL can hold. ValueError says what it cannot be."""
        try:
            text = raw.decode(self.inner)
        except UnicodeDecodeError as error:
            raise ValueError(self._fault(raw, error)) from None
        if "\0" in text:
            raise ValueError(f"a NUL byte at byte {raw.find(0) + 1} of the record; text cannot hold one")
        return text.translate({10: 13, 13: 10}) if self.returns else text

    def _fault(self, raw: bytes, error: UnicodeDecodeError) -> str:
        own = self.original(raw)
        place = len(self.original(raw[: error.start])) if self.wide else error.start
        return f"not valid {self.name}: byte 0x{own[place]:02x} at byte {place + 1} of the record"

    def exchanged(self, data: bytes) -> bytes:
        return data.translate(_SWAP) if self.returns else data

    def original(self, raw: bytes) -> bytes:
        """The file's own bytes."""
        raw = self.exchanged(raw)
        if not self.wide:
            return raw
        pieces = _MARKS.split(raw.decode("utf-8", "surrogatepass"))
        return b"".join(
            bytes(ord(c) - _MARK for c in piece) if place % 2 else piece.encode(self.name) for place, piece in enumerate(pieces)
        )


class Source(Protocol):
    """Bytes that are read once, and can be had whole as they lie where they come from."""

    @property
    def packed(self) -> bool:
        """Whether they are unpacked as they are read."""

    def read(self, size: int) -> bytes: ...

    def raw(self) -> Iterator[bytes]: ...


class Seekable(Source, Protocol):
    def seekable(self, folder: Path, most: int) -> BinaryIO:
        """All of it, unpacked, to be read at any place; a copy lies in `folder` where it has to. Before anything is read.
        BrokenContent where it unpacks to more than `most` bytes."""


class Recoded:
    """The bytes behind what was read of a file's beginning, as records are found in."""

    def __init__(self, source: Source, begun: bytes, coding: Coding, skip: int = 0) -> None:
        """`begun`: what was read of `source` already; `skip`: how many bytes of what is made of it to leave out."""
        self._source, self._begun, self._coding, self._skip = source, begun, coding, skip
        decoder = codecs.getincrementaldecoder(coding.name) if coding.wide else None
        self._decoder = decoder("topline.mark") if decoder else None
        self._ended = False

    def read(self, size: int) -> bytes:
        """About `size` bytes; b"" at the end."""
        while not self._ended:
            piece = self._next(size)
            self._ended = not piece
            if self._decoder is not None:
                piece = self._decoder.decode(piece, final=self._ended).encode("utf-8", "surrogatepass")
            left_out, self._skip = self._skip, max(0, self._skip - len(piece))
            if len(piece) > left_out:
                return self._coding.exchanged(piece[left_out:])
        return b""

    def _next(self, size: int) -> bytes:
        if not self._begun:
            return self._source.read(size)
        piece, self._begun = self._begun[:size], self._begun[size:]
        return piece

    def raw(self) -> Iterator[bytes]:
        return self._source.raw()


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(_MARK + octet) for octet in error.object[error.start : error.end]), error.end


codecs.register_error("topline.mark", _mark)
