"""What was seen of a source: its tables, and how topline.yml reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from topline.schema import Type


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column as it is to be declared. `number`: it holds numbers, whatever it is declared as."""

    name: str
    type: Type
    number: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key, declared in the database or told by names: `columns` of one table are `referred` of the table `to`."""

    columns: tuple[str, ...]
    to: str
    referred: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundTable:
    """
    name      as it is to be declared
    rows      about how many, where that is known
    settings  lines of topline.yml below its name; of PostgreSQL, its place
    theirs    declared column -> what the source calls it, where the two differ
    """

    name: str
    columns: tuple[FoundColumn, ...]
    key: tuple[str, ...]
    references: tuple[Reference, ...] = ()
    rows: int = 0
    settings: tuple[str, ...] = ()
    theirs: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> FoundColumn:
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True, slots=True)
class Found:
    """
    kind, name  of the source
    settings    lines of topline.yml below the source's name, without `kind` and `tables`
    tables      what can be read
    secrets     variables for .env, to which the settings refer
    notes       what a person should know, for the top of topline.yml and for the terminal
    """

    kind: str
    name: str
    settings: tuple[str, ...]
    tables: tuple[FoundTable, ...]
    secrets: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
