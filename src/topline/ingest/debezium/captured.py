"""What one database's connector has of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from topline.kafka.settings import KafkaSettings
from topline.schema import TableSchema


@dataclass(frozen=True, slots=True)
class Origin:
    """A source that is to be captured. `tables`: what its models declare, by short name; `root`: the project's folder."""

    source: str
    tables: Mapping[str, TableSchema]
    cluster: KafkaSettings
    root: Path


@dataclass(frozen=True, slots=True)
class Captured:
    """By short name of a table: `places`, what stands in its topic's name behind the source's; `patterns`, one that fits the
    table's name and no other; `keys`, its key's columns. `config`: settings of this kind of connector; `leaves`: what stays
    behind where it is removed, in words."""

    config: Mapping[str, str]
    places: Mapping[str, tuple[str, ...]]
    patterns: Mapping[str, str]
    keys: Mapping[str, tuple[str, ...]]
    leaves: str


def pattern(*name: str) -> str:
    """Of a name with its schema: Java's regular expression that fits it alone."""
    return "\\.".join(_exactly(part) for part in name)


def _exactly(name: str) -> str:
    return "".join(one if one.isalnum() or one == "_" else f"\\{one}" for one in name)
