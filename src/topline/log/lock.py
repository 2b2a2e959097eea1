"""File locks: one engine per state folder, and a reader's pin that falls with its process."""

import contextlib
import fcntl
import os
from pathlib import Path

from topline.errors import StateError, WorkError

LOCK_FILE = "engine.lock"


class FileLock:
    """An exclusive lock on a file, held until `release` or the end of the process. The file names the holder's pid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """False where another holds it. WorkError where the file cannot be made."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WorkError(
                f"cannot make the lock file {self._path}: {error.strerror}. Make room on that disk, or give this user rights"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same; the pid is for people
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return True

    @property
    def removed(self) -> bool:
        """Whether the file that is locked no longer has a name."""
        return self._descriptor is not None and not os.fstat(self._descriptor).st_nlink

    def release(self, remove: bool = False) -> None:
        if self._descriptor is None:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


def lock_engine(state_dir: Path) -> FileLock:
    """The lock of the one engine of this state. StateError names the process that holds it."""
    path = state_dir / LOCK_FILE
    lock = FileLock(path)
    if not lock.acquire():
        holder = path.read_text().strip() or "unknown"
        raise StateError(
            f"another engine (process {holder}) runs on the state folder {state_dir}: "
            "only one may. Stop it, or give this project another `state` folder"
        )
    return lock


def is_free(path: Path) -> bool:
    """True when no living process holds the lock file (or it is gone)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
