"""Looks at all places of a source, again and again: what is new or changed there, and what is gone."""

import time
from collections.abc import Mapping
from pathlib import Path

from topline.sources.files.folders import Folder, Stillness
from topline.sources.files.found import Found, Listing
from topline.sources.files.patterns import Pattern
from topline.sources.files.settings import FileTable
from topline.sources.files.stores import Stores, is_url

_SHARE = 0.05  # of a processor that looking may take


class Watch:
    """`found` is what the last look found, by partition."""

    def __init__(self, root: Path, tables: Mapping[str, FileTable], settle: float, stores: Stores) -> None:
        self._root, self._stores = root, stores
        self._stillness = Stillness(settle)
        self.listings = {name: [self._listing(name, path, table) for path in table.path] for name, table in tables.items()}
        self.found: dict[str, Found] = {}
        self._moving: set[str] = set()
        self._took = self._busy = 0.0

    def _listing(self, name: str, path: str, table: FileTable) -> Listing:
        if is_url(path):
            return self._stores.listing(name, path, table)
        whole = self._root / path
        return Folder(name, Pattern.of(str(whole), table, folder=whole.is_dir()), self._root, self._stillness)

    def look(self) -> list[Found]:
        """Files that were not there at the last look, or are another version. TransientError: see Listing."""
        started, busy = time.monotonic(), time.thread_time()
        self._stillness.begin()
        found: dict[str, Found] = {}
        moving: set[str] = set()
        for listing in (listing for listings in self.listings.values() for listing in listings):
            for file, still in listing.files():
                found[file.partition] = file
                if not still:
                    moving.add(file.partition)
        before, self.found, self._moving = self.found, found, moving
        self._took, self._busy = time.monotonic() - started, time.thread_time() - busy
        return [file for partition, file in found.items() if before.get(partition) is not file]

    def pause(self, poll: float) -> float:
        """Seconds until the next look: `poll`, and more where a look takes long."""
        return max(poll, self._took, self._busy / _SHARE)

    def stands_still(self, file: Found) -> bool:
        """As of the last look."""
        return file.partition not in self._moving
