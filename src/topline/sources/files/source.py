"""The files source: takes the files that stand still, in the order of (mtime, path), and reads each as a partition."""

import time
from collections.abc import Iterator, Mapping

import pyarrow as pa

from topline.changes import DeadLetter, Position, SourceBatch, TableChanges
from topline.errors import ConfigError
from topline.sources.base import Context, Fault, Progress, Resume
from topline.sources.files import audit
from topline.sources.files.content import LocalFile
from topline.sources.files.generations import Generations
from topline.sources.files.intake import Intake
from topline.sources.files.reading import FileShape
from topline.sources.files.reread import reread
from topline.sources.files.settings import FilesSettings
from topline.sources.files.stores import Stores, faults_of, is_url, place_of
from topline.sources.files.watch import Watch


class FilesSource:
    """One thread reads it; `check` and `current` stand alone."""

    def __init__(self, name: str, shapes: Mapping[str, FileShape], settings: FilesSettings, context: Context) -> None:
        self.name = name
        self._shapes, self._settings, self._root = shapes, settings, context.root
        self._stores = Stores(settings.objects, context.root)
        self._generations = Generations()
        self._intake: Intake | None = None

    def check(self) -> list[Fault]:
        return audit.check(self.name, self._shapes, self._watch(*self._shapes))

    def open(self, resume: Resume) -> None:
        self.close()
        self._generations.resume(resume)
        watch = self._watch(*self._shapes, settle=self._settings.settle)
        self._intake = Intake(self.name, self._shapes, self._generations, watch, self._settings.pause)

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        deadline = time.monotonic() + timeout
        while self._intake is not None and (batch := self._intake.next_batch(max_rows)) is None:
            now = time.monotonic()
            if now >= deadline:
                return None
            time.sleep(max(0.0, min(deadline, self._intake.next_look) - now))
        return batch if self._intake is not None else None

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """Files stay where they are: nothing to let go of."""

    def reached_end(self) -> bool:
        return self._intake is None or self._intake.reached_end

    def progress(self) -> Progress:
        return Progress() if self._intake is None else self._intake.progress()

    def current(self, table: str) -> Iterator[pa.Table]:
        return audit.current(self._shapes[table], sorted(self._watch(table).look(), key=lambda file: file.order))

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:
        return self._generations.forget(table, resume)

    def reread(self, letter: DeadLetter) -> TableChanges | DeadLetter:
        name = letter.partition.partition(":")[2]
        place = place_of(name, self._stores) if is_url(name) else LocalFile(self._root / name)
        return reread(letter, self._shapes[letter.table.partition(".")[2]], place)

    def close(self) -> None:
        if self._intake is not None:
            self._intake.close()
            self._intake = None
        self._stores.close()

    def _watch(self, *tables: str, settle: float = 0) -> Watch:
        return Watch(self._root, {name: self._settings.tables[name] for name in tables}, settle, self._stores)


def create(context: Context, settings: FilesSettings) -> FilesSource:
    """The source, from its declared tables. ConfigError lists every fault of their declarations."""
    faults = audit.declaration_faults(context, settings)
    paths = {name: table.path for name, table in settings.tables.items()}
    faults += faults_of(paths, Stores(settings.objects, context.root))
    if faults:
        raise ConfigError("\n".join(faults))
    shapes = {name: FileShape(schema, settings.tables[name], context.state_dir) for name, schema in context.tables.items()}
    return FilesSource(context.name, shapes, settings, context)
