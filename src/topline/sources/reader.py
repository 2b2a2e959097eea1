"""Each source reads in a thread of its own; the engine takes their batches from one place.

Retry, backoff, queues and what `status` shows of a source live here, once. A queue holds a bounded number of rows, so that a
source is never further ahead of the log than that.
"""

import itertools
import random
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from topline.changes import Position, SourceBatch
from topline.errors import SourceHalted, SourceNotReady, TransientError, out_of_memory
from topline.faults import point
from topline.sources.base import Progress, Resume, Source

_POLL = 0.1  # seconds that a read may wait: how soon a stop or an acknowledgement is noticed
_LOOK_AGAIN = 5.0  # seconds between two looks at a source that a person must mend
_STOPPING = 5.0  # seconds that stopping waits for sources that hang; their threads end with the process
_OPENINGS = itertools.count(1)


class Status(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    RETRYING = "retrying"
    HALTED = "halted"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ReaderState:
    """What `status`, metrics and /readyz show. `error`: the last one (a bug's traceback), '' once it is over. `since`: when it
    went down, while it is tried again."""

    status: Status = Status.STARTING
    error: str = ""
    attempts: int = 0
    since: datetime | None = None
    next_retry: datetime | None = None
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before try n+1: first * 2^n, at most `most`, of which a random part of up to a half is left out."""

    first: float = 0.5
    most: float = 30.0

    def seconds(self, attempt: int) -> float:
        return min(self.most, self.first * 2.0 ** min(attempt, 30)) * random.uniform(0.5, 1.0)


class Reader:
    """One source in its thread. `resume` says what the log holds; it is called in that thread, at each (re)opening.

    Batches wait in a queue until it holds `queue_rows` rows; a batch alone may be larger. Batches read before a retry stay
    in the queue, and the retry waits until they are committed, so that the source goes on from there. A transaction that
    the failure left half read comes again, under another `opening`.
    """

    def __init__(
        self,
        source: Source,
        resume: Callable[[], Resume],
        *,
        max_rows: int,
        queue_rows: int,
        backoff: Backoff | None = None,
        changed: threading.Condition | None = None,
        after: "Reader | None" = None,
    ) -> None:
        """`after`: the source's reader until now; its thread ends before this one begins."""
        self.source, self.name = source, source.name
        self._resume, self._max_rows, self._queue_rows = resume, max_rows, queue_rows
        self._backoff = backoff or Backoff()
        self._changed = changed or threading.Condition()
        self._queue: deque[SourceBatch] = deque()
        self._rows = self._put_batches = self._taken_batches = 0
        self._end: int | None = None  # batches that were put when the source had given all that it held at first
        self._committed: dict[str, Position] = {}  # not told to the source yet
        self._in_hand = 0  # batches that were given out, and are not known to be in the log
        self._opening = 0
        self._refused = ""
        self._before: threading.Thread | None = None if after is None else after._thread
        self._stopping = threading.Event()
        self._state = ReaderState()
        self._thread: threading.Thread = threading.Thread(target=self._run, name=f"source-{self.name}", daemon=True)

    @property
    def state(self) -> ReaderState:
        return self._state

    def queued(self) -> int:
        """Batches that wait."""
        return len(self._queue)

    @property
    def queued_rows(self) -> int:
        return self._rows

    @property
    def reached_end(self) -> bool:
        """All that the source held when it was first opened was read and taken from the queue. It stays so: what comes
        after that is new, and may come without end."""
        with self._changed:
            return self._end is not None and self._taken_batches >= self._end

    def start(self) -> None:
        self._thread.start()

    def get(self, timeout: float) -> SourceBatch | None:
        """The next batch, or None after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue), timeout)
            return self.take()

    def take(self) -> SourceBatch | None:
        """The next batch if one waits. The caller holds the condition given as `changed`, or is alone."""
        if not self._queue:
            return None
        batch = self._queue.popleft()
        self._taken_batches += 1
        self._in_hand += 1
        self._rows -= _weight(batch)
        self._changed.notify_all()
        return batch

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """A batch that was given out is dealt with, and these positions are committed. The source is told in its own thread."""
        with self._changed:
            self._committed.update(positions)
            self._in_hand = max(0, self._in_hand - 1)
            self._changed.notify_all()

    def refuse(self, reason: str) -> None:
        """Halt: what the source brought cannot be taken. Nothing more of it is given out."""
        self._refused = reason
        self.ask_to_stop()
        self._drop()
        self._set(Status.HALTED, reason)

    def ask_to_stop(self) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def stop(self, timeout: float = 10.0) -> bool:
        """Ask the thread to close its source and wait for it; batches still queued are dropped. False: it is still busy."""
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._drop()
        return not self._thread.is_alive()

    def _drop(self) -> None:
        with self._changed:
            self._queue.clear()
            self._rows = self._in_hand = 0

    def _run(self) -> None:
        if self._before is not None and self._before.is_alive():
            self._before.join()
        try:
            while not self._stopping.is_set():
                try:
                    self._read_on()
                except SourceNotReady as error:
                    self._wait_for_mending(error)
                except TransientError as error:
                    self._wait_to_retry(error)
                except Exception as error:
                    if (lacking := out_of_memory(error)) is None:
                        raise
                    self._wait_to_retry(lacking)
            reason = self._refused or (self._state.error if self._state.status is Status.HALTED else "")
            self._set(Status.HALTED if reason else Status.ENDED, reason)
        except SourceHalted as error:
            self._set(Status.HALTED, str(error))
        except Exception:  # noqa: BLE001 - the edge of a thread: a bug in one source must not stop the others
            self._set(Status.HALTED, traceback.format_exc())
        finally:
            self.source.close()

    def _read_on(self) -> None:
        self._opening = next(_OPENINGS)
        self.source.open(self._resume())
        while not self._stopping.is_set():
            self._tell_committed()
            batch = self.source.read(self._max_rows, _POLL)
            self._set(Status.RUNNING, progress=self.source.progress())
            if batch is not None:
                point("source:read")
                self._put(batch)
            if self._end is None and self.source.reached_end():
                with self._changed:
                    self._end = self._put_batches
                    self._changed.notify_all()
        self._tell_committed()  # what the log took last, so that it is not left to the next opening

    def _put(self, batch: SourceBatch) -> None:
        """Queue a batch once there is room. Meanwhile the source is told what is committed, so that it can stay connected."""
        while not self._stopping.is_set():
            with self._changed:
                if not self._queue or self._rows + _weight(batch) <= self._queue_rows:
                    point("queue:before")
                    self._queue.append(replace(batch, opening=self._opening))
                    self._put_batches += 1
                    self._rows += _weight(batch)
                    self._changed.notify_all()
                    point("queue:after")
                    return
                self._changed.wait(_POLL)
            self._tell_committed()

    def _tell_committed(self) -> None:
        with self._changed:
            committed, self._committed = self._committed, {}
        if committed:
            point("acknowledge:before")
            self.source.acknowledge(committed)
            point("acknowledge:after")

    def _wait_to_retry(self, error: TransientError) -> None:
        self.source.close()
        failed_at_once = self._state.status is not Status.RUNNING
        attempts = self._state.attempts + 1 if failed_at_once else 1
        seconds = self._backoff.seconds(attempts - 1)
        now = datetime.now(UTC)
        self._state = replace(
            self._state,
            status=Status.RETRYING,
            error=str(error),
            attempts=attempts,
            since=self._state.since or now,
            next_retry=now + timedelta(seconds=seconds),
        )
        self._pause(seconds)

    def _wait_for_mending(self, error: SourceNotReady) -> None:
        """Halted, so that a person hears of it; what he mends at the source is noticed without him."""
        self.source.close()
        self._set(Status.HALTED, str(error))
        self._pause(_LOOK_AGAIN)

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)
        with self._changed:  # let the log take what was read, so that the source goes on from there
            self._changed.wait_for(lambda: not (self._queue or self._in_hand) or self._stopping.is_set())

    def _set(self, status: Status, error: str = "", progress: Progress | None = None) -> None:
        self._state = ReaderState(status, error, progress=progress or self._state.progress)


class Readers:
    """All sources of a project. The engine's one thread takes batches here, from each source in turn."""

    def __init__(
        self,
        sources: Sequence[Source],
        resume: Callable[[str], Resume],
        *,
        max_rows: int,
        queue_rows: int,
        backoff: Backoff | None = None,
    ) -> None:
        """`resume` takes a source's name and is called in that source's thread."""
        self._changed = threading.Condition()
        self._started = False
        self._stop_by = 0.0

        def reader(source: Source, after: Reader | None = None) -> Reader:
            def resume_it() -> Resume:
                return resume(source.name)

            sizes = {"max_rows": max_rows, "queue_rows": queue_rows}
            return Reader(source, resume_it, **sizes, backoff=backoff, changed=self._changed, after=after)

        self._reader = reader
        self._readers = {source.name: reader(source) for source in sources}
        self._turn = deque(self._readers.values())

    def __getitem__(self, source: str) -> Reader:
        return self._readers[source]

    def start(self) -> None:
        self._started = True
        for reader in self._readers.values():
            reader.start()

    @contextmanager
    def paused(self, source: str, timeout: float = 10.0) -> Iterator[None]:
        """The source is closed meanwhile, and what it had queued is dropped; then it is opened anew, halted or not.

        TransientError when it does not close within `timeout` seconds; it is opened anew all the same, once it did.
        """
        before = self._readers[source]
        try:
            if not before.stop(timeout):
                raise TransientError(f"the source {source} is busy and did not stop in time: try again")
            yield
        finally:
            self._readers[source] = self._reader(before.source, before)
            self._turn = deque(self._readers.values())
            if self._started:
                self._readers[source].start()

    def get(self, timeout: float) -> SourceBatch | None:
        """The next batch of the source whose turn it is among those that have one, or None after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: any(reader.queued() for reader in self._turn), timeout)
            for _ in range(len(self._turn)):
                self._turn.rotate(-1)
                if (batch := self._turn[-1].take()) is not None:
                    return batch
            return None

    def acknowledge(self, source: str, positions: Mapping[str, Position]) -> None:
        """Once for each batch that was taken: it is in the log, or put aside until the rest of its transaction is there."""
        self._readers[source].acknowledge(positions)

    def queued(self) -> int:
        """Batches that wait."""
        return sum(reader.queued() for reader in self._readers.values())

    @property
    def states(self) -> dict[str, ReaderState]:
        return {name: reader.state for name, reader in self._readers.items()}

    @property
    def reached_end(self) -> bool:
        """Every source that is not halted has given all that it held when it was opened, and it was taken from here."""
        readers = self._readers.values()
        return all(reader.reached_end or reader.state.status is Status.HALTED for reader in readers)

    @property
    def queued_rows(self) -> int:
        return sum(reader.queued_rows for reader in self._readers.values())

    def stop(self, timeout: float = _STOPPING) -> list[str]:
        """Stop all at once. Returns the names of sources that were still busy after `timeout` seconds, which are counted from
        the first time that this is asked."""
        for reader in self._readers.values():
            reader.ask_to_stop()
        now = time.monotonic()
        self._stop_by = self._stop_by or now + timeout
        return [name for name, reader in self._readers.items() if not reader.stop(max(0.0, self._stop_by - time.monotonic()))]


def _weight(batch: SourceBatch) -> int:
    return len(batch) + len(batch.dead_letters)
