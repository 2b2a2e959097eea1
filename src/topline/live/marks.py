"""Remembered over restarts beside the batches: sources amid a first copy, and models of which changes were missed."""

import json
from collections.abc import Iterable

from topline.changes import SourceBatch
from topline.log import Log

_COPYING, _STALE = "copying", "stale_models"


class Marks:
    """Each is set before the commit that makes it true, and dropped after the one that ends it: a crash between the two
    costs a wait or a publication too many, never one too few.

    copying  sources whose tables stand amid a copy: nothing that reads them is published
    stale    models that were halted: what changed meanwhile is in no dirty key, so they are published whole once they run
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.copying: set[str] = set(json.loads(log.get(_COPYING) or "[]"))
        self.stale: set[str] = set(json.loads(log.get(_STALE) or "[]"))

    def begin_copies(self, batches: Iterable[SourceBatch]) -> None:
        self._keep_copying(self.copying | {batch.source for batch in batches if batch.copying})

    def end_copies(self, batches: Iterable[SourceBatch]) -> None:
        last = {batch.source: batch.copying for batch in batches}
        self._keep_copying({source for source in self.copying if last.get(source, True)})

    def add_stale(self, models: Iterable[str]) -> None:
        self._keep_stale(self.stale.union(models))

    def drop_stale(self, models: Iterable[str]) -> None:
        self._keep_stale(self.stale.difference(models))

    def _keep_copying(self, sources: set[str]) -> None:
        if sources != self.copying:
            self.copying = sources
            self._log.set(_COPYING, json.dumps(sorted(sources)))

    def _keep_stale(self, models: set[str]) -> None:
        if models != self.stale:
            self.stale = models
            self._log.set(_STALE, json.dumps(sorted(models)))
