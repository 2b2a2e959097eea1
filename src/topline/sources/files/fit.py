"""Whether a table's settings fit its newest file, for `topline check`; where they do not, what the file seems to be instead."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from topline.errors import SourceHalted, TransientError
from topline.sources.base import Fault
from topline.sources.files.content import BrokenContent, Content, OtherVersion
from topline.sources.files.found import Found
from topline.sources.files.header import opened_by
from topline.sources.files.reading import Chunk, FileShape, Reading
from topline.sources.files.settings import FileColumn
from topline.sources.files.sniff import SAMPLE, Proposal, propose, propose_parquet
from topline.sources.files.spelling import Spelling

_RECORDS = 1000
_UNREADABLE = (TransientError, SourceHalted, BrokenContent, ValueError, FileNotFoundError, OtherVersion)
_MEND = "declare the columns that the files have, or mend the file; as it stands it is kept as dead letters"


def fit_faults(where: str, shape: FileShape, file: Found | None) -> list[Fault]:
    """Looks at the beginning of a file; reads only."""
    if file is None or file.stat.size == 0:
        return []
    with tempfile.TemporaryDirectory() as folder:
        look = _Look(file, replace(shape, state_dir=Path(folder), block=SAMPLE))
        try:
            return [*look.faults(where)]
        except _UNREADABLE as error:
            return [Fault(where, f"{file.name}: {error}", look.remedy(_MEND))]


class _Look:
    def __init__(self, file: Found, shape: FileShape) -> None:
        self._file, self._shape = file, shape

    def faults(self, where: str) -> Iterator[Fault]:
        content = Content(self._file.place)
        try:
            opened_by(content, self._shape)
        finally:
            content.close()
        chunks = [*self._sample()]
        count = sum(len(chunk) for chunk in chunks)
        bad = [bad for chunk in chunks for bad in chunk.bad]
        if len(bad) * 2 > count:
            problem = f"{self._file.name}: {len(bad)} of the first {count} records cannot be read; the first: {bad[0].reason}"
            yield Fault(where, problem, self.remedy(_MEND))
            return
        rows = pa.concat_tables([chunk.rows for chunk in chunks]) if chunks else self._shape.schema.arrow.empty_table()
        for name, spelling in self._shape.spellings.items():
            yield from self._spelling_faults(f"{where}.columns.{name}", spelling, rows[name].combine_chunks().drop_null())
        yield from self._key_faults(where, rows)

    def _key_faults(self, where: str, rows: pa.Table) -> Iterator[Fault]:
        """A correction may stand below what it corrects; where most rows are lost so, the key is not one."""
        key = list(self._shape.schema.key)
        apart, different = (len(rows.group_by(names).aggregate([])) for names in (key, rows.column_names))
        if apart * 2 < different:
            problem = f"{self._file.name}: the key {', '.join(key)} tells {apart} of the first {different} rows apart"
            yield Fault(where, problem, "of rows with one key the last counts: declare a key that rows do not share")

    def _spelling_faults(self, where: str, spelling: Spelling, texts: pa.Array) -> Iterator[Fault]:
        others = texts.filter(pc.invert(spelling.written(texts)))
        if len(others) * 2 > len(texts):
            problem = (
                f"{self._file.name}: {len(others)} of {len(texts)} values are not written so, such as {others[0].as_py()!r}"
            )
            yield Fault(
                where, problem, self.remedy("say how they are written, or nothing where they are as staging casts them")
            )

    def _sample(self) -> Iterator[Chunk]:
        """The first records, as they are written."""
        columns = {name: FileColumn(field=said.field) for name, said in self._shape.settings.columns.items()}
        plain = replace(self._shape, settings=self._shape.settings.model_copy(update={"columns": columns}))
        content = Content(self._file.place)
        found = 0
        try:
            for chunk in Reading(plain, _Peeked(content), self._file.name).chunks():
                head, _ = chunk.split(_RECORDS - found)
                yield head
                found += len(head)
                if found >= _RECORDS:
                    return
        finally:
            content.close()

    def remedy(self, usual: str) -> str:
        """What to do; with what the file seems to be, where that can be seen."""
        found = self._proposal()
        if found is None:
            return usual
        names = ", ".join(guess.field for guess in found.columns)
        seems = "\n".join(f"      {line}" for line in found.lines()) or "      # no setting but the defaults"
        return f"{usual}\n    the file seems to be, with the columns {names}:\n{seems}"

    def _proposal(self) -> Proposal | None:
        try:
            content = Content(self._file.place)
        except _UNREADABLE:
            return None
        try:
            data = content.read(SAMPLE)
            if data.startswith(b"PAR1"):
                content.close()
                content = Content(self._file.place)
                return propose_parquet(content.seekable(self._shape.state_dir, self._shape.settings.max_unpacked_bytes))
            return propose(data, self._file.name)
        except _UNREADABLE:
            return None
        finally:
            content.close()


class _Peeked:
    """A file that is looked at: nothing of it is copied for a letter."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self.read, self.packed = content.read, content.packed

    def raw(self) -> Iterator[bytes]:
        return iter(())

    def seekable(self, folder: Path, most: int) -> BinaryIO:
        return self._content.seekable(folder, most)
