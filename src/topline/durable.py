"""What must outlive a power cut: fsync of a file, or of the folder that names it."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Force what the file holds, or the names in the folder, to the disk. OSError where that fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
