"""The partitions of a table, as far as keys go: the log names a row by the identity of the partition that holds it, and what
an index of the whole table asks of its partitions, the server does not make of them by itself."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from topline.sources.base import Fault
from topline.sources.postgres.tables import Target, quote

_SHOWN = 20  # statements in one remedy

# Of each lowest partition the indexes that may tell rows apart; one row without an index where it has none.
PARTITIONS = """
SELECT format('%%I.%%I', n.nspname, c.relname) AS partition, c.relreplident::text AS identity, x.relname AS index,
       k.conname AS constraint, i.indisprimary AS primary, i.indisreplident AS chosen,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])) AS columns
FROM pg_partition_tree(%s::int8::oid) t JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
LEFT JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN pg_constraint k ON k.conindid = x.oid AND k.conrelid = c.oid
WHERE t.isleaf AND t.level > 0 ORDER BY 1, 3
"""
PARTED_BY = """
SELECT DISTINCT coalesce(a.attname::text, '') AS name
FROM pg_partition_tree(%s::int8::oid) t JOIN pg_partitioned_table p ON p.partrelid = t.relid
CROSS JOIN unnest(p.partattrs) AS k(number)
LEFT JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = k.number AND k.number > 0 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class PartitionIndex:
    """`partition` is quoted. `constraint`: what made the index, where it was one; `index` None: the partition has none."""

    partition: str
    identity: str
    index: str | None
    constraint: str | None
    primary: bool | None
    chosen: bool | None
    columns: frozenset[str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "PartitionIndex":
        return cls(**{**row, "columns": frozenset(row["columns"] or ())})

    @property
    def identifies(self) -> bool:
        """The log names this partition's rows by its columns."""
        return bool(self.primary if self.identity == "d" else self.chosen and self.identity == "i")


def key_faults(
    where: str, target: Target, parted_by: Iterable[str], indexes: Iterable[PartitionIndex], unique: bool
) -> Iterator[Fault]:
    """`unique`: whether an index of the whole table has the declared key."""
    key = list(target.schema.key)
    if lacking := [name for name in parted_by if name not in key]:
        yield _unkeyable(where, key, lacking)
        return
    partitions: dict[str, list[PartitionIndex]] = {}
    for index in indexes:
        partitions.setdefault(index.partition, []).append(index)
    if not unique:
        names = ", ".join(map(quote, key))
        statements = [*_drops(frozenset(key), partitions), f"ALTER TABLE {target.quoted} ADD PRIMARY KEY ({names});"]
        yield Fault(where, f"it has no key: no unique index on ({names}) over all partitions", " ".join(statements))
        return
    if statements := list(_identities(frozenset(key), partitions)):
        more = f" and so on, {len(statements)} in all" if len(statements) > _SHOWN else ""
        problem = "partitions do not tell their rows apart by the declared key"
        yield Fault(where, problem, " ".join(statements[:_SHOWN]) + more)


def _unkeyable(where: str, key: list[str], lacking: list[str]) -> Fault:
    if not all(lacking):
        problem = "it is partitioned by an expression: no unique index can span its partitions"
        return Fault(where, problem, "declare its partitions as tables of their own")
    problem = (
        f"the declared key lacks {', '.join(lacking)}, by which it is partitioned: no unique index can span its partitions"
    )
    return Fault(where, problem, f"declare the key [{', '.join([*key, *lacking])}]")


def _drops(key: frozenset[str], partitions: Mapping[str, list[PartitionIndex]]) -> Iterator[str]:
    """A primary key of a partition's own, with other columns, stands in the way of one for all."""
    for partition, indexes in partitions.items():
        for index in indexes:
            if index.primary and index.columns != key and index.constraint:
                yield f"ALTER TABLE {partition} DROP CONSTRAINT {quote(index.constraint)};"


def _identities(key: frozenset[str], partitions: Mapping[str, list[PartitionIndex]]) -> Iterator[str]:
    for partition, indexes in partitions.items():
        if indexes[0].identity == "f" or any(index.identifies and index.columns == key for index in indexes):
            continue
        fitting = [index for index in indexes if index.columns == key and index.index]
        if any(index.primary for index in fitting):
            yield f"ALTER TABLE {partition} REPLICA IDENTITY DEFAULT;"
        elif fitting:
            yield f"ALTER TABLE {partition} REPLICA IDENTITY USING INDEX {quote(fitting[0].index or '')};"
        else:
            yield f"ALTER TABLE {partition} REPLICA IDENTITY FULL;"
