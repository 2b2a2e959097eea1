"""Unpacks gz, zst, bz2 and xz as a stream, in bounded memory, also of several members or frames one after the other.

zst goes through pyarrow, which has zstd built in; the others through the standard library.
"""

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import pyarrow as pa

SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
_MAGIC = {
    ".gz": re.compile(rb"\x1f\x8b"),
    ".zst": re.compile(rb"\x28\xb5\x2f\xfd"),
    ".bz2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    ".xz": re.compile(rb"\xfd7zXZ\x00"),
}
_FAULTS = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, OSError)
_XZ_MEMORY = 256 << 20  # bytes that a dictionary may take; xz itself makes them of up to 64 MiB

Read = Callable[[int], bytes]


class BrokenContent(Exception):  # noqa: N818 - caught within this package: what is broken is data, not the program
    """The file ends or goes wrong within its compression."""


class _Stream(Protocol):
    def read(self, size: int) -> bytes: ...


class Unpacker:
    """Bytes unpacked as they come. `suffix`: one of SUFFIXES. `read` gives packed bytes; it may raise anything but OSError."""

    def __init__(self, suffix: str, read: Read) -> None:
        self._stream, self._fault = _opened(suffix, read), ""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only before the end; b"" at the end. BrokenContent after the last that unpacks."""
        if self._fault:
            raise BrokenContent(self._fault)
        pieces: list[bytes] = []
        try:
            while size > 0 and (piece := self._stream.read(size)):
                pieces.append(piece)
                size -= len(piece)
        except _FAULTS as error:
            self._fault = str(error) or type(error).__name__
            if not pieces:
                raise BrokenContent(self._fault) from None
        return b"".join(pieces)


def suffix_of(data: bytes) -> str:
    """How bytes that begin so are packed; '' where they are not."""
    return next((suffix for suffix, magic in _MAGIC.items() if magic.match(data)), "")


def _opened(suffix: str, read: Read) -> _Stream:
    if suffix == ".zst":
        return _Zstd(read)
    if suffix == ".gz":
        return _Gzip(read)
    if suffix == ".bz2":
        return _Members(read, bz2.BZ2Decompressor)
    return _Members(read, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY))


class _File:
    """As much of a file as gzip and pyarrow ask for."""

    closed = False

    def __init__(self, read: Read) -> None:
        self._read = read

    def read(self, size: int = -1) -> bytes:
        return self._read(size)

    def close(self) -> None:
        """What is read is closed by its owner."""


class _Gzip:
    """Gives what it has after each piece of the file, so that nothing before a fault is lost."""

    def __init__(self, read: Read) -> None:
        self._file = gzip.GzipFile(fileobj=_File(read))  # type: ignore[call-overload]

    def read(self, size: int) -> bytes:
        return cast(bytes, self._file.read1(size))


class _Zstd:
    """pyarrow tells of a fault, but not how much it wrote before it: that is told by the zeros behind it."""

    def __init__(self, read: Read) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(_File(read), mode="r"), "zstd")
        self._fault: OSError | None = None

    def read(self, size: int) -> bytes:
        if self._fault is not None:
            raise self._fault
        into = bytearray(min(size, 1 << 20))
        try:
            return bytes(memoryview(into)[: self._stream.readinto(into)])
        except OSError as error:
            self._fault = error
            if not (sound := bytes(into).rstrip(b"\0")):
                raise
            return sound


class _Members:
    """Streams of one of the standard library's decompressors, one after the other; zeros around them are padding."""

    _PIECE = 1 << 16

    def __init__(self, read: Read, begin: Callable[[], Any]) -> None:
        self._read, self._begin = read, begin
        self._member: Any = None
        self._first = b""  # bytes of the member that came with the end of the one before

    def read(self, size: int) -> bytes:
        piece = b""
        while not piece and self._has_member():
            piece = self._member.decompress(self._packed() if self._member.needs_input else b"", size)
        return piece

    def _packed(self) -> bytes:
        packed, self._first = self._first or self._read(self._PIECE), b""
        if not packed:
            raise EOFError("the file ends before its compression does")
        return packed

    def _has_member(self) -> bool:
        if self._member is None or self._member.eof:
            first = self._member.unused_data.lstrip(b"\0") if self._member else b""
            while not first:
                if not (piece := self._read(self._PIECE)):
                    return False
                first = piece.lstrip(b"\0")
            self._first, self._member = first, self._begin()
        return True
