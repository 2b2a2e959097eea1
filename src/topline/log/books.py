"""The books of the log: epochs, positions, memory, schemas, publish marks, held changes. Small reads, each a moment long."""

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa

from topline.changes import Position
from topline.log.codec import decode_changes, decode_schema, decode_sweep, decode_table, from_micros
from topline.log.database import Database
from topline.log.entry import HeldChange
from topline.log.letters import Letters
from topline.log.pins import floor
from topline.schema import TableSchema

CHECKPOINT = "checkpoint_epoch"  # `set` it to the epoch of the saved state: deletes after it stay readable for `read`
_KEPT = "kept:"


class Books:
    """What the log knows beside rows. `letters`: the dead letters."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.letters = Letters(database)

    @property
    def state_id(self) -> str:
        """Random, made once: tells this state from any other."""
        return self._meta("state_id") or ""

    @property
    def epoch(self) -> int:
        """The last committed epoch; 0 in a new log."""
        return self._highest("true")

    @property
    def complete_epoch(self) -> int:
        """The last epoch at which no source's transaction is half in. Readers see this one."""
        return self._highest("complete")

    @property
    def floor(self) -> int:
        """The oldest epoch that a reader can still ask for."""
        with self._database.read() as connection:
            return floor(connection)

    def _highest(self, where: str) -> int:
        with self._database.read() as connection:
            found = connection.execute(f"SELECT max(epoch) FROM commits WHERE {where}").fetchone()[0]
            return max(found or 0, floor(connection))

    def resume(self, source: str) -> tuple[dict[str, Position], dict[str, bytes]]:
        """Where each partition of `source` stands, and what it asked to remember."""
        with self._database.read() as connection:
            memory = connection.execute("SELECT key, value FROM memory WHERE source = ?", (source,)).fetchall()
            positions = connection.execute("SELECT partition, hi, lo FROM positions WHERE source = ?", (source,))
            return {partition: Position(hi, lo) for partition, hi, lo in positions}, dict(memory)

    def positions(self) -> dict[str, dict[str, Position]]:
        found: dict[str, dict[str, Position]] = {}
        with self._database.read() as connection:
            for source, partition, hi, lo in connection.execute("SELECT source, partition, hi, lo FROM positions"):
                found.setdefault(source, {})[partition] = Position(hi, lo)
        return found

    def schemas(self) -> dict[str, TableSchema]:
        """The schema in which each table is logged now."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT table_name, definition FROM schemas").fetchall()
        return {name: decode_schema(name, text) for name, text in rows}

    def source_times(self) -> dict[str, datetime]:
        """When each source's newest logged change was committed there (UTC)."""
        with self._database.read() as connection:
            return {s: from_micros(t) for s, t in connection.execute("SELECT source, time FROM source_times")}

    def get(self, key: str) -> str | None:
        """A value that `Log.set` kept."""
        return self._meta(_KEPT + key)

    def _meta(self, key: str) -> str | None:
        with self._database.read() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0]).decode()

    def published_epochs(self) -> dict[str, int]:
        """Model -> the epoch up to which it was marked as published."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT model, epoch FROM published").fetchall())

    def dirty_after(self, model: str, epoch: int | None = None) -> pa.Table:
        """Distinct keys of `model` that changed after `epoch` (None: its publish mark). None at all: no columns."""
        sql = (
            "SELECT keys FROM dirty WHERE model = :model AND epoch > "
            "coalesce(:epoch, (SELECT epoch FROM published WHERE model = :model), 0) ORDER BY seq"
        )
        with self._database.read() as connection:
            parts = [decode_table(row[0]) for row in connection.execute(sql, {"model": model, "epoch": epoch})]
        if not parts:
            return pa.table({})
        keys = pa.concat_tables(parts)
        return keys.group_by(keys.column_names, use_threads=False).aggregate([])

    def holds(self) -> dict[str, str]:
        """Held table -> why."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT table_name, reason FROM holds").fetchall())

    def held(self, table: str) -> Iterator[HeldChange]:
        """The kept changes of a held table, as they came, in order."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT seq FROM held WHERE table_name = ? ORDER BY seq", (table,)).fetchall()
        return (self._held_change(table, seq) for (seq,) in rows)

    def _held_change(self, table: str, seq: int) -> HeldChange:
        with self._database.read() as connection:
            sql = "SELECT kind, partition, data FROM held WHERE seq = ?"
            kind, partition, data = connection.execute(sql, (seq,)).fetchone()
        return decode_sweep(table, data) if kind == "sweep" else decode_changes(table, partition, data)
