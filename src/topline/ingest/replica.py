"""A table as its topic has it, for what cannot be said of a change alone: which rows a partition still owns, and which value a
change leaves as it was. It is read when that is first asked, and kept up to date from there."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import DELETE, Sweep, TableChanges
from topline.errors import SourceHalted
from topline.kafka.client import Client, Message
from topline.kafka.envelope import ORIGIN
from topline.kafka.events import Format, Rows, Wanted
from topline.kafka.topics import partitions_of
from topline.kafka.whole import whole
from topline.live.interner import Interner
from topline.live.tables import Table
from topline.schema import TableSchema
from topline.sources.kafka.rows import bound

_UTC = ZoneInfo("UTC")


class Replica:
    """One table. `whole`: with all columns; else it knows keys and their owners only."""

    def __init__(self, schema: TableSchema, *, whole: bool) -> None:
        columns = tuple(column for column in schema.columns if whole or column.name in schema.key)
        self.schema = TableSchema(schema.name, columns, schema.key)
        self.whole = len(columns) == len(schema.columns)
        self._table = Table(self.schema, Interner())

    def __len__(self) -> int:
        return len(self._table)

    def apply(self, changes: TableChanges) -> TableChanges:
        """Take them in; gives them with the values that they leave out. SourceHalted where the row is not there."""
        narrow = changes.rows.select(list(self.schema.names))
        unchanged = changes.unchanged if len(self.schema.columns) == changes.rows.num_columns else None
        run = self._table.encode([replace(changes, rows=narrow, unchanged=unchanged)])
        self._table.require_held(run, [])
        [filled] = self._table.apply(run)[0]
        return changes if unchanged is None else filled

    def load(self, parts: Sequence[TableChanges]) -> None:
        """Take in what lacks nothing."""
        if parts:
            self._table.apply(self._table.encode(parts))

    def sweep(self, sweep: Sweep, schema: TableSchema) -> TableChanges:
        """Its deletions, in the columns of `schema`."""
        deleted = self._table.sweep(sweep)[0]
        arrays = [
            deleted.rows.column(column.name) if column.name in schema.key else pa.nulls(len(deleted), column.type.arrow)
            for column in schema.columns
        ]
        return replace(deleted, rows=pa.Table.from_arrays(arrays, schema=schema.arrow))


def read(client: Client, topic: str, format_: Format, replica: Replica, timeout: float) -> None:
    """Bring the topic, as it is committed, into the replica. SourceHalted for a record that cannot be read: whose row it is,
    nobody knows. TransientError where the brokers do not answer."""
    wanted = Wanted(replica.schema.names, replica.schema.key, ORIGIN)
    for messages in whole(client, topic, partitions_of(client.admin(), topic, timeout), timeout):
        _take(messages, format_, wanted, replica)


def _take(messages: Sequence[Message], format_: Format, wanted: Wanted, replica: Replica) -> None:
    events = format_.read([message.key() for message in messages], [message.value() for message in messages], wanted)
    if events.faults:
        place, reason = min(events.faults.items())
        at = messages[place]
        raise SourceHalted(
            f"{at.topic()}[{at.partition()}] has a record at offset {at.offset()} that Topline did not write: {reason}; which "
            "rows are gone cannot be told: take it away, or have the table under another name"
        )
    parts = [_changes(rows, replica.schema) for rows in events.rows]
    replica.load(_in_order([one for one in parts if len(one[1])]))


Placed = tuple[npt.NDArray[np.int64], TableChanges]
"""Places among the records, and what stood there."""


def _changes(rows: Rows, schema: TableSchema) -> Placed:
    """Each row with its owner beside it."""
    made = bound(rows, schema, _UTC)
    count, known = len(made), made.table.column_names
    arrays = [made.table.column(c.name) if c.name in known else pa.nulls(count, c.type.arrow) for c in schema.columns]
    full = pa.Table.from_arrays(arrays, schema=schema.arrow)
    owners = rows.source.get("partition", pa.nulls(count, pa.string())).cast(pa.string())
    numbers = (rows.source.get(name, pa.nulls(count, pa.int64())) for name in ORIGIN[1:])
    hi, lo = (pc.fill_null(values.cast(pa.int64()), 0).to_numpy(zero_copy_only=False) for values in numbers)
    owned = full.append_column("_owner", pc.fill_null(owners, ""))
    return made.places, TableChanges(schema.name, "", owned, made.ops, hi, lo)


def _in_order(parts: Sequence[Placed]) -> list[TableChanges]:
    """The changes in the order of their records, one part for each stretch of one owner."""
    if not parts:
        return []
    places = np.concatenate([at for at, _ in parts])
    order = np.argsort(places, kind="stable")
    rows = pa.concat_tables([part.rows for _, part in parts]).take(pa.array(order)).combine_chunks()
    ops, hi, lo = (np.concatenate([getattr(part, name) for _, part in parts])[order] for name in ("ops", "hi", "lo"))
    owners = rows.column("_owner").to_pylist()
    cuts = [0, *(n for n in range(1, len(owners)) if owners[n] != owners[n - 1] and ops[n] != DELETE), len(owners)]
    plain = rows.drop_columns(["_owner"])
    return [
        TableChanges(parts[0][1].table, owners[a], plain.slice(a, b - a), ops[a:b], hi[a:b], lo[a:b]) for a, b in pairwise(cuts)
    ]
