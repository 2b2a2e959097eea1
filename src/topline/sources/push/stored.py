"""How the rows of a request lie in the inbox: Arrow IPC with the columns of the day, an op and a place in the request a row.

They are cast when they are accepted, so that the sender hears of what is wrong. Columns that the models declare otherwise by
the time of reading are cast anew.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from topline.changes import Ints, Ops
from topline.schema import TableSchema
from topline.sources.values import table_of, text

_PLAIN, _PACKED = pa.ipc.IpcWriteOptions(), pa.ipc.IpcWriteOptions(compression="lz4")
_WORTH_PACKING = 1 << 16  # bytes
_META = 2  # columns after the table's own: op, place


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one request. `places`: of each row in the request's body, from 0; records that are letters take places too."""

    table: pa.Table
    ops: Ops
    places: Ints

    def __len__(self) -> int:
        return len(self.ops)


def encode(rows: Rows) -> bytes:
    names = [*rows.table.column_names, "~op", "~place"]
    stored = pa.table([*rows.table.columns, pa.array(rows.ops), pa.array(rows.places)], names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, stored.schema, options=_PACKED if stored.nbytes > _WORTH_PACKING else _PLAIN) as writer:
        writer.write_table(stored)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def decode(data: bytes) -> Rows:
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        stored = reader.read_all()
    width = stored.num_columns - _META
    ops, places = (np.asarray(stored.column(width + i).to_numpy()) for i in range(_META))
    return Rows(stored.select(list(range(width))), ops.astype(np.int8), places.astype(np.int64))


Unfit = list[tuple[int, bytes, str]]


def fitted(rows: Rows, schema: TableSchema | None, zone: ZoneInfo) -> tuple[Rows, Unfit]:
    """The rows in the columns that are declared now, and (place, row as JSON, reason) of those that no longer are rows of it.

    `schema` is None where the table is not declared any more.
    """
    if schema is None:
        reason = "the models no longer declare this table"
        return _taken(rows, []), [(int(place), raw, reason) for place, raw in zip(rows.places, _as_json(rows), strict=True)]
    if rows.table.schema.equals(schema.arrow):
        return rows, []
    table, kept, refused = table_of(schema, rows.table.to_pylist(), zone)
    raws = _as_json(_taken(rows, [place for place, _ in refused]))
    unfit = [(int(rows.places[place]), raw, reason) for (place, reason), raw in zip(refused, raws, strict=True)]
    return Rows(table, rows.ops[kept], rows.places[kept]), unfit


def _taken(rows: Rows, chosen: Sequence[int]) -> Rows:
    where = np.asarray(chosen, dtype=np.int64)
    return Rows(rows.table.take(pa.array(where)), rows.ops[where], rows.places[where])


def _as_json(rows: Rows) -> list[bytes]:
    """Each row as the sender could have written it."""
    found = []
    for values, op in zip(rows.table.to_pylist(), rows.ops.tolist(), strict=True):
        texts = {name: None if value is None else text(value) for name, value in values.items()}
        found.append(json.dumps(texts | ({"_deleted": True} if op else {}), ensure_ascii=False).encode())
    return found
