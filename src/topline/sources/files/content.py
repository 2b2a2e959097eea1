"""The bytes of one file: unpacked where its name says so, hashed as they lie there, watched for changes."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from topline.errors import TransientError
from topline.sources.files.unpack import SUFFIXES, BrokenContent, Unpacker

__all__ = ["BrokenContent", "Content", "LocalFile", "Opened", "OtherVersion", "Place", "Stat"]

_PIECE = 1 << 20
_KEEP_FREE = 1 << 30  # bytes that a temporary copy leaves free on its disk


class OtherVersion(Exception):  # noqa: N818 - caught within this package: the next look finds the new version
    """What has the file's name now is not the version that was opened."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What tells one version of a file from another.

    identity, ctime_ns  of a local file: device and inode; the time of its last change, of whatever kind
    e_tag               of an object: what its store calls this version
    """

    size: int
    mtime_ns: int
    identity: tuple[int, int] = (0, 0)
    ctime_ns: int = 0
    e_tag: str = ""

    @classmethod
    def of(cls, stat: os.stat_result) -> "Stat":
        return cls(stat.st_size, stat.st_mtime_ns, (stat.st_dev, stat.st_ino), stat.st_ctime_ns)

    @property
    def mark(self) -> str:
        """What another version has another of, in a text to be remembered."""
        return self.e_tag or f"ctime {self.ctime_ns}"

    def looks_like(self, other: "Stat") -> bool:
        """The same but for ctime, which a rename, a link or a change of rights moves on."""
        return (self.size, self.mtime_ns, self.identity) == (other.size, other.mtime_ns, other.identity)


class Opened(Protocol):
    """One version of a file being read once, from its beginning. `read` gives b"" at the end."""

    stat: Stat

    def read(self, size: int) -> bytes:
        """TransientError where it cannot be read, OtherVersion where it is known to be gone or replaced."""

    def changed(self) -> bool:
        """Whether the file, or what now has its name, is another than when it was opened."""

    def close(self) -> None: ...


class Place(Protocol):
    """Where a file lies. `shown` is its name for people; the end of it says how the file is packed."""

    @property
    def shown(self) -> str: ...

    @property
    def local(self) -> Path | None:
        """The file itself, where it lies in a folder of this machine."""

    def open(self) -> Opened:
        """FileNotFoundError where it is gone, TransientError where it cannot be read."""

    def prepare(self) -> None:
        """It is about to be opened: what takes time may begin."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    local: Path

    @property
    def shown(self) -> str:
        return str(self.local)

    def open(self) -> Opened:
        return _OpenFile(self.local)

    def prepare(self) -> None:
        """The operating system reads ahead."""


class _OpenFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        with reading(path):
            self._file = path.open("rb", buffering=0)
        self.stat = Stat.of(os.fstat(self._file.fileno()))

    def read(self, size: int) -> bytes:
        with reading(self._path):
            return self._file.read(size) or b""

    def changed(self) -> bool:
        """A file that was only removed is still there for us, and whole."""
        now = Stat.of(os.fstat(self._file.fileno()))
        try:
            return Stat.of(os.stat(self._path)) != self.stat or now != self.stat
        except FileNotFoundError:
            return not now.looks_like(self.stat)

    def close(self) -> None:
        self._file.close()


class Content:
    """One pass over a file. FileNotFoundError where it is gone, TransientError where it cannot be read."""

    def __init__(self, place: Place | Path) -> None:
        self._place: Place = LocalFile(place) if isinstance(place, Path) else place
        self._opened = self._place.open()
        self.stat = self._opened.stat
        self._digest = hashlib.blake2b(digest_size=16)
        suffix = next((suffix for suffix in SUFFIXES if self._place.shown.endswith(suffix)), "")
        self._unpacker = Unpacker(suffix, self.read_raw) if suffix else None
        self._copy: BinaryIO | None = None

    @property
    def packed(self) -> bool:
        return self._unpacker is not None

    def read(self, size: int) -> bytes:
        """Some bytes, `size` at most; b"" at the end. BrokenContent after the last that unpacks."""
        return self._unpacker.read(size) if self._unpacker else self.read_raw(size)

    def read_raw(self, size: int) -> bytes:
        piece = self._opened.read(size)
        self._digest.update(piece)
        return piece

    def digest(self) -> str:
        """Hash of the file as it lies there; reads what was not read yet."""
        while self.read_raw(_PIECE):
            pass
        return self._digest.hexdigest()

    def begins_with(self, size: int, digest: str) -> bool:
        """Whether the first `size` bytes have this hash; reads them, before anything else was read."""
        while size > 0 and (piece := self.read_raw(min(size, _PIECE))):
            size -= len(piece)
        return size == 0 and self._digest.hexdigest() == digest

    def raw(self) -> Iterator[bytes]:
        """The file as it lies there, from its beginning."""
        with closing(self._place.open()) as again:
            if again.stat != self.stat:
                raise OtherVersion(self._place.shown)
            while piece := again.read(_PIECE):
                yield piece

    def seekable(self, folder: Path, most: int) -> BinaryIO:
        """The unpacked file for reading at any place, open until `close`; before anything else was read of it.

        A plain file of this machine is read itself; anything else is copied to an unnamed file in `folder`. BrokenContent
        where it does not unpack to its end, or to more than `most` bytes, TransientError where the copy would fill the disk.
        """
        local = self._place.local
        if local is not None and not self.packed:
            with reading(local):
                self._copy = local.open("rb")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self._copy = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the content
            self._fill(self._copy, folder, most)
        return self._copy

    def _fill(self, copy: BinaryIO, folder: Path, most: int) -> None:
        while piece := self.read(4 * _PIECE):
            if self.packed and copy.tell() + len(piece) > most:
                raise BrokenContent(too_large(most))
            if shutil.disk_usage(folder).free < _KEEP_FREE + len(piece):
                raise TransientError(f"no room in {folder} to unpack {self._place.shown}: make room there, or split the file")
            with _writing(folder, self._place.shown):
                copy.write(piece)
        copy.seek(0)

    def changed(self) -> bool:
        """Whether the file, or what now has its name, is another than when it was opened."""
        return self._opened.changed()

    def close(self) -> None:
        self._opened.close()
        if self._copy is not None:
            self._copy.close()


def too_large(most: int) -> str:
    return f"it unpacks to more than max_unpacked_bytes, {most}; raise that, or see what is in the file"


@contextmanager
def _writing(folder: Path, shown: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransientError(f"cannot copy {shown} to {folder}: {error.strerror}; make room on that disk") from error


class reading:  # noqa: N801 - reads as a statement: `with reading(path):`
    """Turns an OSError into TransientError, but for a file that is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            remedy = (
                "give the user that runs Topline the right to read it"
                if isinstance(error, PermissionError)
                else "check the disk"
            )
            raise TransientError(f"cannot read {self._path}: {error.strerror}; {remedy}") from error
