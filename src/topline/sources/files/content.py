"""The bytes of one file: unpacked where its name ends in .gz, hashed as they lie on the disk, watched for changes."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from topline.errors import TransientError


class BrokenContent(Exception):  # noqa: N818 - caught within this package: what is broken is data, not the program
    """The file ends or goes wrong within its compression."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What tells one version of a file from another. `identity`: device and inode."""

    size: int
    mtime_ns: int
    identity: tuple[int, int]

    @classmethod
    def of(cls, stat: os.stat_result) -> "Stat":
        return cls(stat.st_size, stat.st_mtime_ns, (stat.st_dev, stat.st_ino))

    def same_version(self, size: int, mtime_ns: int) -> bool:
        return self.size == size and self.mtime_ns == mtime_ns


class Content:
    """One pass over a file. FileNotFoundError where it is gone, TransientError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with reading(path):
            self._file = path.open("rb", buffering=0)
        self.stat = Stat.of(os.fstat(self._file.fileno()))
        self._digest = hashlib.blake2b(digest_size=16)
        self._fault = ""
        self._packed = gzip.GzipFile(fileobj=_Tap(self)) if path.suffix == ".gz" else None  # type: ignore[call-overload]

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only before the end; b"" at the end. BrokenContent after the last that unpacks."""
        if self._packed is None:
            return self.read_raw(size)
        if self._fault:
            raise BrokenContent(self._fault)
        pieces: list[bytes] = []
        try:
            while size > 0 and (piece := self._packed.read1(size)):
                pieces.append(piece)
                size -= len(piece)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self._fault = str(error)
            if not pieces:
                raise BrokenContent(self._fault) from None
        return b"".join(pieces)

    def read_raw(self, size: int) -> bytes:
        with reading(self._path):
            piece = self._file.read(size) or b""
        self._digest.update(piece)
        return piece

    def digest(self) -> str:
        """Hash of the file as it lies on the disk; reads what was not read yet."""
        while self.read_raw(1 << 20):
            pass
        return self._digest.hexdigest()

    def raw(self) -> Iterator[bytes]:
        """The file as it lies on the disk, from its beginning."""
        with reading(self._path), self._path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece

    def changed(self) -> bool:
        """Whether the file, or what now has its name, is another than when it was opened."""
        try:
            return Stat.of(os.stat(self._path)) != self.stat or Stat.of(os.fstat(self._file.fileno())) != self.stat
        except FileNotFoundError:
            return True

    def close(self) -> None:
        self._file.close()


class _Tap:
    """Lets gzip read the file through Content, so that what it reads is hashed."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def read(self, size: int = -1) -> bytes:
        return self._content.read_raw(size)


class reading:  # noqa: N801 - reads as a statement: `with reading(path):`
    """Turns an OSError into TransientError, but for a file that is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | gzip.BadGzipFile):
            remedy = (
                "give the user that runs Topline the right to read it"
                if isinstance(error, PermissionError)
                else "check the disk"
            )
            raise TransientError(f"cannot read {self._path}: {error.strerror}; {remedy}") from error
