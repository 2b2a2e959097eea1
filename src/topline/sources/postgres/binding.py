"""A declared table bound to what the stream says of it: which of its columns are ours, and which types they have."""

from collections.abc import Mapping
from dataclasses import dataclass

from topline.schema import Column, TableSchema
from topline.sources.postgres.pgoutput import Relation
from topline.sources.postgres.tables import Target
from topline.sources.postgres.types import bears, class_of


@dataclass(frozen=True, slots=True)
class Binding:
    """`schema`: the declared columns that the table has, with its own types where it no longer fits; `places`: where each
    stands in a row of the stream; `types`: their base types' oids; `keys`: the key's places in `schema`."""

    target: Target
    width: int
    schema: TableSchema
    places: tuple[int, ...]
    types: tuple[int, ...]
    keys: tuple[int, ...]

    @property
    def keyed(self) -> bool:
        return len(self.keys) == len(self.target.schema.key)


def bind(target: Target, relation: Relation, bases: Mapping[int, int]) -> Binding:
    """`bases` leads from a domain's oid to its base type's."""
    place = {name: number for number, name in enumerate(relation.columns)}
    kept = [column for column in target.schema.columns if column.name in place]
    places = tuple(place[column.name] for column in kept)
    types = tuple(bases.get(relation.types[number], relation.types[number]) for number in places)
    columns = tuple(_column(column, oid) for column, oid in zip(kept, types, strict=True))
    names = [column.name for column in columns]
    keys = tuple(names.index(name) for name in target.schema.key if name in names)
    schema = TableSchema(target.schema.name, columns, tuple(name for name in target.schema.key if name in names))
    return Binding(target, len(relation.columns), schema, places, types, keys)


def _column(declared: Column, oid: int) -> Column:
    return declared if bears(declared.type, oid) else Column(declared.name, class_of(oid))
