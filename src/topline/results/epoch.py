"""What the live engine hands to the publisher: an epoch, and for each model its changed rows or all of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import pyarrow as pa

from topline.changes import Position
from topline.schema import TableSchema


class Model(Protocol):
    """What publishing needs to know of a model; `topline.models.plan.ModelPlan` is one."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def schema(self) -> TableSchema: ...
    @property
    def published(self) -> bool: ...
    @property
    def depends_on(self) -> tuple[str, ...]: ...
    @property
    def indexes(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def column_descriptions(self) -> dict[str, str]: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Changed:
    """`keys`: every key that may have changed (the key's columns, distinct or not). `rows`: the rows that these keys have
    now, in the model's columns and types. A key without a row has lost it."""

    keys: pa.Table
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Replace:
    """All rows of a model, in chunks that may be read more than once (no generator: publishing is tried again).

    `dirty`: what changed while the chunks were made; merged on top of them before anybody sees the table.
    """

    chunks: Iterable[pa.Table]
    dirty: Changed | None = None


@dataclass(frozen=True, slots=True)
class Within:
    """The rows of a table of which `column` lies from `first` to `last`."""

    column: str
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Whole:
    """All rows of a model (where `within` is given, all of those), in chunks as above: they are compared with the table, and
    what differs is written."""

    chunks: Iterable[pa.Table]
    within: Within | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    """What becomes visible together.

    number        monotone; publishing a number again changes nothing
    models        model -> its changes; a model that is not named has none
    source_times  source -> time of its newest change in this epoch (UTC)
    positions     source -> partition -> position, for people and for the audit
    held          models that keep their last published epoch (a source of theirs is copying or halted)
    """

    number: int
    models: Mapping[str, Changed | Replace | Whole] = field(default_factory=dict)
    source_times: Mapping[str, datetime | None] = field(default_factory=dict)
    positions: Mapping[str, Mapping[str, Position]] = field(default_factory=dict)
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Opened:
    """What the publisher found in PostgreSQL.

    epoch            the writer's last epoch there (0: none)
    published_epoch  model -> the epoch that its table shows (0: never published)
    must_republish   models whose next publication must be a `Replace`: new, migrated, restored from a backup, taken over
    orphans          tables of models that the project no longer publishes; left as they are
    """

    epoch: int
    published_epoch: Mapping[str, int]
    must_republish: frozenset[str]
    orphans: tuple[str, ...]


def sources_of(model: str, models: Mapping[str, Model], known: Mapping[str, object]) -> set[str]:
    """The sources that `model` reads, through other models too; all that are `known` where a model on the way is not."""
    found: set[str] = set()
    waiting = [model]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in models:
            waiting += models[name].depends_on
        elif "." in name:
            found.add(name.partition(".")[0])
        else:
            return set(known)
    return found & set(known)
