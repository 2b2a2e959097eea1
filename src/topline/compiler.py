"""How kernels (loops over columns, in folders of that name) are compiled: ahead of their first call, without threads, loose
arithmetic or Python's lock; kept on disk."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import config

F = TypeVar("F", bound=Callable[..., Any])


def _folder() -> str:
    """Where compiled code is kept: of these sources only, since numba does not notice that a helper of another file changed."""
    digest = hashlib.blake2b(digest_size=8)
    for source in (Path(__file__), *sorted(Path(__file__).parent.rglob("kernels/*.py"))):
        digest.update(source.read_bytes())
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    for parent in (home / "topline", Path(tempfile.gettempdir()) / f"topline-{os.getuid()}"):
        folder = parent / f"kernels-{digest.hexdigest()}"
        if _is_ours(folder):
            return str(folder)
    return tempfile.mkdtemp(prefix="topline-kernels-")


def _is_ours(folder: Path) -> bool:
    """Whether we can write there and nobody else can: what lies there is run."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.parent.stat()
        return status.st_uid == os.getuid() and not status.st_mode & 0o022 and os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # the latter: there is no home
        return False


if not config.CACHE_DIR:  # type: ignore[attr-defined]  # what NUMBA_CACHE_DIR says goes before
    config.CACHE_DIR = _folder()  # type: ignore[attr-defined]


def kernel(signature: str) -> Callable[[F], F]:
    """A function of these types alone, to be called from Python. Several processes may fill the cache at once."""
    return cast(Callable[[F], F], numba.njit(signature, cache=True, nogil=True))


def helper(function: F) -> F:
    """A function that kernels call, each having it for its own: a call that hands on five arrays costs more than it does."""
    return cast(F, numba.njit(function, nogil=True, forceinline=True))
