"""One opening of the files source: looks at the places, takes what stands still, and turns it into batches."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from topline.changes import SourceBatch
from topline.errors import SourceHalted, TransientError
from topline.sources.base import Progress
from topline.sources.files import audit
from topline.sources.files.content import BrokenContent, OtherVersion
from topline.sources.files.found import Found
from topline.sources.files.generations import Generations
from topline.sources.files.memory import Draft, FileState
from topline.sources.files.reading import FileShape
from topline.sources.files.removals import Removals, table_of
from topline.sources.files.underway import Underway, opened
from topline.sources.files.waiting import Waiting
from topline.sources.files.watch import Watch


class Intake:
    """Looks once when it is made. `next_look`: the time, by the monotonic clock, before which nothing new is found."""

    def __init__(
        self, name: str, shapes: Mapping[str, FileShape], generations: Generations, watch: Watch, pause: float
    ) -> None:
        self._name, self._shapes, self._generations = name, shapes, generations
        self._watch, self._pause = watch, pause
        self._removals = Removals({table: shape.settings for table, shape in shapes.items()})
        self._waiting = Waiting()
        self._underway: Underway | None = None
        self._due: deque[str] = deque()  # partitions to retract, once what waits is read
        self._files_read = 0
        self._failure: TransientError | SourceHalted | None = None
        self._aside: dict[str, TransientError] = {}  # partitions that cannot be read now: not again in this opening
        self._look()
        self._waiting.mark_first()
        self.next_look = 0.0  # the first read looks again at once

    def close(self) -> None:
        if self._underway:
            self._underway.close()
            self._underway = None

    @property
    def reached_end(self) -> bool:
        """Whether all that was there at first is read, or gone."""
        return self._waiting.first_are_done

    def progress(self) -> Progress:
        reading = self._underway.file.name if self._underway else ""
        return Progress(
            phase="streaming" if reading or self._waiting.is_lined_up else "idle",
            done=self._files_read,
            total=self._files_read + len(self._waiting),
            lag_bytes=self._waiting.lag_bytes,
            detail=f"reading {reading}" if reading else _files(len(self._watch.found)),
        )

    def next_batch(self, max_rows: int) -> SourceBatch | None:
        """None: there is nothing to read now. What was read before a failure comes before it.

        A file of this machine that cannot be read (rights, a broken disk) holds up no other: it fails once all others are read.
        """
        if self._failure is not None:
            raise self._failure
        draft = Draft(self._name)
        try:
            self._fill(draft, max_rows)
        except (TransientError, SourceHalted) as error:
            self._failure = error
            if (batch := draft.batch()) is None:
                raise
            return batch
        if (batch := draft.batch()) is None and self._aside:
            raise next(iter(self._aside.values()))
        return batch

    def _fill(self, draft: Draft, max_rows: int) -> None:
        while draft.weight < max_rows:
            if self._underway is not None:
                self._step(self._underway, draft, max_rows - draft.weight)
            elif (file := self._waiting.next()) is not None:
                self._take(file, draft)
            elif self._due:
                self._retract(self._due.popleft(), draft)
            elif time.monotonic() < self.next_look or not self._look():
                break

    def _look(self) -> bool:
        """Look at all places; whether there is something to do."""
        changed = self._watch.look()
        self.next_look = time.monotonic() + self._watch.pause(self._pause)
        news = [file for file in changed if self._generations.is_news(file.partition, file.stat, self._shapes[file.table].way)]
        self._waiting.update(news, self._watch.found)
        self._due.extend(self._removals.due(self._generations, self._watch.found, self._waiting))
        return self._waiting.line_up(self._watch.stands_still) or bool(self._due)

    def _take(self, file: Found, draft: Draft) -> None:
        """Begin to read a file, unless it changed since the look, went away, or holds the same bytes as before."""
        if file.partition in self._aside:
            return
        try:
            with self._set_aside(file):
                known = self._generations.whole(file.partition)
                if known is None or not self._take_as_known(file, known, draft):
                    shape = self._shapes[file.table]
                    reading = self._generations.of(file.partition, file.stat, shape.way)
                    self._begin(Underway(file, opened(file), shape, reading), draft)
        except (FileNotFoundError, OtherVersion):
            return  # the next look finds what is there now

    @contextmanager
    def _set_aside(self, file: Found) -> Iterator[None]:
        """An object store that fails, fails for all of its objects."""
        try:
            yield
        except TransientError as error:
            if file.place.local is None:
                raise
            self._aside[file.partition] = error
            self.close()

    def _take_as_known(self, file: Found, known: FileState, draft: Draft) -> bool:
        """A file that was only touched is not read; of one that was appended to, what was appended. False: neither."""
        grown = known.size < file.stat.size
        if known.size > file.stat.size or (grown and not known.end) or not known.read_by(self._shapes[file.table].way):
            return False
        content = opened(file)
        if not content.begins_with(known.size, known.digest) or (shape := self._shape(file, grown)) is None:
            content.close()
            return False
        if grown:
            state = self._generations.appended_to(file.partition, known, file.stat)
            self._begin(Underway(file, content, shape, (state, state.first - 1), state.first), draft)
        else:
            self._settle(file.partition, replace(known, mtime_ns=file.stat.mtime_ns, mark=file.stat.mark), draft)
            content.close()
        return True

    def _shape(self, file: Found, grown: bool) -> FileShape | None:
        """How to read a file, or one from its middle on; None where its beginning does not say that."""
        shape = self._shapes[file.table]
        try:
            return audit.opened_as(file.place, shape) if grown else shape
        except (ValueError, BrokenContent):
            return None

    def _begin(self, underway: Underway, draft: Draft) -> None:
        self._underway = underway
        self._note(underway.file.partition, underway.state, draft)

    def _step(self, underway: Underway, draft: Draft, rows: int) -> None:
        """One that changed meanwhile is left as it is: the next look finds it, as a new generation."""
        try:
            with self._set_aside(underway.file):
                if underway.step(draft, rows):
                    return
                self._settle(underway.file.partition, underway.finish(draft), draft)
                self._files_read += 1
        except OtherVersion:
            pass
        self.close()

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


def _files(number: int) -> str:
    return f"{number:,} file{'' if number == 1 else 's'}"
