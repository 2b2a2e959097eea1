"""Reading the log's tables: current rows, rows as of an epoch, changes since an epoch. From any process, beside the engine."""

import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from topline.changes import DELETE, UPSERT, TableChanges
from topline.errors import StateError
from topline.log import pins
from topline.log.books import Books
from topline.log.codec import decode_changes
from topline.log.contents import META, Contents, Relations, chunks, load_records, load_segments, quoted
from topline.log.database import FILE, SEGMENTS, Database, verify
from topline.log.entry import LoggedBatch, StoredLetter
from topline.log.pins import Pin
from topline.schema import TableSchema

_SNAPSHOT_META = META[:4]
_META_TYPES = {"_partition": pa.string(), "_deleted": pa.bool_()}


class LogReader(Books):
    """A log that some engine writes, perhaps right now. Takes no lock; pins what it reads."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._folder = database.path.parent
        self._duck: duckdb.DuckDBPyConnection | None = None
        self._making = threading.Lock()

    @classmethod
    def open(cls, state_dir: Path, project: str) -> "LogReader":
        """StateError when there is no log yet, or it is damaged, newer, or another project's."""
        if not (state_dir / FILE).is_file():
            raise StateError(f"there is no log in {state_dir}: `topline run` makes it")
        database = Database(state_dir / FILE)
        try:
            verify(database, project)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        if self._duck is not None:
            self._duck.close()
        self._database.close()

    def __enter__(self) -> "LogReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def pin(self, epoch: int | None = None) -> Iterator[Pin]:
        """Keep every epoch from `epoch` (None: the oldest readable one) on readable meanwhile.

        To read what another system names (the results' epoch): pin first, then ask for its epoch; it cannot be older.
        """
        pin = pins.take(self._database, epoch)
        try:
            yield pin
        finally:
            pin.release()

    def snapshot(self, table: str, epoch: int | None = None) -> Iterator[pa.Table]:
        """The rows of `table` as of `epoch` (None: the last complete one), in chunks, in no order.

        The table's columns in its logged schema, then `_partition`, `_hi`, `_lo`, `_epoch` of the change that wrote the row.
        """
        schema = self.schemas().get(table)
        if schema is None:
            return
        with self.pin(epoch) as pin, self._duckdb() as connection:
            contents = self._contents(table, self.complete_epoch if epoch is None else max(epoch, pin.epoch))
            sql = Relations(connection, schema, contents).rows("NOT _deleted")
            names = ", ".join(map(quoted, [*schema.names, *_SNAPSHOT_META]))
            yield from chunks(connection, f"SELECT {names} FROM ({sql})", _with_meta(schema, _SNAPSHOT_META))

    def connect_duckdb(self, tables: Mapping[str, TableSchema], epoch: int) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection with a view `"source.table"` of each of `tables`, as of `epoch`.

        Rows from before a column was declared have NULL there. The epoch stays pinned as long as the connection lives.
        """
        pin = pins.take(self._database, epoch)
        connection = connect(self._folder)
        weakref.finalize(connection, pin.release)
        for name, schema in tables.items():
            sql = Relations(connection, schema, self._contents(name, epoch)).rows("NOT _deleted")
            names = ", ".join(map(quoted, schema.names))
            connection.execute(f"CREATE VIEW {quoted(name)} AS SELECT {names} FROM ({sql})")
        return connection

    def journey(self, table: str, keys: pa.Table) -> pa.Table:
        """The current rows with these keys (the key columns), with `_partition`, `_hi`, `_lo`, `_epoch` of the change that
        wrote each, and `_time`, when the log took it (UTC)."""
        found = self._last_changes(table, keys, "NOT _deleted")
        time = found.column("_time").cast(pa.timestamp("us", tz="UTC"))
        return found.drop_columns(["_time", "_deleted"]).append_column("_time", time)

    def later_change(self, letter: StoredLetter, keys: pa.Table) -> bool:
        """Whether `later_changes` has any of these keys."""
        return len(self.later_changes(letter, keys)) > 0

    def later_changes(self, letter: StoredLetter, keys: pa.Table) -> pa.Table:
        """Those of `keys` that were changed after the dead letter: its replay, rows of `letter.table`, must not undo that.

        Within one epoch the order of partitions is not kept: another partition's change counts as later.
        """
        found = self._last_changes(letter.table, keys, "true")
        later = [_is_later(letter, last) for last in found.select(["_epoch", "_partition", "_hi", "_lo"]).to_pylist()]
        return found.select(keys.column_names).filter(pa.array(later, pa.bool_()))

    def _last_changes(self, table: str, keys: pa.Table, where: str) -> pa.Table:
        schema = self.schemas().get(table)
        if schema is None:
            raise StateError(f"the log knows no table {table}; it has {', '.join(sorted(self.schemas())) or 'none'}")
        shape = pa.schema([(name, schema.type_of(name).arrow) for name in schema.key])
        with self.pin(), self._duckdb() as connection:
            connection.register("~keys", keys.select(list(schema.key)).cast(shape))
            contents = self._contents(table, self.complete_epoch)
            sql = Relations(connection, schema, contents, keys=quoted("~keys")).rows(where)
            shape = _with_meta(schema, (*META, "_deleted"))
            return pa.concat_tables([shape.empty_table(), *chunks(connection, sql, shape)])

    def read(self, after_epoch: int) -> Iterator[LoggedBatch]:
        """Everything after `after_epoch`, in order, to bring a state that was saved at that epoch up to date.

        What is folded comes first, as one batch with the last change of each key since. StateError when deletes since then
        may be gone (`set(CHECKPOINT, epoch)` keeps them): the state must be built from `snapshot`.
        """
        with self.pin() as pin:
            if after_epoch < pin.epoch:
                yield self._folded(after_epoch, pin.epoch)
            with self._database.read() as connection:
                sql = "SELECT epoch, complete FROM commits WHERE epoch > ? ORDER BY epoch"
                commits = connection.execute(sql, (max(after_epoch, pin.epoch),)).fetchall()
            for epoch, complete in commits:
                yield LoggedBatch(epoch, self._changes_of(epoch), bool(complete))

    def _changes_of(self, epoch: int) -> tuple[TableChanges, ...]:
        with self._database.read() as connection:
            sql = "SELECT table_name, partition, data FROM batches WHERE epoch = ? ORDER BY seq"
            rows = connection.execute(sql, (epoch,)).fetchall()
        return tuple(decode_changes(*row) for row in rows)

    def _folded(self, after_epoch: int, epoch: int) -> LoggedBatch:
        purged = int(self._meta("purged") or 0)
        if 0 < after_epoch < purged:
            raise StateError(f"deletes after epoch {after_epoch} were folded away (up to {purged}): build the state anew")
        where = f"_epoch > {after_epoch}" if after_epoch else "NOT _deleted"
        changes: list[TableChanges] = []
        with self._duckdb() as connection:
            for name, schema in self.schemas().items():
                sql = Relations(connection, schema, self._contents(name, epoch)).rows(where)
                shape = _with_meta(schema, (*META, "_deleted"))
                for chunk in chunks(connection, f"SELECT * FROM ({sql}) ORDER BY _partition, _hi, _lo", shape):
                    changes.extend(_split(schema, chunk))
        return LoggedBatch(epoch, tuple(changes), True)

    def _contents(self, table: str, epoch: int) -> Contents:
        with self._database.read() as connection:
            oldest = pins.floor(connection)
            segments = load_segments(connection, self._folder / SEGMENTS, table)
            return Contents(table, segments, load_records(connection, table, oldest, epoch))

    @contextmanager
    def _duckdb(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one read. They share one DuckDB: to make one takes longer than to read a small table."""
        with self._making:
            if self._duck is None:
                self._duck = connect(self._folder)
        connection = self._duck.cursor()
        try:
            yield connection
        except duckdb.Error as error:
            raise unreadable(self._folder, error) from error
        finally:
            connection.close()


def _is_later(letter: StoredLetter, last: Mapping[str, Any]) -> bool:
    if last["_epoch"] != letter.epoch or last["_partition"] != letter.partition:
        return bool(last["_epoch"] >= letter.epoch)
    return (last["_hi"], last["_lo"]) > letter.position


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that spills into the state folder."""
    settings = {"preserve_insertion_order": "false", "enable_external_file_cache": "false"}
    connection = duckdb.connect(config={"temp_directory": str(folder / "tmp"), **settings})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def unreadable(folder: Path, error: duckdb.Error) -> StateError:
    return StateError(
        f"cannot read the log's tables in {folder / SEGMENTS}: {error}. Where a file is missing or damaged, restore the state "
        "folder from a backup, or move it away and run again: tables are then copied anew from their sources"
    )


def _with_meta(schema: TableSchema, meta: tuple[str, ...]) -> pa.Schema:
    return pa.schema([*schema.arrow, *((name, _META_TYPES.get(name, pa.int64())) for name in meta)])


def _split(schema: TableSchema, chunk: pa.Table) -> Iterator[TableChanges]:
    """A chunk sorted by partition, as one TableChanges a partition."""
    partitions = chunk.column("_partition").combine_chunks().dictionary_encode()
    codes = partitions.indices.to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(codes)], strict=True):
        rows = chunk.slice(start, end - start)
        deleted = rows.column("_deleted").to_numpy()
        yield TableChanges(
            table=schema.name,
            partition=partitions[start].as_py(),
            rows=rows.select(list(schema.names)),
            ops=np.where(deleted, DELETE, UPSERT).astype(np.int8),
            hi=rows.column("_hi").to_numpy(),
            lo=rows.column("_lo").to_numpy(),
        )
