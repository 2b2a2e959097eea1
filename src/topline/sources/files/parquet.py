"""Parquet: row groups read in pieces, every value as its exact text. `_line` is the number of the row in the file."""

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq

from topline.errors import TransientError
from topline.sources.files.arrowtext import as_text, is_text
from topline.sources.files.coding import Seekable
from topline.sources.files.header import places_of
from topline.sources.files.lines import Mask
from topline.sources.files.record import Bad, Parsed, WholeFile
from topline.sources.files.shape import FileShape

_PIECE_BYTES, _PIECE_ROWS = 16 << 20, 1 << 16
_BUFFER = 1 << 20


class ParquetRows:
    """Iterate `pieces()`; `end` is the number of the row after the last."""

    def __init__(self, shape: FileShape, source: Seekable, line: int = 1) -> None:
        self._shape, self._source = shape, source
        self.end = line

    def pieces(self) -> Iterator[Parsed]:
        """WholeFile where it is no Parquet file, is broken, or lacks a column."""
        try:
            file = pq.ParquetFile(
                self._source.seekable(self._shape.state_dir, self._shape.settings.max_unpacked_bytes),
                buffer_size=_BUFFER,
                pre_buffer=False,
                page_checksum_verification=True,  # where the writer left checksums
                coerce_int96_timestamp_unit="us",
            )
            names = self._names(file.schema_arrow)
            _require_counted(file.metadata)
            for batch in file.iter_batches(_rows_a_piece(file.metadata), columns=[*names.values()], use_threads=False):
                yield self._parsed(batch, names)
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise TransientError(f"cannot read on: {error.strerror}") from error
            raise WholeFile(f"not readable as Parquet after row {self.end - 1}: {_first_line(error)}") from None

    def rest(self) -> Iterator[Parsed]:
        """Pieces are whole."""
        return iter(())

    def _names(self, schema: pa.Schema) -> dict[str, str]:
        try:
            places = places_of(schema.names, self._shape)
        except ValueError as error:
            raise WholeFile(str(error).replace("the header", "the file")) from None
        return {column: schema.names[place] for column, place in places.items()}

    def _parsed(self, batch: pa.RecordBatch, names: dict[str, str]) -> Parsed:
        columns = {column: as_text(batch.column(name)) for column, name in names.items()}
        rows = pa.table(columns, schema=pa.schema([(column, pa.string()) for column in columns]))
        faults = self._faults(rows)
        lines = np.arange(self.end, self.end + len(rows), dtype=np.int64)
        self.end += len(rows)
        bad = [Bad(int(lines[place]), self._as_json(rows, place), reason) for place, reason in sorted(faults.items())]
        kept = np.ones(len(rows), dtype=bool)
        kept[list(faults)] = False
        typed: dict[str, Mask] = {
            column: np.ones(int(kept.sum()), dtype=bool)
            for column, name in names.items()
            if not is_text(batch.schema.field(name).type)
        }
        return Parsed(rows.filter(pa.array(kept)) if faults else rows, lines[kept], tuple(bad), 0, 0, typed)

    def _faults(self, rows: pa.Table) -> dict[int, str]:
        """Rows, by place, that are none."""
        faults: dict[int, str] = {}
        for column in rows.column_names:
            for place in _places(pc.match_substring(rows[column], "\0")):
                faults.setdefault(place, f"a NUL character in {column}; text cannot hold one")
        for column in self._shape.key:
            if rows[column].null_count:
                for place in _places(pc.is_null(rows[column])):
                    faults.setdefault(place, f"no key: {column} is null")
        return faults

    def _as_json(self, rows: pa.Table, place: int) -> bytes:
        """A row has no bytes of its own in a Parquet file: its letter is a JSON object of its texts, by the file's names."""
        (row,) = rows.slice(place, 1).to_pylist()
        return json.dumps({self._shape.field_of(name): value for name, value in row.items()}, ensure_ascii=False).encode()


def _require_counted(metadata: pq.FileMetaData) -> None:
    """ValueError where the numbers of rows that the footer tells do not agree: Arrow would read fewer in silence.

    Only row groups are asked: Arrow ends the process where it is asked for a broken column of one."""
    told = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    if min(told, default=0) < 0 or sum(told) != metadata.num_rows:
        raise ValueError(f"the footer tells {metadata.num_rows} rows, its row groups {told}")


def _rows_a_piece(metadata: pq.FileMetaData) -> int:
    size: int = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(_PIECE_ROWS, _PIECE_BYTES * max(1, rows) // max(1, size)))


def _places(mask: pa.ChunkedArray) -> list[int]:
    places: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return places


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:300]
