"""Dead letters too large for the log: their bytes lie in a file of the state folder, and the letter names it.

A letter's `raw` is its bytes, or the reference `topline:spill:<sha256>:<bytes>`. Bytes that begin like a reference are
spilled too, so that one can never be taken for the other. A file's name is the hash of what it holds: replaying a letter
writes the same file again.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from topline.durable import sync
from topline.errors import StateError

_PREFIX = b"topline:spill:"


class Reference(bytes):
    """Names a spilled file; stored in place of a letter's bytes."""


def keep(raw: bytes, limit: int, state_dir: Path) -> bytes:
    """What to store in a letter for `raw`: itself up to `limit` bytes, else a reference to a file written and synced."""
    if isinstance(raw, Reference) or (len(raw) <= limit and not raw.startswith(_PREFIX)):
        return raw
    return spill([raw], state_dir)


def spill(pieces: Iterable[bytes], state_dir: Path) -> Reference:
    """Write the bytes of `pieces`, one after the other, into a file of `state_dir`/spill; returns the reference to it."""
    folder = state_dir / "spill"
    folder.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, folder / digest.hexdigest())
    sync(folder)
    return Reference(_PREFIX + f"{digest.hexdigest()}:{size}".encode())


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
