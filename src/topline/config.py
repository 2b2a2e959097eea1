"""topline.yml: its frame, declared once. Flag > environment (TOPLINE_*) > .env > topline.yml > default.

Each kind of source declares its own settings in its folder (`topline.sources.registry`); here they are plain mappings.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo, available_timezones

import yaml
from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from topline.errors import ConfigError

CONFIG_FILE = "topline.yml"
PREFIX = "TOPLINE_"
_NO_SETTING = frozenset({"TOPLINE_PROJECT_DIR"})
_REFERENCE = re.compile(r"\$\{(env|file):([^}]+)\}")
_PASSWORD = re.compile(r"(?<=://)[^/@:\s]*:(?!\$\{)[^@\s]+@|\b(?:ssl)?password\s*=\s*(?!\$\{)\S+", re.IGNORECASE)


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is not an IANA time zone; write one such as Europe/Rome")
    return value


ZoneName = Annotated[str, AfterValidator(_known_zone)]


class Settings(BaseModel):
    """Base of every settings class: unknown names are errors, and each field carries its description."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResultsSettings(Settings):
    dsn: str = Field(
        "embedded:topline",
        description="Results database: `embedded:NAME` (PostgreSQL that Topline starts itself) or a PostgreSQL DSN. "
        "A password comes by reference: `${env:NAME}` or `${file:/path}`.",
    )
    schema_: str = Field("topline", alias="schema", description="Schema of the result tables. One engine writes it.")
    replicas: tuple[str, ...] = Field(
        (),
        description="DSNs of read replicas of that database: the API asks them in turn, and the database itself where they do "
        "not answer or lag behind what was shown.",
    )
    swap_fraction: float = Field(
        0.3,
        gt=0,
        le=1,
        description="From this share of changed rows on, a table is filled beside the old one and swapped.",
    )


class EngineSettings(Settings):
    batch_rows: int = Field(100_000, ge=1, le=1_000_000, description="Most changes in one batch, when the queue is long.")
    publish_interval_ms: int = Field(
        500,
        ge=0,
        description="In a backlog, publish no more often than this, nor for more than a fifth of the time; else at once.",
    )
    compact_after_rows: int = Field(
        1_000_000,
        ge=1000,
        description="Changes in the log before they are folded into a segment; a batch counts as 100 more, for to read many "
        "small ones takes long.",
    )
    checkpoint_share: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="Share of the time that saving the state for a fast restart may take; 0: at the end only.",
    )


class ApiSettings(Settings):
    host: Literal["127.0.0.1", "::1"] = Field("127.0.0.1", description="Address that the API binds: loopback only.")
    port: int = Field(8787, ge=0, le=65535, description="Port of the API. 0 takes a free one.")


class Config(Settings):
    project: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the project: lower case, digits, underscore.")
    time_zone: ZoneName = Field("UTC", description="Business time zone (IANA name): a sale's date is its date there.")
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$", description="The one currency; a sale in another is rejected.")
    models: str = Field(".", description="Folder of the dbt project, relative to this file.")
    state: str = Field(".topline", description="Folder of log, checkpoints and the embedded PostgreSQL, relative to this file.")
    vars: dict[str, str | int | bool] = Field(default_factory=dict, description="Variables of the models (`var`), over dbt's.")
    results: ResultsSettings = Field(default_factory=lambda: ResultsSettings(), description="Where rankings are published.")
    engine: EngineSettings = Field(default_factory=lambda: EngineSettings(), description="How the live engine works.")
    api: ApiSettings = Field(default_factory=lambda: ApiSettings(), description="The REST API.")
    kafka: dict[str, Any] = Field(default_factory=dict, description="The Kafka cluster, for what runs on it.")
    spark: dict[str, Any] = Field(default_factory=dict, description="Apache Spark, for `topline run --engine spark`.")
    flink: dict[str, Any] = Field(default_factory=dict, description="The Flink cluster, for the models as a Flink SQL job.")
    sources: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Name -> settings of a source; `kind` says which (see docs/sources/)."
    )


class Project:
    """A loaded topline.yml: `config`, and the folders that it names, absolute."""

    def __init__(self, root: Path, config: Config, lines: Mapping[str, int], environment: Mapping[str, str]) -> None:
        self.root = root
        self.config = config
        self.lines = lines
        self.environment = environment

    @property
    def state_dir(self) -> Path:
        return (self.root / self.config.state).resolve()

    @property
    def models_dir(self) -> Path:
        return (self.root / self.config.models).resolve()

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.config.time_zone)

    def secret(self, text: str) -> str:
        """`text` with `${env:NAME}` and `${file:/path}` replaced. ConfigError names a reference that leads nowhere.

        Inside a DSN the value is written as its form wants it, whatever characters the secret has.
        """
        return _REFERENCE.sub(lambda match: _written(self._dereference(match[1], match[2]), text, match.start()), text)

    def _dereference(self, kind: str, name: str) -> str:
        if kind == "env":
            if name not in self.environment:
                raise ConfigError(
                    f"environment variable {name} is not set, but {CONFIG_FILE} refers to it: set it, or write it to .env"
                )
            return self.environment[name]
        path = self.root / name
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"cannot read the secret file {path}: {error.strerror}") from None


def _written(value: str, text: str, start: int) -> str:
    """In a URI reserved characters as %XX (RFC 3986); in libpq's `name=value` pairs in single quotes; else as it is."""
    if "://" in text:
        return quote(value, safe="")
    if text[:start].endswith("="):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return value


def load_project(root: Path, flags: Mapping[str, Any] | None = None) -> Project:
    """The project in `root`. `flags` (dotted name -> value) win over everything. ConfigError lists every fault, with lines."""
    path = root / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}. `topline init DIR` makes a project; --project names its folder"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from None
    document, lines = _parse(path, text)
    places = {name: f"{path}:{line}" for name, line in lines.items()}
    environment = _override(document, places, root, flags or {})
    faults = list(_plain_passwords(document, places, path))
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        faults = [_fault(path, places, dict(item)) for item in error.errors()] + faults
    if faults:
        raise ConfigError("\n".join(faults))
    return Project(root.resolve(), config, lines, environment)


def _override(document: dict[str, Any], places: dict[str, str], root: Path, flags: Mapping[str, Any]) -> dict[str, str]:
    """What wins over topline.yml, set in `document` from the weakest to the strongest. The environment with `.env` in it."""
    dotenv = {name: value for name, value in _dotenv(root / ".env").items() if value is not None}
    layers = (
        *((str(root / ".env"), name, value) for name, value in dotenv.items()),
        *(("environment", name, value) for name, value in os.environ.items()),
    )
    for where, variable, value in layers:
        if _is_setting(variable):
            name = variable.removeprefix(PREFIX).lower().replace("__", ".")
            hidden = f"${{env:{variable}}}" if _PASSWORD.search(value) else _scalar(value)
            _set(document, places, name, hidden, f"{where}: {variable}")
    for name, value in flags.items():
        _set(document, places, name, value, "--set")
    return {**dotenv, **os.environ}


def _dotenv(path: Path) -> dict[str, str | None]:
    try:
        return dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None


def _is_setting(variable: str) -> bool:
    """TOPLINE_TIME_ZONE -> time_zone; TOPLINE_RESULTS__DSN -> results.dsn."""
    return variable.startswith(PREFIX) and variable not in _NO_SETTING and not variable.startswith("TOPLINE_TEST_")


def _scalar(text: str) -> Any:
    """A variable's value as YAML would read it: a number, a boolean, a text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _set(document: dict[str, Any], places: dict[str, str], name: str, value: Any, place: str) -> None:
    *path, last = name.split(".")
    for part in path:
        below = document.get(part)
        document[part] = document = below if isinstance(below, dict) else {}
    document[last] = value
    places[name] = place


def _parse(path: Path, text: str) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: a mapping is expected at the top, such as `project: sales`")
    lines: dict[str, int] = {}
    if node is not None:
        _note_lines(node, "", lines)
    return document, lines


def _note_lines(node: yaml.Node, prefix: str, lines: dict[str, int]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}.{key.value}" if prefix else str(key.value)
        lines[name] = key.start_mark.line + 1
        _note_lines(value, name, lines)


def _plain_passwords(node: Any, places: Mapping[str, str], path: Path, name: str = "") -> list[str]:
    if isinstance(node, dict):
        return [f for k, v in node.items() for f in _plain_passwords(v, places, path, f"{name}.{k}" if name else str(k))]
    if isinstance(node, list):
        return [fault for item in node for fault in _plain_passwords(item, places, path, name)]
    if isinstance(node, str) and _PASSWORD.search(node):
        where = places.get(name, str(path))
        return [f"{where}: {name}: a password in plain text; write ${{env:NAME}} or ${{file:/path}} in its place"]
    return []


def _fault(path: Path, places: Mapping[str, str], error: Mapping[str, Any]) -> str:
    """A fault of pydantic in our words: where, which setting, what is wrong, the value (but no password), what is allowed."""
    loc = [str(part) for part in error["loc"]]
    name = ".".join(loc)
    nearest = next((n for n in (name, name.rpartition(".")[0]) if n in places), "")
    where = places.get(nearest, str(path))
    if error["type"] == "extra_forbidden":
        return f"{where}: {name}: there is no such setting; {_allowed(loc)}"
    shown = "" if error["type"] == "missing" else f" (found {_PASSWORD.sub('...', repr(error['input']))})"
    return f"{where}: {name}: {error['msg'].removeprefix('Value error, ')}{shown}"


def _allowed(loc: list[str]) -> str:
    """The settings beside an unknown one, or the one that was probably meant."""
    level: Any = Config
    for part in loc[:-1]:
        level = next((f.annotation for n, f in level.model_fields.items() if (f.alias or n) == part), Config)
    names = [field.alias or name for name, field in level.model_fields.items()]
    close = get_close_matches(loc[-1], names, 1)
    return f"perhaps {'.'.join([*loc[:-1], *close])} was meant" if close else f"allowed here: {', '.join(names)}"
