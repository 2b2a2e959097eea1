"""The files source: takes the files that stand still, in the order of (mtime, path), and reads each as a partition."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from topline.changes import DeadLetter, Position, SourceBatch, TableChanges
from topline.errors import ConfigError
from topline.sources.base import Context, Fault, Progress, Resume
from topline.sources.files import audit
from topline.sources.files.content import Content
from topline.sources.files.generations import Generations
from topline.sources.files.memory import Draft, FileState
from topline.sources.files.reading import Chunk, FileShape, Reading
from topline.sources.files.reread import reread
from topline.sources.files.settings import FilesSettings
from topline.sources.files.watch import Found, Watch


@dataclass(slots=True)
class _Current:
    """The file being read. `skip`: lines of this generation that are committed already."""

    file: Found
    content: Content
    reading: Reading
    chunks: Iterator[Chunk]
    state: FileState
    skip: int
    rest: Chunk | None = None


class FilesSource:
    """One thread reads it; `check` and `current` stand alone."""

    def __init__(self, name: str, shapes: Mapping[str, FileShape], settings: FilesSettings, context: Context) -> None:
        self.name = name
        self._shapes, self._settings, self._context = shapes, settings, context
        self._generations = Generations()
        self._opened = False
        self._begin_at(Resume())

    def _begin_at(self, resume: Resume) -> None:
        self._generations.resume(resume)
        self._watch = Watch(self._context.root, self._settings.tables, self._settings.settle)
        self._waiting: deque[Found] = deque()
        self._current: _Current | None = None
        self._found: dict[str, Found] = {}
        self._unread: set[str] = set()
        self._next_scan, self._files_read = 0.0, 0

    def check(self) -> list[Fault]:
        return audit.check(self.name, self._shapes, self._watch.patterns, self._context.root)

    def open(self, resume: Resume) -> None:
        self.close()
        self._begin_at(resume)
        self._scan()
        self._opened, self._next_scan = True, 0.0  # the first read looks again at once
        self._unread = {partition for partition, file in self._found.items() if self._is_news(file)}

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        deadline = time.monotonic() + timeout
        while (batch := self._next_batch(max_rows)) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(left, self._settings.poll))
        return batch

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """Files stay where they are: nothing to let go of."""

    def reached_end(self) -> bool:
        return not self._unread

    def progress(self) -> Progress:
        news = [file for file in self._found.values() if self._is_news(file)]
        reading = self._current.file.name if self._current else ""
        return Progress(
            phase="streaming" if reading or self._waiting else "idle",
            done=self._files_read,
            total=self._files_read + len(news),
            lag_bytes=sum(file.stat.size for file in news),
            detail=f"reading {reading}" if reading else f"{len(self._found)} files",
        )

    def current(self, table: str) -> Iterator[pa.Table]:
        found = Watch(self._context.root, {table: self._settings.tables[table]}, 0).scan()
        return audit.current(self._shapes[table], sorted(found.values(), key=lambda file: file.order))

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:
        return self._generations.forget(table, resume)

    def reread(self, letter: DeadLetter) -> TableChanges | DeadLetter:
        return reread(letter, self._shapes[letter.table.partition(".")[2]], self._context.root)

    def close(self) -> None:
        self._opened = False
        self._let_go()

    def _let_go(self) -> None:
        if self._current:
            self._current.content.close()
            self._current = None

    def _next_batch(self, max_rows: int) -> SourceBatch | None:
        if not self._opened:
            return None
        draft = Draft(self.name)
        while draft.weight < max_rows:
            if self._current is not None:
                self._step(draft, max_rows)
            elif self._waiting:
                self._take(self._waiting.popleft(), draft)
            elif not self._look(draft):
                break
        return draft.batch()

    def _look(self, draft: Draft) -> bool:
        """Look at the folders, once a `poll`; whether there is something to read."""
        if time.monotonic() < self._next_scan:
            return False
        self._scan()
        self._retract_removed(draft)
        ready = [file for file in self._found.values() if self._watch.stands_still(file) and self._is_news(file)]
        self._waiting.extend(sorted(ready, key=lambda file: file.order))
        return bool(ready)

    def _scan(self) -> None:
        self._found = self._watch.scan()
        self._next_scan = time.monotonic() + self._settings.poll
        self._unread &= self._found.keys()

    def _is_news(self, file: Found) -> bool:
        return self._generations.is_news(file.partition, file.stat)

    def _take(self, file: Found, draft: Draft) -> None:
        """Begin to read a file, unless it changed since the look, went away, or holds the same bytes as before."""
        try:
            content = Content(file.path)
        except FileNotFoundError:
            return
        if content.stat != file.stat:
            content.close()
        elif self._is_same(file, content):
            self._settle(file.partition, self._generations.touched(file.partition, file.stat), draft)
            content.close()
        else:
            self._start(file, content, draft)

    def _is_same(self, file: Found, content: Content) -> bool:
        """A file that was only touched. What is read to know it is hashed once more when the file is read."""
        known = self._generations.digest(file.partition, file.stat)
        if not known:
            return False
        fresh = Content(file.path)
        digest = fresh.digest()
        fresh.close()
        return digest == known and not content.changed()

    def _start(self, file: Found, content: Content, draft: Draft) -> None:
        generation, skip = self._generations.of(file.partition, file.stat)
        state = FileState(generation, file.stat.size, file.stat.mtime_ns, mark=file.stat.mark)
        reading = Reading(self._shapes[file.table], content, file.name)
        self._current = _Current(file, content, reading, reading.chunks(), state, skip)
        self._note(file.partition, state, draft)

    def _step(self, draft: Draft, max_rows: int) -> None:
        current = self._current
        assert current is not None
        chunk = current.rest or next(current.chunks, None)
        current.rest = None
        if chunk is None or current.content.changed():
            self._finish(current, draft, whole=chunk is None and not current.content.changed())
            return
        head, current.rest = chunk.after(current.skip).split(max_rows - draft.weight)
        if len(head):
            schema = self._shapes[current.file.table].schema
            draft.add(schema.name, (current.file.partition, current.file.name), current.state.generation, head)

    def _finish(self, current: _Current, draft: Draft, whole: bool) -> None:
        """The end of the file. One that changed meanwhile is left as it is: the next look finds it, as a new generation."""
        partition, reading = current.file.partition, current.reading
        if whole:
            at = Position(current.state.generation, reading.end)
            if self._may_sweep(current):
                draft.sweep(self._shapes[current.file.table].schema.name, partition, at)
            draft.move(partition, at)
            self._settle(partition, replace(current.state, digest=current.content.digest()), draft)
            self._files_read += 1
        self._let_go()

    def _may_sweep(self, current: _Current) -> bool:
        """Only a clean re-read retracts what it did not see; an empty one only where that is allowed."""
        rows, letters = current.reading.rows, current.reading.letters
        allowed = rows > 0 or self._settings.tables[current.file.table].on_empty == "retract"
        return current.state.generation > 1 and letters == 0 and allowed

    def _settle(self, partition: str, state: FileState, draft: Draft) -> None:
        self._note(partition, state, draft)
        self._unread.discard(partition)

    def _note(self, partition: str, state: FileState, draft: Draft) -> None:
        self._generations.note(partition, state)
        draft.remember(partition, state)

    def _retract_removed(self, draft: Draft) -> None:
        for partition in self._generations.gone(self._found):
            table = partition.partition(":")[0]
            settings = self._settings.tables.get(table)
            if settings is None or settings.on_remove == "keep":
                continue
            gone_all = not any(file.table == table for file in self._found.values())
            if settings.on_empty == "retract" or not gone_all:
                self._retract(table, partition, draft)

    def _retract(self, table: str, partition: str, draft: Draft) -> None:
        at = self._generations.retire(partition)
        draft.sweep(self._shapes[table].schema.name, partition, at)
        draft.move(partition, at)
        draft.remember(partition, None)


def create(context: Context, settings: FilesSettings) -> FilesSource:
    """The source, from its declared tables. ConfigError lists every fault of their declarations."""
    faults = audit.declaration_faults(context, settings)
    if faults:
        raise ConfigError("\n".join(faults))
    shapes = {name: FileShape(schema, settings.tables[name], context.state_dir) for name, schema in context.tables.items()}
    return FilesSource(context.name, shapes, settings, context)
