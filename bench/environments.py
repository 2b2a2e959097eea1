"""Environments of what is measured beside: one a product, made once, kept below the user's cache folder."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_UV = Path(sys.executable).with_name("uv")


class MissingError(Exception):
    """A product does not install here; the message says why."""


def python(name: str, *packages: str) -> str:
    """The interpreter that has these packages. MissingError where they do not install."""
    mark = hashlib.sha256(" ".join([sys.version, *packages]).encode()).hexdigest()[:10]
    folder = _cache() / f"{name}-{mark}"
    found = folder / "bin" / "python"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _quietly(str(_UV), "venv", "--python", sys.executable, str(folder))
        _quietly(str(_UV), "pip", "install", "--python", str(found), *packages)
        (folder / "done").touch()
    return str(found)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "topline-bench"


def _quietly(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(str(error)) from None
    if done.returncode:
        raise MissingError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"ended with {done.returncode}")
