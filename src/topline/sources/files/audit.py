"""What `topline check` and `topline audit --sources` ask of the files: they stand alone and only read."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from topline.errors import TransientError
from topline.schema import Type
from topline.sources.base import Context, Fault
from topline.sources.declared import lacking_tables, strange_tables
from topline.sources.files.content import Content, OtherVersion, Place
from topline.sources.files.fit import fit_faults
from topline.sources.files.found import Found
from topline.sources.files.header import opened_by
from topline.sources.files.reading import FileShape, Reading
from topline.sources.files.record import FILE, LINE
from topline.sources.files.settings import FilesSettings
from topline.sources.files.watch import Watch


def declaration_faults(context: Context, settings: FilesSettings) -> list[str]:
    """Tables configured but not declared and the reverse; columns that are not text; keys that a file cannot have."""
    faults = [
        *strange_tables(context.tables, settings.tables),
        *lacking_tables(context.tables, settings.tables, "has no files", "{path: ...}"),
    ]
    for name, schema in context.tables.items():
        faults += [
            f"tables.{name}: column {column.name!r} is {column.type.value}; a file brings text: declare TEXT, cast in staging"
            for column in schema.columns
            if column.type is not Type.TEXT
        ]
        unknown = settings.tables[name].columns.keys() - set(schema.names) if name in settings.tables else set()
        faults += [f"tables.{name}.columns.{column}: is not declared in the models' sources" for column in sorted(unknown)]
        if not schema.key:
            faults.append(f"tables.{name}: no key is declared; name its columns, or [{FILE}, {LINE}] for one row a line")
        if LINE in schema.key and FILE not in schema.key:
            faults.append(f"tables.{name}: {LINE} is a key only together with {FILE}")
    return faults


def check(source: str, shapes: Mapping[str, FileShape], watch: Watch) -> list[Fault]:
    """`watch`: one that did not look yet."""
    faults: list[Fault] = []
    for table, shape in shapes.items():
        where = f"sources.{source}.tables.{table}"
        places = [fault for listing in watch.listings[table] for fault in listing.faults(f"{where}.path")]
        faults += places or fit_faults(where, shape, _newest(watch, table))
    return faults


def _newest(watch: Watch, table: str) -> Found | None:
    try:
        found = [file for listing in watch.listings[table] for file, _ in listing.files()]
    except TransientError:
        return None
    return max(found, key=lambda file: file.order, default=None)


def opened_as(place: Place | Path, shape: FileShape) -> FileShape:
    """See `opened_by`. FileNotFoundError where the file is gone."""
    content = Content(place)
    try:
        return opened_by(content, shape)
    finally:
        content.close()


def current(shape: FileShape, files: Sequence[Found]) -> Iterator[pa.Table]:
    """The readable rows of all files, the last one of each key. Holds them in memory."""
    tables = [table for file in files for table in _rows(shape, file)]
    if not tables:
        return
    rows = pa.concat_tables(tables)
    numbered = rows.select(list(shape.schema.key)).append_column("_place", pa.array(np.arange(rows.num_rows)))
    last = numbered.group_by(list(shape.schema.key)).aggregate([("_place", "max")])["_place_max"]
    kept = rows.take(last)
    for start in range(0, kept.num_rows, 100_000):
        yield kept.slice(start, 100_000)


def _rows(shape: FileShape, file: Found) -> Iterator[pa.Table]:
    try:
        content = Content(file.place)
    except FileNotFoundError:
        return
    try:
        yield from (chunk.rows for chunk in Reading(shape, content, file.name).chunks() if len(chunk.lines))
    except OtherVersion:
        raise TransientError(f"{file.name} changed while it was read: try again") from None
    finally:
        content.close()
