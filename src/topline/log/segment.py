"""How a segment's rows are made and written: by Arrow: a merge takes less than half of the CPU that DuckDB takes for it.

DuckDB only tells which rows of merged segments are outlived: it can spill to the disk, and reads no column but the key.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from topline.log.contents import CHUNK_ROWS, META, Contents, Record, Relations, Segment, decoded, parquet, quoted
from topline.schema import TableSchema

_SAMPLE = 16_384  # rows that show whether a column repeats its values
_REPEATS = 2  # a dictionary is worth its making where each value of the sample comes this often
_WIDE = 64 << 20  # bytes of a sample; texts that large are no dictionary's
_FEW = 1_000  # rows that show nothing
_ROW_BITS = 40
_STEP = "~step"
_ROW = "file_row_number"  # as DuckDB calls it
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a new segment, as they come, and the columns that are written with a dictionary (True: all)."""

    shape: pa.Schema
    tables: Iterable[pa.Table]
    repeating: Sequence[str] | bool


def write(path: Path, rows: Rows, key: Sequence[str]) -> int:
    """Write the rows, and return their number.

    Only the key's and META's columns get statistics: nothing else is searched, and those of texts take as long as the texts.
    """
    count = 0
    with pq.ParquetWriter(
        path,
        rows.shape,
        compression="lz4",
        store_schema=False,
        use_dictionary=rows.repeating,
        write_statistics=[*key, *META],
    ) as writer:
        for table in rows.tables:
            writer.write_table(table, row_group_size=CHUNK_ROWS)
            count += len(table)
    return count


def rows_of(connection: duckdb.DuckDBPyConnection, schema: TableSchema, contents: Contents, purge: int) -> Rows:
    """The last change of each key, but deletes up to epoch `purge`."""
    changes = _last_changes(schema, contents.records)
    alike = all(segment.schema == schema for segment in contents.segments) and _ROW not in map(str.lower, schema.names)
    if changes is None or not alike:
        return _cast(connection, schema, contents, purge)
    if not contents.segments:
        changes = _filtered(changes, _stays(changes, purge))
        return Rows(changes.schema, [changes], _repeating(changes))
    return _merged(connection, schema, contents.segments, changes, purge)


def _cast(connection: duckdb.DuckDBPyConnection, schema: TableSchema, contents: Contents, purge: int) -> Rows:
    """Where some rows have other columns than the table has now: DuckDB casts what it can."""
    sql = Relations(connection, schema, contents).rows(f"NOT _deleted OR _epoch > {purge}")
    reader = connection.sql(sql).to_arrow_reader(CHUNK_ROWS)
    return Rows(reader.schema, (pa.Table.from_batches([batch]) for batch in reader), True)


def _last_changes(schema: TableSchema, records: Sequence[Record]) -> pa.Table | None:
    """The last change of each key in batches, in the columns of `Relations.rows`; None where a batch has other columns."""
    parts = decoded(records)
    own = pa.schema([*schema.arrow, *(field for field in parts[0].schema if field.name in (*META, "_deleted", "_ord"))])
    if len(parts) > 1 or parts[0].schema != own:
        return None
    rows = parts.pop().unify_dictionaries().combine_chunks()
    del parts  # a step is in memory twice at most
    keep = _last(rows.select(list(schema.key)))
    for name in schema.key:  # rows from under another key
        keep &= rows.column(name).is_valid().to_numpy()
    return _filtered(rows.drop_columns(["_ord"]), keep)


def _last(keys: pa.Table) -> Flags:
    """Whether no later row has the same key."""
    names = [f"key {i}" for i in range(keys.num_columns)]
    numbered = pa.table([*keys.columns, pa.array(np.arange(len(keys)))], names=[*names, "row"])
    found = numbered.group_by(names, use_threads=False).aggregate([("row", "max")])
    last = np.zeros(len(keys), np.bool_)
    last[found.column("row_max").to_numpy()] = True
    return last


def _stays(rows: pa.Table, purge: int) -> Flags:
    deleted, epoch = rows.column("_deleted").to_numpy(), rows.column("_epoch").to_numpy()
    stays: Flags = ~deleted | (epoch > purge)
    return stays


def _filtered(rows: pa.Table, keep: Flags) -> pa.Table:
    return rows if keep.all() else rows.filter(pa.array(keep))


def _merged(
    connection: duckdb.DuckDBPyConnection, schema: TableSchema, segments: Sequence[Segment], changes: pa.Table, purge: int
) -> Rows:
    """Segments oldest first, and changes that are newer; each has a key once. One row group is in memory at a time."""
    connection.register(_STEP, changes.select(list(schema.key)).append_column(_ROW, pa.array(np.arange(len(changes)))))
    last = _last_of_each(connection, schema, segments, len(changes))
    sample = changes if len(changes) > segments[0].rows else _head(segments[0].path)
    repeating = _repeating(sample)
    plain = pa.schema([("_partition", pa.string()) if f.name == "_partition" else f for f in changes.schema])
    texts = [name for name in repeating if plain.field(name).type == pa.string()]
    shape = pa.schema([(f.name, _DICTIONARY if f.name in texts else f.type) for f in plain])

    def tables() -> Iterator[pa.Table]:
        for segment, flags in zip(segments, last, strict=False):
            for rows in _row_groups(segment.path, texts, shape, flags):
                yield _filtered(rows, _stays(rows, purge))
        newest = changes.filter(pa.array(last[-1] & _stays(changes, purge)))
        yield newest.cast(shape)

    return Rows(shape, tables(), repeating)


def _last_of_each(
    connection: duckdb.DuckDBPyConnection, schema: TableSchema, segments: Sequence[Segment], pending: int
) -> list[Flags]:
    """For each segment, then the step: whether no newer one has the row's key."""
    flags = [np.zeros(pq.read_metadata(segment.path).num_rows, np.bool_) for segment in segments]
    flags.append(np.zeros(pending, np.bool_))
    places = [*(parquet(segment.path, ", file_row_number = true") for segment in segments), quoted(_STEP)]
    names = [f'"key {i}"' for i in range(len(schema.key))]
    key = ", ".join(f"{quoted(column)} AS {name}" for column, name in zip(schema.key, names, strict=True))
    rows = (f"SELECT {key}, {i << _ROW_BITS} + {_ROW} AS place FROM {one}" for i, one in enumerate(places))
    sql = f"SELECT max(place)::BIGINT FROM ({' UNION ALL '.join(rows)}) GROUP BY {', '.join(names)}"
    for batch in connection.sql(sql).to_arrow_reader(CHUNK_ROWS):
        place = batch.column(0).to_numpy()
        for i, one in enumerate(flags):
            one[place[place >> _ROW_BITS == i] & ((1 << _ROW_BITS) - 1)] = True
    return flags


def _row_groups(path: Path, texts: Sequence[str], shape: pa.Schema, keep: Flags) -> Iterator[pa.Table]:
    """Texts that repeat stay in dictionaries on the way from file to file."""
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        first = 0
        for number in range(file.num_row_groups):
            rows = file.read_row_group(number, use_threads=False)
            yield _filtered(rows, keep[first : first + len(rows)]).select(shape.names).cast(shape)
            first += len(rows)


def _head(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(_SAMPLE, use_threads=False)
        return pa.Table.from_batches([*itertools.islice(batches, 1)], file.schema_arrow)


def _repeating(table: pa.Table) -> list[str]:
    sample = table.slice(0, _SAMPLE)
    if len(sample) < _FEW:
        return list(table.column_names)
    return [name for name in table.column_names if _repeats(sample.column(name))]


def _repeats(sample: pa.ChunkedArray) -> bool:
    return sample.nbytes <= _WIDE and _REPEATS * _distinct(sample) <= len(sample)


def _distinct(column: pa.ChunkedArray) -> int:
    return len(column.unique()) if pa.types.is_dictionary(column.type) else int(pc.count_distinct(column, mode="all").as_py())
