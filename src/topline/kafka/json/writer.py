"""Change events in JSON without schemas."""

from collections.abc import Iterable

import duckdb
import numpy as np
import pyarrow as pa

from topline.changes import DELETE, TableChanges
from topline.kafka.envelope import Origin, Records, spelt, with_tombstones
from topline.kafka.json.text import literal
from topline.schema import TableSchema


class JsonWriter:
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:", config={"threads": 1})

    def close(self) -> None:
        self._connection.close()

    def records(self, topic: str, schema: TableSchema, changes: TableChanges, origin: Origin) -> Records:  # noqa: ARG002
        deleted = changes.ops == DELETE
        names = [f"c{number}" for number in range(len(schema.columns))]
        columns = {n: spelt(changes.rows.column(c.name), c.type) for n, c in zip(names, schema.columns, strict=True)}
        places = {"place": pa.array(np.arange(len(changes))), "hi": pa.array(changes.hi), "lo": pa.array(changes.lo)}
        self._connection.register("changes", pa.table({**columns, **places, "gone": pa.array(deleted)}))
        try:
            found: pa.Table = self._connection.sql(_query(schema, changes, origin)).to_arrow_table()
        finally:
            self._connection.unregister("changes")
        keys, values = (found.column(number).cast(pa.binary()).to_pylist() for number in range(2))
        return with_tombstones(keys, values, np.flatnonzero(deleted).tolist())


def _query(schema: TableSchema, changes: TableChanges, origin: Origin) -> str:
    columns = {column.name: f"c{number}" for number, column in enumerate(schema.columns)}
    key = _object((name, columns[name]) for name in schema.key)
    after = f"CASE WHEN gone THEN NULL ELSE {_object(columns.items())} END"
    said = {"connector": origin.connector, "name": origin.name, "table": changes.table, "partition": changes.partition}
    fixed = {name: literal(text) for name, text in said.items()}
    source = _object([*fixed.items(), ("ts_ms", str(origin.time)), ("hi", "hi"), ("lo", "lo")])
    operation = f"CASE WHEN gone THEN 'd' ELSE '{'r' if origin.copying else 'u'}' END"
    event = {"before": "NULL", "after": after, "source": source, "op": operation, "ts_ms": str(origin.time)}
    return f"SELECT {key}, {_object(event.items())} FROM changes ORDER BY place"


def _object(members: Iterable[tuple[str, str]]) -> str:
    return f"json_object({', '.join(f'{literal(name)}, {value}' for name, value in members)})"
