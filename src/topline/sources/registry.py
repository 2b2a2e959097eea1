"""Which kinds of sources there are, and the sources of a project made from its settings.

A kind is a package that exports `Settings` and `create(context, settings)`; it is imported when a project names it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from topline.config import CONFIG_FILE, Project, Settings
from topline.errors import ConfigError
from topline.schema import TableSchema
from topline.sources.base import Context, Source
from topline.sources.secrets import plain_secrets, secret_names

KINDS: Mapping[str, str] = {
    "files": "topline.sources.files",
    "postgres": "topline.sources.postgres",
    "soap": "topline.sources.soap",
    "rest": "topline.sources.rest",
    "push": "topline.sources.push",
    "sql": "topline.sources.sql",
}

Embedded = Callable[[str, str], str]
"""(setting, NAME) -> the DSN or address of a server that Topline starts itself."""
_EMBEDDED = frozenset({"dsn", "wsdl"})


@dataclass(frozen=True, slots=True)
class Kind:
    """`settings` declares what topline.yml may say; `create` makes a source of it, or raises ConfigError (a fault a line)."""

    name: str
    settings: type[Settings]
    create: Callable[[Context, Any], Source]


def kind(name: str) -> Kind:
    """The kind called `name`, a key of KINDS."""
    module = import_module(KINDS[name])
    return Kind(name, module.Settings, module.create)


def settings_of(name: str) -> type[Settings]:
    """What topline.yml may say of a source of this kind, with descriptions."""
    return kind(name).settings


def build(project: Project, tables: Mapping[str, TableSchema], embedded: Embedded) -> list[Source]:
    """The project's sources, in the order of topline.yml.

    tables    what the models declare, by full name (`shop.orders`); each source gets its own, by short name
    embedded  where the server runs that a setting's `embedded:NAME` stands for (`topline.live.start.Databases.embedded`)

    ConfigError lists every fault of every source, with file and line.
    """
    built = [_Build(project, name, tables, embedded) for name in project.config.sources]
    sources = [source for build in built if (source := build.source()) is not None]
    faults = [*_unconfigured(project, tables), *(fault for build in built for fault in build.faults)]
    if faults:
        raise ConfigError("\n".join(faults))
    return sources


def _unconfigured(project: Project, tables: Mapping[str, TableSchema]) -> Iterator[str]:
    for source in sorted({name.partition(".")[0] for name in tables} - project.config.sources.keys()):
        names = ", ".join(sorted(name for name in tables if name.startswith(f"{source}.")))
        yield (
            f"{_where(project, 'sources')}: sources: the models declare {names}, but no source {source!r} is configured; "
            f"add `{source}:` with its `kind`"
        )


class _Build:
    """One source in the making, and the faults found on the way."""

    def __init__(self, project: Project, name: str, tables: Mapping[str, TableSchema], embedded: Embedded) -> None:
        self._project, self._name, self._embedded = project, name, embedded
        self._raw = project.config.sources[name]
        self._tables = {full.partition(".")[2]: schema for full, schema in tables.items() if full.startswith(f"{name}.")}
        self.faults: list[str] = []

    def source(self) -> Source | None:
        """The source; None where there are faults."""
        chosen = self._kind()
        if not self._tables:
            self._fault("", "the models declare no table of this source; declare one in their sources, or remove the source")
        settings = self._settings(chosen) if chosen else None
        if chosen is None or settings is None or self.faults:
            return None
        context = Context(self._name, self._tables, self._project.root, self._project.state_dir)
        try:
            return chosen.create(context, settings)
        except ConfigError as error:
            for line in str(error).splitlines():
                place, colon, text = line.partition(": ")
                self._fault(*((place, text) if colon and " " not in place else ("", line)))
        return None

    def _kind(self) -> Kind | None:
        name = self._raw.get("kind")
        if name in KINDS:
            return kind(str(name))
        shown = "`kind` is missing" if name is None else f"unknown kind {name!r}"
        self._fault("kind", f"{shown}; allowed: {', '.join(sorted(KINDS))}")
        return None

    def _settings(self, chosen: Kind) -> Settings | None:
        """Validated as written, so that a fault can show the value; then again with secrets, which no fault may show."""
        written = self._validate(chosen, self._raw, shown=True)
        if written is None:
            return None
        for place, text in plain_secrets(written):
            if text not in self._project.environment.values():
                self._fault(place, "a secret in plain text; write ${env:NAME} or ${file:/path} in its place")
        resolved = self._resolve(self._raw, "")
        return None if self.faults else self._validate(chosen, resolved, shown=False)

    def _validate(self, chosen: Kind, values: Any, *, shown: bool) -> Settings | None:
        try:
            return chosen.settings.model_validate(values)
        except ValidationError as error:
            for item in error.errors():
                place = ".".join(str(part) for part in item["loc"])
                value = f" (found {item['input']!r})" if shown and self._may_show(chosen, dict(item)) else ""
                self._fault(place, f"{item['msg'].removeprefix('Value error, ')}{value}")
        return None

    def _may_show(self, chosen: Kind, item: Mapping[str, Any]) -> bool:
        """A value by itself helps; a whole mapping may hold a secret, as the value of a secret's setting does."""
        plain = not isinstance(item["input"], dict | list)
        secret = bool(secret_names(chosen.settings) & {str(part) for part in item["loc"]})
        return plain and not secret and item["type"] not in {"missing", "extra_forbidden"}

    def _resolve(self, node: Any, place: str) -> Any:
        """References to secrets replaced everywhere, `embedded:` servers by running ones."""
        if isinstance(node, dict):
            return {key: self._resolve(value, f"{place}.{key}" if place else str(key)) for key, value in node.items()}
        if isinstance(node, list):
            return [self._resolve(value, place) for value in node]
        if not isinstance(node, str):
            return node
        try:
            text = self._project.secret(node)
        except ConfigError as error:
            self._fault(place, str(error))
            return node
        embedded = place in _EMBEDDED and text.startswith("embedded:")
        return self._embedded(place, text.removeprefix("embedded:")) if embedded else text

    def _fault(self, place: str, text: str) -> None:
        name = f"sources.{self._name}.{place}" if place else f"sources.{self._name}"
        self.faults.append(f"{_where(self._project, name)}: {name}: {text}")


def _where(project: Project, name: str) -> str:
    """File and line of a setting, or of the nearest one above it that is written down."""
    path = project.root / CONFIG_FILE
    while name and name not in project.lines:
        name = name.rpartition(".")[0]
    return f"{path}:{project.lines[name]}" if name else str(path)
