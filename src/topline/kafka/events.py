"""The Debezium change event, whatever it is written in: what is read of it, and how the records of a topic are told apart.

Source: Debezium 3.7, "PostgreSQL connector: data change events". `before` is not read: a key's last record is its row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Mask = npt.NDArray[np.bool_]
UPSERTS, DELETES = ("c", "u", "r"), ("d",)
UNAVAILABLE = "__debezium_unavailable_value"
"""What stands for a value that TOAST left out of the stream (Debezium's `unavailable.value.placeholder`)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The columns to read of a row, and those of its key, by their names in the topic; `source`: of what it says of its source,
    as texts or whole numbers."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    source: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """Values as they were written, one array. `meaning`: what kind of text they are (Connect's name of the schema), or ''."""

    values: pa.Array
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Records written in one schema.

    places   where each stands among the records asked for, ascending
    deleted  the row is gone: of the key's columns only, as the record's key has them; else its new values
    columns  name -> its values; a column that the schema lacks, or has as no simple type, is not there
    times    when it was committed at its source, in milliseconds since 1970, 0 where nobody said
    source   what is wanted of the source, where the schema has it; of rows that are there
    """

    places: npt.NDArray[np.int64]
    deleted: Mask
    columns: dict[str, Column]
    times: npt.NDArray[np.int64]
    source: dict[str, pa.Array] = field(default_factory=dict)

    def only(self, mask: Mask) -> "Rows":
        """Those that `mask` marks, one a record."""
        chosen = pa.array(mask)
        columns = {name: Column(column.values.filter(chosen), column.meaning) for name, column in self.columns.items()}
        source = {name: values.filter(chosen) for name, values in self.source.items()}
        return Rows(self.places[mask], self.deleted[mask], columns, self.times[mask], source)


@dataclass(frozen=True, slots=True)
class Events:
    """`rows`: what can be read, by schema. `faults`: place -> why the record there cannot be."""

    rows: list[Rows] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


class Format(Protocol):
    """A way in which change events are written."""

    def read(self, keys: Sequence[bytes | None], values: Sequence[bytes | None], wanted: Wanted) -> Events:
        """The records of one topic, keys and values side by side; no value: the row is gone (a tombstone).

        TransientError where a schema cannot be had now. Whatever the bytes are, nothing else is raised.
        """

    def close(self) -> None:
        """Let go of connections; may be called twice."""


def faults_of(operations: pa.Array, present: Mask) -> dict[int, str]:
    """Place -> why a change event that can be read says nothing. `operations`: its `op`; `present`: whether it has `after`."""
    ops = operations.to_numpy(zero_copy_only=False)
    upserts, deletes = np.isin(ops, UPSERTS), np.isin(ops, DELETES)
    found = {int(place): "op u or c without its row (after)" for place in np.flatnonzero(upserts & ~present)}
    for place in np.flatnonzero(~upserts & ~deletes):
        found[int(place)] = (
            "no change event: it has no op" if ops[place] is None else f"op {ops[place]!r} is none of c, u, r, d"
        )
    return found
