"""The current rows of a published model by key: what publishing reads, and where a broken key is noticed."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from topline.errors import ModelHalted
from topline.live.aggregate import AggregateOperator
from topline.live.arrays import NULL, Array, Arrays, Columns, Ints, group_rows, nest, take, unnest
from topline.live.codec import decode, describe, encode
from topline.live.delta import Delta
from topline.live.interner import Interner
from topline.live.operator import Operator
from topline.live.rowstore import RowStore, narrow
from topline.models.plan import Aggregate
from topline.schema import TableSchema

CHUNK = 65_536  # rows of a chunk of `all_rows`


class Published:
    """Inside, the key's columns come first."""

    def __init__(self, schema: TableSchema, interner: Interner) -> None:
        self.schema = schema
        self._interner = interner
        keys = [schema.names.index(name) for name in schema.key]
        self._order = keys + [place for place in range(len(schema.columns)) if place not in keys]
        self._key = len(keys)
        self._inverse = np.argsort(self._order)
        self._store = RowStore(narrow([schema.columns[place].type for place in self._order]), self._key)
        self.rows_read = 0

    def __len__(self) -> int:
        return len(self._store)

    @property
    def nbytes(self) -> int:
        return self._store.nbytes

    def fold(self, delta: Delta) -> pa.Table:
        """Bring in the model's settled change; gives the keys that it touches. ModelHalted where a key is broken."""
        columns = delta.columns[self._order]
        self._check_nulls(columns)
        lost, gained = np.flatnonzero(delta.weights < 0), np.flatnonzero(delta.weights > 0)
        rows = self._store.find(take(columns[: self._key], lost))
        self.rows_read += len(rows)
        self._store.remove(rows)
        fresh = take(columns, gained)
        self._check_key(fresh, delta.weights[gained])
        self._store.add(fresh)
        return self._touched(columns)

    def _touched(self, columns: Columns) -> pa.Table:
        keys = columns[: self._key]
        keys = take(keys, group_rows(keys).first)
        return decode(keys, [self.schema.columns[place] for place in self._order[: self._key]], self._interner)

    def _check_nulls(self, columns: Columns) -> None:
        for place in range(self._key):
            null = np.flatnonzero(columns[place] == NULL)
            if len(null):
                raise ModelHalted(
                    f"{self.schema.name}: the key column {self.schema.key[place]} is NULL in the row "
                    f"({self._describe(take(columns, null))}); filter such rows out or declare another key"
                )

    def _check_key(self, rows: Columns, weights: Ints) -> None:
        """No key twice among the new rows, nor one that is still held."""
        keys = rows[: self._key]
        held = self._store.find(keys)
        broken = np.flatnonzero(held >= 0)
        if len(broken):
            self._refuse(self._store.take(held[broken]), take(rows, broken))
        groups = group_rows(keys)
        if len(groups) < len(weights):
            other = np.flatnonzero(groups.first[groups.numbers] != np.arange(len(weights)))
            self._refuse(take(rows, groups.first[groups.numbers[other]]), take(rows, other))
        heavy = np.flatnonzero(weights > 1)
        if len(heavy):
            self._refuse(take(rows, heavy), take(rows, heavy))

    def _refuse(self, one: Columns, other: Columns) -> None:
        raise ModelHalted(
            f"{self.schema.name}: two rows have the same key ({', '.join(self.schema.key)}): ({self._describe(one)}) and "
            f"({self._describe(other)}); declare a key that tells them apart, or aggregate them into one row"
        )

    def _describe(self, columns: Columns) -> str:
        return describe(self._outward(columns), self.schema.columns, self._interner)

    def _outward(self, columns: Columns) -> Columns:
        return columns[self._inverse]

    def rows(self, keys: pa.Table) -> pa.Table:
        """The current rows of these keys (columns named as the key's); a key that is not there is absent."""
        columns = [self.schema.columns[place] for place in self._order[: self._key]]
        rows = self._find(encode(keys, columns, self._interner, add=False))
        return self._decode(rows[rows >= 0])

    def all_rows(self) -> Iterator[pa.Table]:
        rows = self._numbers()
        for start in range(0, len(rows), CHUNK):
            yield self._decode(rows[start : start + CHUNK])

    def _decode(self, rows: Ints) -> pa.Table:
        return decode(self._outward(self._columns(rows)), self.schema.columns, self._interner)

    def _find(self, keys: Columns) -> Ints:
        return self._store.find(keys)

    def _numbers(self) -> Ints:
        return self._store.rows()

    def _columns(self, rows: Ints) -> Columns:
        return self._store.take(rows)

    def arrays(self) -> dict[str, Array]:
        return nest(store=self._store)

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, store=self._store)


class PublishedGroups(Published):
    """A model that is an aggregate with its groups as the key: the aggregate's own rows are read, not kept once more."""

    def __init__(self, schema: TableSchema, interner: Interner, aggregate: AggregateOperator) -> None:
        super().__init__(schema, interner)
        self._aggregate = aggregate
        names = [column.name for column in aggregate.node.columns]
        self._places = [names.index(schema.names[place]) for place in self._order]
        self._groups = [schema.key.index(name) for name in names[: self._key]]

    @classmethod
    def fits(cls, schema: TableSchema, operator: Operator) -> bool:
        node = operator.node
        return isinstance(node, Aggregate) and len(schema.key) == len(node.group_by) and set(schema.key) == set(node.group_by)

    def __len__(self) -> int:
        return self._aggregate.state_rows

    def fold(self, delta: Delta) -> pa.Table:
        columns = delta.columns[self._order]
        self._check_nulls(columns)
        return self._touched(columns)

    def _find(self, keys: Columns) -> Ints:
        return self._aggregate.find(keys[self._groups])

    def _numbers(self) -> Ints:
        return self._aggregate.numbers()

    def _columns(self, rows: Ints) -> Columns:
        return self._aggregate.results(rows)[self._places]
