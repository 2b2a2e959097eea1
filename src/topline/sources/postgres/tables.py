"""The declared tables with their places in the source database."""

from collections.abc import Mapping
from dataclasses import dataclass

from topline.errors import ConfigError
from topline.schema import TableSchema
from topline.sources.postgres.settings import Settings


@dataclass(frozen=True, slots=True)
class Target:
    """One table to replicate: its short name, declared schema, and place (`namespace`.`relation`) at the source."""

    name: str
    schema: TableSchema
    namespace: str
    relation: str

    @property
    def quoted(self) -> str:
        return f"{quote(self.namespace)}.{quote(self.relation)}"


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def targets(source: str, declared: Mapping[str, TableSchema], settings: Settings) -> dict[str, Target]:
    """Every declared table by its short name. ConfigError for a place given to a table that is not declared."""
    places = _places(settings.tables)
    strangers = sorted(set(places) - set(declared))
    if strangers:
        raise ConfigError(
            f"sources.{source}.tables: {', '.join(strangers)} not declared in the models' sources YAML; "
            f"declared are: {', '.join(sorted(declared)) or 'none'}"
        )
    return {name: _target(name, schema, places.get(name, name)) for name, schema in declared.items()}


def _places(tables: dict[str, str] | list[str]) -> dict[str, str]:
    return tables if isinstance(tables, dict) else {place.rpartition(".")[2]: place for place in tables}


def _target(name: str, schema: TableSchema, place: str) -> Target:
    namespace, _, relation = place.rpartition(".")
    return Target(name, schema, namespace or "public", relation)
