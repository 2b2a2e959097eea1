"""Brings dirty keys to PostgreSQL: one publishing transaction at a time, in one worker thread, while folding goes on."""

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from topline.changes import Position
from topline.errors import ModelHalted, TransientError
from topline.live.dataflow import Dataflow
from topline.models.plan import ModelPlan
from topline.results import Changed, Epoch, Opened, Publisher, RefusedError, Replace

_GRACE = 5.0  # seconds


class Published(Protocol):
    """Told on the engine's thread that these models stand at this epoch in PostgreSQL."""

    def __call__(self, epoch: int, models: list[str]) -> None: ...


@dataclass
class _Dirty:
    keys: list[pa.Table] = field(default_factory=list)
    whole: bool = False

    @property
    def count(self) -> int:
        return sum(len(keys) for keys in self.keys)

    def add(self, keys: pa.Table) -> None:
        self.keys.append(keys)
        if len(self.keys) > 64:
            self.keys = [self.distinct()]

    def distinct(self) -> pa.Table:
        if len(self.keys) == 1:  # of one batch they are
            return self.keys[0]
        keys = pa.concat_tables(self.keys)
        return keys.group_by(keys.column_names).aggregate([])


@dataclass(frozen=True, slots=True)
class _Opening:
    """The results database did not answer at the start: `work` is tried until it does, then `note` is told what it found."""

    work: Callable[[], Opened]
    note: Callable[[Opened], None]


class Publication:
    """`note` what changed, `offer` an epoch when the worker is free, `settle` what it finished. Engine's thread only."""

    def __init__(self, publisher: Publisher, dataflow: Dataflow, models: Mapping[str, ModelPlan]) -> None:
        self._publisher = publisher
        self._dataflow = dataflow
        self._models = {name: model for name, model in models.items() if model.published}
        self._dirty: dict[str, _Dirty] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._running: Future[Any] | None = None
        self._opening: _Opening | None = None
        self.stands_by = False
        self._epoch: Epoch | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._failing_since = 0.0
        self.failing_since: datetime | None = None  # the same by the clock on the wall
        self._submitted = 0.0
        self.last_seconds = 0.0  # that the last publishing transaction took
        self.last_error = ""
        self.published_epoch = 0
        self.freshness_ms: float | None = None

    def follow(self, dataflow: Dataflow) -> None:
        """Take rows from this state from now on."""
        self._dataflow = dataflow

    def note(self, dirty: Mapping[str, pa.Table]) -> None:
        for model, keys in dirty.items():
            if model in self._models and len(keys) and not (known := self._dirty.setdefault(model, _Dirty())).whole:
                known.add(keys)

    def note_whole(self, model: str) -> None:
        self._dirty.setdefault(model, _Dirty()).whole = True

    def dirty(self, held: frozenset[str] = frozenset()) -> bool:
        return any(model not in held for model in self._dirty)

    def open_later(self, work: Callable[[], Opened], note: Callable[[Opened], None], error: TransientError) -> None:
        """Nothing is published until the results database answers. `work` runs on the worker, `note` on the engine's thread."""
        self._opening = _Opening(work, note)
        self._back_off(error)

    def stand_by(self, models: Mapping[str, ModelPlan], note: Callable[[Opened], None]) -> None:
        """Nothing is published until no other engine writes the schema; then this one does, everything anew. `models`: the
        plan's."""
        for model in self._models:
            self.note_whole(model)
        self._opening = _Opening(lambda: self._publisher.open_when_free(models), note)
        self.stands_by = True

    @property
    def opened(self) -> bool:
        return self._opening is None

    @property
    def busy(self) -> bool:
        return self._epoch is not None or self._opening is not None

    def offer(
        self,
        number: int,
        times: Mapping[str, datetime],
        positions: Mapping[str, Mapping[str, Position]],
        held: frozenset[str],
    ) -> bool:
        """Hand over everything that is dirty and not held, as of `number`. False while the worker is busy."""
        if self.busy:
            return False
        ready = [model for model in self._dirty if model not in held]
        updates = {model: self._update(model, self._dirty.pop(model)) for model in ready}
        self._epoch = Epoch(number, updates, dict(times), {source: dict(p) for source, p in positions.items()}, held)
        self._submit()
        return True

    def settle(self, published: Published, halted: Callable[[str, str], None]) -> None:
        """Take note of a finished transaction. A passing failure is tried again with backoff; a model whose rows
        PostgreSQL cannot hold is told to `halted`, and the others are published without it; anything else is raised."""
        if self._opening is not None:
            self._settle_opening(self._opening)
        if self._epoch is None:
            return
        if self._running is None:
            if time.monotonic() >= self._retry_at:
                self._submit()
            return
        if not self._running.done():
            return
        running, self._running = self._running, None
        self.last_seconds = time.monotonic() - self._submitted
        try:
            running.result()
        except TransientError as error:
            self._back_off(error)
            return
        except ModelHalted as error:
            halted(error.model, str(error))
            self._leave_out(error.model)
            return
        epoch, self._epoch = self._epoch, None
        self._failures, self.last_error, self.published_epoch = 0, "", epoch.number
        self.failing_since = None
        self._note_freshness(epoch)
        published(epoch.number, list(epoch.models))

    def _settle_opening(self, opening: _Opening) -> None:
        if self._running is None:
            if time.monotonic() >= self._retry_at:
                self._running = self._worker.submit(opening.work)
            return
        if not self._running.done():
            return
        running, self._running = self._running, None
        try:
            opened = running.result()
        except RefusedError:
            raise
        except TransientError as error:
            self._back_off(error)
            return
        self._opening, self._failures, self.last_error = None, 0, ""
        self.failing_since, self.stands_by = None, False
        opening.note(opened)

    @property
    def failing_for(self) -> float:
        """Seconds since the results database last answered; 0 while it does."""
        return time.monotonic() - self._failing_since if self._failures else 0.0

    def close(self) -> None:
        """What has just begun gets a moment to end; a server that hangs is waited for no longer."""
        if self._running is not None:
            wait([self._running], max(0.0, _GRACE - (time.monotonic() - self._submitted)))
        self._publisher.give_up()
        self._worker.shutdown(wait=True)

    def _submit(self) -> None:
        assert self._epoch is not None
        self._submitted = time.monotonic()
        self._running = self._worker.submit(self._publisher.publish, self._epoch)

    def _note_freshness(self, epoch: Epoch) -> None:
        """From the newest commit at a source to now: what the epoch brought is visible from here on."""
        newest = max((moment.timestamp() for moment in epoch.source_times.values() if moment), default=None)
        if newest is not None and epoch.models:
            self.freshness_ms = max(0.0, time.time() - newest) * 1000

    def _leave_out(self, model: str) -> None:
        assert self._epoch is not None
        others = {name: update for name, update in self._epoch.models.items() if name != model}
        self._epoch = replace(self._epoch, models=others, held=self._epoch.held | {model})
        self._submit()

    def _back_off(self, error: TransientError) -> None:
        self.last_error = str(error)
        self._failing_since = self._failing_since if self._failures else time.monotonic()
        self.failing_since = self.failing_since or datetime.now(UTC)
        self._failures += 1
        self._retry_at = time.monotonic() + min(30.0, 0.2 * 2 ** min(self._failures, 8)) * random.uniform(0.5, 1.0)

    def _update(self, model: str, dirty: _Dirty) -> Changed | Replace:
        if dirty.whole or self._publisher.wants_replace(model, dirty.count):
            return Replace(list(self._dataflow.all_rows(model)))
        keys = dirty.distinct()
        return Changed(keys, self._dataflow.rows(model, keys))
