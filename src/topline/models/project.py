"""Reads a dbt project from disk: its models, macros, declared tables and unit tests. Nothing is rendered or parsed here."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from topline.errors import ModelError
from topline.models.faults import ModelErrors, line_of_text
from topline.models.prose import doc_blocks, prose
from topline.schema import RESERVED, Column, TableSchema, Type

_TYPES: dict[Type, str] = {
    # numeric and float columns travel as their exact decimal text; staging casts them once (try_decimal)
    Type.TEXT: "text varchar string char character bpchar citext uuid json jsonb bytea "
    "numeric decimal float float4 float8 double real double_precision character_varying",
    Type.BIGINT: "bigint int integer smallint int2 int4 int8",
    Type.DATE: "date",
    Type.TIMESTAMP: "timestamp datetime timestamp_without_time_zone",
    Type.TIMESTAMPTZ: "timestamptz timestamp_with_time_zone",
    Type.BOOLEAN: "boolean bool",
}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is built in
TYPE_OF = {name: kind for kind, names in _TYPES.items() for name in names.split()}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One SQL file and what the YAML says of it. `path` is relative to the project."""

    name: str
    path: str
    sql: str
    description: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DbtProject:
    """A dbt project as it lies on disk. `unit_tests` pairs each YAML file's path with one raw entry."""

    root: Path
    name: str
    vars: Mapping[str, object]
    models: Mapping[str, ModelFile]
    tables: Mapping[str, TableSchema]
    macros: tuple[tuple[str, str], ...]
    unit_tests: tuple[tuple[str, Mapping[str, Any]], ...]


def read_project(root: Path) -> DbtProject:
    """The dbt project in `root`. ModelErrors lists every fault of its YAML and files."""
    faults: list[ModelError] = []
    settings = _yaml(root, root / "dbt_project.yml", faults)
    documents = [(path, _checked(root, path, faults)) for path in _files(root / "models" / "live", "yml", "yaml")]
    _describe(root, documents, faults)
    models = _models(root, documents, faults)
    tables = dict(_tables(root, documents, faults))
    macros = tuple((_name(root, path), _text(path)) for folder in _macro_folders(root, settings, faults) for path in folder)
    tests = tuple((_name(root, path), entry) for path, document in documents for entry in document.get("unit_tests") or [])
    if not models and not faults:
        faults.append(ModelError("no model: models/live holds no .sql file", path=str(root)))
    if faults:
        raise ModelErrors(faults)
    return DbtProject(root, str(settings.get("name", root.name)), settings.get("vars") or {}, models, tables, macros, tests)


def _macro_folders(root: Path, settings: Mapping[str, Any], faults: list[ModelError]) -> Iterator[list[Path]]:
    """The files of each of dbt's `macro-paths`: folders of the project, or, as ../../sales/macros, another one's."""
    folders = settings.get("macro-paths") or ["macros"]
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        faults.append(_setting_fault(root, f"macro-paths is a list of folders, such as [macros]; found {folders!r}"))
        return
    for folder in folders:
        if folder != "macros" and not (root / folder).is_dir():
            faults.append(_setting_fault(root, f"macro-paths names {folder!r}, and {root / folder} is no folder"))
        yield _files(root / folder, "sql")


def _setting_fault(root: Path, message: str) -> ModelError:
    path = root / "dbt_project.yml"
    return ModelError(message, path=path.name, line=line_of_text(_text(path), "macro-paths:"))


def _files(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(path for suffix in suffixes for path in folder.rglob(f"*.{suffix}"))


def _name(root: Path, path: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()  # macro-paths may lead out of the project


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"cannot read it: {error.strerror}", path=str(path)) from None
    except UnicodeDecodeError as error:
        raise ModelError(f"not UTF-8 text (byte {error.start})", path=str(path)) from None


def _yaml(root: Path, path: Path, faults: list[ModelError]) -> dict[str, Any]:
    try:
        document = yaml.load(_text(path), Loader=_LOADER) or {}
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        faults.append(ModelError(f"not valid YAML: {error}", path=_name(root, path), line=line))
        return {}
    except ModelError as error:
        faults.append(error)
        return {}
    if not isinstance(document, dict):
        faults.append(ModelError("a mapping is expected at the top, such as `models:`", path=_name(root, path), line=1))
        return {}
    return document


def _checked(root: Path, path: Path, faults: list[ModelError]) -> dict[str, Any]:
    """The document, or nothing where its lists are not in dbt's form (each entry a mapping with a name)."""
    document = _yaml(root, path, faults)
    nameless = next((kind for kind in ("models", "sources", "unit_tests") if not _named(document.get(kind))), None)
    if nameless is None:
        return document
    line = line_of_text(_text(path), f"{nameless}:")
    message = f"`{nameless}:` is a list of mappings, each with a `name:`; so are its tables and columns"
    faults.append(ModelError(message, path=_name(root, path), line=line))
    return {}


def _named(entries: Any) -> bool:
    if entries is None:
        return True
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        return False
    return all(_named(entry.get("columns")) and _named(entry.get("tables")) for entry in entries)


def _describe(root: Path, documents: list[tuple[Path, dict[str, Any]]], faults: list[ModelError]) -> None:
    """Put each description of a model and its columns as people read it."""
    blocks: dict[str, str] = {}
    for path in _files(root / "models", "md"):
        blocks.update(doc_blocks(_text(path)))
    for path, document in documents:
        for model in document.get("models") or []:
            for entry in [model, *(model.get("columns") or [])]:
                written = str(entry.get("description") or "")
                try:
                    entry["description"] = prose(written, blocks)
                except ModelError as error:
                    entry["description"] = ""
                    faults.append(ModelError(str(error), path=_name(root, path), line=line_of_text(_text(path), written)))


def _models(root: Path, documents: list[tuple[Path, dict[str, Any]]], faults: list[ModelError]) -> dict[str, ModelFile]:
    notes = {entry["name"]: (path, entry) for path, document in documents for entry in document.get("models") or []}
    models: dict[str, ModelFile] = {}
    for path in _files(root / "models" / "live", "sql"):
        if path.stem in models:
            faults.append(ModelError(f"a second model {path.stem!r}: names are unique", path=_name(root, path), line=1))
        models[path.stem] = _model(root, path, notes.pop(path.stem, (path, {}))[1])
    for name, (path, _) in notes.items():
        line = line_of_text(_text(path), name)
        faults.append(ModelError(f"model {name!r} is described, but there is no {name}.sql", path=_name(root, path), line=line))
    return models


def _model(root: Path, path: Path, entry: Mapping[str, Any]) -> ModelFile:
    columns = {c["name"]: c["description"] for c in entry.get("columns") or []}
    return ModelFile(path.stem, _name(root, path), _text(path), entry.get("description", ""), columns, _meta(entry))


def _meta(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**(entry.get("meta") or {}), **((entry.get("config") or {}).get("meta") or {})}


def _tables(
    root: Path, documents: list[tuple[Path, dict[str, Any]]], faults: list[ModelError]
) -> Iterator[tuple[str, TableSchema]]:
    for path, document in documents:
        for source in document.get("sources") or []:
            for table in source.get("tables") or []:
                name = f"{source['name']}.{table['name']}"
                try:
                    yield name, _table(name, table)
                except ModelError as error:
                    line = line_of_text(_text(path), f"name: {table['name']}")
                    faults.append(ModelError(str(error), path=_name(root, path), line=line))


def _table(name: str, entry: Mapping[str, Any]) -> TableSchema:
    columns = tuple(Column(c["name"], _type(name, c)) for c in entry.get("columns") or [])
    key = key_of(f"table {name}", _meta(entry))
    if not columns:
        raise ModelError(f"table {name}: no columns are declared; list each as `- name:` with its `data_type:`")
    if not key:
        raise ModelError(f"table {name}: no key is declared; write `config: {{meta: {{key: [{columns[0].name}]}}}}`")
    _require_own_names(name, columns)
    if strangers := [part for part in key if part not in {column.name for column in columns}]:
        raise ModelError(f"table {name}: the key names {', '.join(strangers)}, which is not among its columns")
    return TableSchema(name, columns, key)


def key_of(what: str, meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The declared key, () where there is none. ModelError where it is no list of names."""
    key = meta.get("key") or []
    if not isinstance(key, list) or not all(isinstance(part, str) for part in key):
        raise ModelError(f"{what}: the key is {key!r}; allowed is a list of columns: `config: {{meta: {{key: [a, b]}}}}`")
    return tuple(key)


def _require_own_names(table: str, columns: Sequence[Column]) -> None:
    """The log keeps columns of its own beside a table's, in DuckDB, which takes no notice of upper and lower case."""
    seen: dict[str, str] = {}
    for name in (column.name for column in columns):
        if name.lower() in RESERVED:
            raise ModelError(f"table {table}: a column cannot be called {name}; {', '.join(RESERVED)} are Topline's own names")
        if name.lower() in seen:
            raise ModelError(
                f"table {table}: the columns {seen[name.lower()]} and {name} differ only in upper and lower case, or not at all"
            )
        seen[name.lower()] = name


def _type(table: str, column: Mapping[str, Any]) -> Type:
    written = str(column.get("data_type", "")).strip().lower()
    plain = re.sub(r"\(.*?\)", "", written).strip().replace(" ", "_")
    if plain not in TYPE_OF:
        raise ModelError(
            f"table {table}: column {column['name']} has data_type {written!r}; allowed: {', '.join(sorted(TYPE_OF))}"
        )
    return TYPE_OF[plain]
