"""The files source: takes the files that stand still, in the order of (mtime, path), and reads each as a partition."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow as pa

from topline.changes import DeadLetter, Position, SourceBatch, TableChanges
from topline.errors import ConfigError
from topline.sources.base import Context, Fault, Progress, Resume
from topline.sources.files import audit
from topline.sources.files.content import Content, LocalFile, OtherVersion
from topline.sources.files.found import Found
from topline.sources.files.generations import Generations
from topline.sources.files.memory import Draft, FileState
from topline.sources.files.reading import FileShape
from topline.sources.files.removals import Removals, table_of
from topline.sources.files.reread import reread
from topline.sources.files.settings import FilesSettings
from topline.sources.files.stores import Stores, faults_of, is_url, place_of
from topline.sources.files.underway import Underway
from topline.sources.files.waiting import Waiting
from topline.sources.files.watch import Watch


class FilesSource:
    """One thread reads it; `check` and `current` stand alone."""

    def __init__(self, name: str, shapes: Mapping[str, FileShape], settings: FilesSettings, context: Context) -> None:
        self.name = name
        self._shapes, self._settings, self._context = shapes, settings, context
        self._stores = Stores(settings.objects, context.root)
        self._generations = Generations()
        self._opened = False
        self._begin_at(Resume())

    def _begin_at(self, resume: Resume) -> None:
        self._generations.resume(resume)
        self._watch = self._new_watch(self._settings.settle)
        self._removals = Removals(self._settings.tables)
        self._waiting = Waiting()
        self._underway: Underway | None = None
        self._due: deque[str] = deque()  # partitions to retract, once what waits is read
        self._next_look, self._files_read = 0.0, 0

    def check(self) -> list[Fault]:
        return audit.check(self.name, self._shapes, self._new_watch(0))

    def _new_watch(self, settle: float) -> Watch:
        return Watch(self._context.root, self._settings.tables, settle, self._stores)

    def open(self, resume: Resume) -> None:
        self.close()
        self._begin_at(resume)
        self._look()
        self._waiting.mark_first()
        self._opened, self._next_look = True, 0.0  # the first read looks again at once

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        deadline = time.monotonic() + timeout
        while (batch := self._next_batch(max_rows)) is None:
            now = time.monotonic()
            if now >= deadline:
                return None
            time.sleep(max(0.0, min(deadline, self._next_look) - now))
        return batch

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """Files stay where they are: nothing to let go of."""

    def reached_end(self) -> bool:
        return self._waiting.first_are_done

    def progress(self) -> Progress:
        reading = self._underway.file.name if self._underway else ""
        return Progress(
            phase="streaming" if reading or self._waiting.is_lined_up else "idle",
            done=self._files_read,
            total=self._files_read + len(self._waiting),
            lag_bytes=self._waiting.lag_bytes,
            detail=f"reading {reading}" if reading else f"{len(self._watch.found)} files",
        )

    def current(self, table: str) -> Iterator[pa.Table]:
        watch = Watch(self._context.root, {table: self._settings.tables[table]}, 0, self._stores)
        return audit.current(self._shapes[table], sorted(watch.look(), key=lambda file: file.order))

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:
        return self._generations.forget(table, resume)

    def reread(self, letter: DeadLetter) -> TableChanges | DeadLetter:
        name = letter.partition.partition(":")[2]
        place = place_of(name, self._stores) if is_url(name) else LocalFile(self._context.root / name)
        return reread(letter, self._shapes[letter.table.partition(".")[2]], place)

    def close(self) -> None:
        self._opened = False
        self._let_go()

    def _let_go(self) -> None:
        if self._underway:
            self._underway.close()
            self._underway = None

    def _next_batch(self, max_rows: int) -> SourceBatch | None:
        draft = Draft(self.name)
        while self._opened and draft.weight < max_rows:
            if self._underway is not None:
                self._step(self._underway, draft, max_rows - draft.weight)
            elif (file := self._waiting.next()) is not None:
                self._take(file, draft)
            elif self._due:
                self._retract(self._due.popleft(), draft)
            elif time.monotonic() < self._next_look or not self._look():
                break
        return draft.batch()

    def _look(self) -> bool:
        """Look at all places; whether there is something to do."""
        changed = self._watch.look()
        self._next_look = time.monotonic() + self._watch.pause(self._settings.pause)
        news = [file for file in changed if self._generations.is_news(file.partition, file.stat, self._shapes[file.table].way)]
        self._waiting.update(news, self._watch.found)
        self._due.extend(self._removals.due(self._generations, self._watch.found, self._waiting))
        return self._waiting.line_up(self._watch.stands_still) or bool(self._due)

    def _take(self, file: Found, draft: Draft) -> None:
        """Begin to read a file, unless it changed since the look, went away, or holds what was read of it before."""
        try:
            content = Content(file.place)
        except FileNotFoundError:
            return
        known = self._generations.whole(file.partition)
        if content.stat != file.stat:
            content.close()
        elif known is not None and self._is_same(file, content, known):
            self._settle(file.partition, replace(known, mtime_ns=file.stat.mtime_ns, mark=file.stat.mark), draft)
            content.close()
        else:
            self._start(file, content, draft)

    def _is_same(self, file: Found, content: Content, known: FileState) -> bool:
        """A file that was only touched. What is read to know it is hashed once more when the file is read."""
        if known.size != content.stat.size or not known.read_by(self._shapes[file.table].way):
            return False
        fresh = Content(file.place)
        digest = fresh.digest()
        fresh.close()
        return digest == known.digest and not content.changed()

    def _start(self, file: Found, content: Content, draft: Draft) -> None:
        shape = self._shapes[file.table]
        generation, skip = self._generations.of(file.partition, file.stat, shape.way)
        state = FileState(generation, file.stat.size, file.stat.mtime_ns, mark=file.stat.mark, way=shape.way)
        self._underway = Underway(file, content, shape, state, skip)
        self._note(file.partition, state, draft)

    def _step(self, underway: Underway, draft: Draft, rows: int) -> None:
        """One that changed meanwhile is left as it is: the next look finds it, as a new generation."""
        try:
            if underway.step(draft, rows):
                return
            self._settle(underway.file.partition, underway.finish(draft), draft)
            self._files_read += 1
        except OtherVersion:
            pass
        self._let_go()

    def _settle(self, partition: str, state: FileState, draft: Draft) -> None:
        self._note(partition, state, draft)
        self._waiting.done(partition)

    def _note(self, partition: str, state: FileState, draft: Draft) -> None:
        self._generations.note(partition, state)
        draft.remember(partition, state)

    def _retract(self, partition: str, draft: Draft) -> None:
        at = self._generations.retire(partition)
        draft.sweep(self._shapes[table_of(partition)].schema.name, partition, at)
        draft.move(partition, at)
        draft.remember(partition, None)


def create(context: Context, settings: FilesSettings) -> FilesSource:
    """The source, from its declared tables. ConfigError lists every fault of their declarations."""
    faults = audit.declaration_faults(context, settings)
    paths = {name: table.path for name, table in settings.tables.items()}
    faults += faults_of(paths, Stores(settings.objects, context.root))
    if faults:
        raise ConfigError("\n".join(faults))
    shapes = {name: FileShape(schema, settings.tables[name], context.state_dir) for name, schema in context.tables.items()}
    return FilesSource(context.name, shapes, settings, context)
