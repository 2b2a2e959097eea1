"""Files that branches drop into a folder: CSV or NDJSON, plain or gz. A file is a partition of its table."""

from topline.sources.files.settings import FilesSettings as Settings
from topline.sources.files.source import FilesSource, create

__all__ = ["FilesSource", "Settings", "create"]
