"""Dead letters too large for the log: their bytes lie in a file of the state folder, and the letter names it.

A letter's `raw` is its bytes, or the reference `topline:spill:<sha256>:<bytes>`. Bytes that begin like a reference are
spilled too, so that one can never be taken for the other. A file's name is the hash of what it holds: replaying a letter
writes the same file again.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from topline.durable import sync
from topline.errors import StateError, TransientError

_PREFIX = b"topline:spill:"
_SMALL = 16 << 20  # bytes of a letter that is written however little room is left
_KEEP_FREE = 256 << 20  # bytes that a larger one leaves free


class Reference(bytes):
    """Names a spilled file; stored in place of a letter's bytes."""


def keep(raw: bytes, limit: int, state_dir: Path) -> bytes:
    """What to store in a letter for `raw`: itself up to `limit` bytes, else a reference to a file written and synced."""
    if isinstance(raw, Reference) or (len(raw) <= limit and not raw.startswith(_PREFIX)):
        return raw
    return spill([raw], state_dir)


def spill(pieces: Iterable[bytes], state_dir: Path) -> Reference:
    """Write the bytes of `pieces`, one after the other, into a file of `state_dir`/spill; returns the reference to it.

    TransientError where the disk does not take it; nothing of it stays then, nor where `pieces` raises.
    """
    folder = state_dir / "spill"
    with _room(folder):
        folder.mkdir(parents=True, exist_ok=True)
        beside = tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False)  # noqa: SIM115 - closed by `_written`
    try:
        reference = _written(pieces, beside, folder)
    except BaseException:
        Path(beside.name).unlink(missing_ok=True)
        raise
    return reference


def _written(pieces: Iterable[bytes], beside: IO[bytes], folder: Path) -> Reference:
    digest, size = hashlib.sha256(), 0
    with beside:
        for piece in pieces:
            with _room(folder):
                _require_room(folder, size + len(piece))
                beside.write(piece)
            digest.update(piece)
            size += len(piece)
        with _room(folder):
            beside.flush()
            os.fsync(beside.fileno())
    with _room(folder):
        os.replace(beside.name, folder / digest.hexdigest())
        sync(folder)
    return Reference(_PREFIX + f"{digest.hexdigest()}:{size}".encode())


def _require_room(folder: Path, size: int) -> None:
    """A letter of any size must not take the log's room."""
    if size > _SMALL and shutil.disk_usage(folder).free < _KEEP_FREE:
        raise OSError(errno.ENOSPC, f"less than {_KEEP_FREE >> 20} MiB would be left")


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransientError(
            f"cannot keep a dead letter in {folder}: {error.strerror}. Make room on that disk: it is tried again"
        ) from error


def is_spilled(raw: bytes) -> bool:
    return raw.startswith(_PREFIX)


def original(raw: bytes, state_dir: Path) -> Iterator[bytes]:
    """The bytes that a letter stands for, in pieces. StateError where its file is gone."""
    if not is_spilled(raw):
        yield raw
        return
    name = raw[len(_PREFIX) :].split(b":")[0].decode("ascii", "replace")
    path = state_dir / "spill" / name
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece
    except OSError as error:
        raise StateError(f"cannot read {path}, which a dead letter refers to: {error.strerror}. Restore it") from None
