"""The file of a checkpoint: every array of the state, whole or refused."""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from topline.durable import sync
from topline.errors import StateError
from topline.faults import point
from topline.live.arrays import Array

FORMAT = 6  # of the state's arrays; another number is refused
_HEADER = "header"


def write(path: Path, header: Mapping[str, str], arrays: Mapping[str, Array]) -> None:
    """All or nothing: a temporary file, fsync, rename. The zip keeps a CRC of every array."""
    facts = {"format": str(FORMAT), **header}
    contents: dict[str, Any] = {_HEADER: np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays}
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **contents)
        point("checkpoint:written")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync(path.parent)


def read(path: Path, expected: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Array]]:
    """The header and the arrays. StateError where the file is damaged or an `expected` entry of the header differs."""
    try:
        with np.load(path, allow_pickle=False) as file:
            header: dict[str, str] = json.loads(file[_HEADER].tobytes())
            _check(path, header, {"format": str(FORMAT), **expected})
            return header, {name: file[name] for name in file.files if name != _HEADER}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StateError(
            f"{path} is no readable checkpoint ({error}); it is only a cache: remove it, the log has all"
        ) from error


def _check(path: Path, header: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for name, value in expected.items():
        if header.get(name) != value:
            raise StateError(
                f"{path} has {name} {header.get(name)}, wanted is {value}; it is only a cache: remove it, the log has all"
            )
