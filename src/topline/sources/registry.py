"""Which kinds of sources there are, and the sources of a project made from its settings.

A kind is a package that exports `Settings` and `create(context, settings)`; it is imported when a project names it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from topline.config import Project, Settings
from topline.errors import ConfigError
from topline.kafka.settings import KafkaSettings, kafka_settings
from topline.schema import TableSchema
from topline.section import Section, where
from topline.sources.base import Context, Source
from topline.sources.route import Route, Routed, behind_kafka, by_kind

KINDS: Mapping[str, str] = {
    "files": "topline.sources.files",
    "postgres": "topline.sources.postgres",
    "soap": "topline.sources.soap",
    "rest": "topline.sources.rest",
    "push": "topline.sources.push",
    "sql": "topline.sources.sql",
    "kafka": "topline.sources.kafka",
}

Embedded = Callable[[str, str], str]
"""(setting, NAME) -> the DSN or address of a server that Topline starts itself."""
Made = TypeVar("Made")
_EMBEDDED = frozenset({"dsn", "wsdl"})


@dataclass(frozen=True, slots=True)
class Kind:
    """`settings` declares what topline.yml may say; `create` makes a source of it, or raises ConfigError (a fault a line);
    `route` says how its tables travel through Kafka."""

    name: str
    settings: type[Settings]
    create: Callable[[Context, Any], Source]
    route: Callable[[Context, Any], Route]


def kind(name: str) -> Kind:
    """The kind called `name`, a key of KINDS."""
    module = import_module(KINDS[name])
    return Kind(name, module.Settings, module.create, getattr(module, "route", _route))


def _route(context: Context, settings: Any) -> Route:
    return by_kind(context, settings.kind)


def settings_of(name: str) -> type[Settings]:
    """What topline.yml may say of a source of this kind, with descriptions."""
    return kind(name).settings


def build(project: Project, tables: Mapping[str, TableSchema], embedded: Embedded) -> list[Source]:
    """The project's sources, in the order of topline.yml.

    tables    what the models declare, by full name (`shop.orders`); each source gets its own, by short name
    embedded  where the server runs that a setting's `embedded:NAME` stands for (`topline.live.start.Databases.embedded`)

    ConfigError lists every fault of every source, with file and line.
    """
    built = _builds(project, tables, embedded)
    sources = [source for build in built if (source := build.source()) is not None]
    _require_none([*_unconfigured(project, tables), *(fault for build in built for fault in build.faults)])
    return sources


@dataclass(frozen=True, slots=True)
class Ingested:
    """A source that `topline ingest` brings to Kafka, read at its origin. `tables`: what its models declare, by short name;
    `topics`: those that its tables have there."""

    kind: str
    source: Source
    tables: Mapping[str, TableSchema]
    topics: Mapping[str, str]


def build_ingested(project: Project, tables: Mapping[str, TableSchema], embedded: Embedded) -> list[Ingested]:
    """Those with `from: kafka` that nobody else brings there; else as `build`."""
    built = _builds(project, tables, embedded)
    found = [one for build in built if (one := build.ingested()) is not None]
    _require_none([fault for build in built for fault in build.faults])
    return found


def _builds(project: Project, tables: Mapping[str, TableSchema], embedded: Embedded) -> "list[_Build]":
    cluster = kafka_settings(project) if project.config.kafka else None
    return [_Build(project, name, tables, embedded, cluster) for name in project.config.sources]


def _require_none(faults: list[str]) -> None:
    if faults:
        raise ConfigError("\n".join(faults))


def _unconfigured(project: Project, tables: Mapping[str, TableSchema]) -> Iterator[str]:
    for source in sorted({name.partition(".")[0] for name in tables} - project.config.sources.keys()):
        names = ", ".join(sorted(name for name in tables if name.startswith(f"{source}.")))
        yield (
            f"{where(project, 'sources')}: sources: the models declare {names}, but no source {source!r} is configured; "
            f"add `{source}:` with its `kind`"
        )


def section_of(project: Project, name: str, embedded: Embedded) -> Section:
    """What topline.yml says of a source."""

    def replaced(place: str, text: str) -> str:
        is_embedded = place in _EMBEDDED and text.startswith("embedded:")
        return embedded(place, text.removeprefix("embedded:")) if is_embedded else text

    return Section(project, f"sources.{name}", project.config.sources[name], replaced)


class _Build:
    """One source in the making, and the faults found on the way."""

    def __init__(
        self,
        project: Project,
        name: str,
        tables: Mapping[str, TableSchema],
        embedded: Embedded,
        cluster: KafkaSettings | None,
    ) -> None:
        self._project, self._name, self._cluster = project, name, cluster
        self._raw = project.config.sources[name]
        self._section = section_of(project, name, embedded)
        self._tables = {full.partition(".")[2]: schema for full, schema in tables.items() if full.startswith(f"{name}.")}

    @property
    def faults(self) -> list[str]:
        return self._section.faults

    def source(self) -> Source | None:
        """As the engine reads it; None where there are faults."""

        def make(kind: Kind, context: Context, settings: Any) -> Source:
            return behind_kafka(context, kind.route(context, settings)) if _routed(settings) else kind.create(context, settings)

        return self._made(make)

    def ingested(self) -> Ingested | None:
        """None where there are faults, or where `topline ingest` has nothing to do with it."""

        def make(kind: Kind, context: Context, settings: Any) -> Ingested | None:
            if not _routed(settings) or not (route := kind.route(context, settings)).ours:
                return None
            return Ingested(kind.name, kind.create(context, settings), self._tables, route.topics(context))

        return self._made(make)

    def _made(self, make: Callable[[Kind, Context, Any], Made]) -> Made | None:
        chosen = self._kind()
        if not self._tables:
            self._section.fault(
                "", "the models declare no table of this source; declare one in their sources, or remove the source"
            )
        settings = self._section.settings(chosen.settings) if chosen else None
        if chosen is None or settings is None or self.faults:
            return None
        context = Context(self._name, self._tables, self._project.root, self._project.state_dir, self._cluster)
        try:
            return make(chosen, context, settings)
        except ConfigError as error:
            for line in str(error).splitlines():
                place, colon, text = line.partition(": ")
                self._section.fault(*((place, text) if colon and " " not in place else ("", line)))
        return None

    def _kind(self) -> Kind | None:
        name = self._raw.get("kind")
        if name in KINDS:
            return kind(str(name))
        shown = "`kind` is missing" if name is None else f"unknown kind {name!r}"
        self._section.fault("kind", f"{shown}; allowed: {', '.join(sorted(KINDS))}")
        return None


def _routed(settings: Any) -> bool:
    return isinstance(settings, Routed) and settings.from_ == "kafka"
