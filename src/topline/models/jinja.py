"""Renders a model's Jinja as dbt would, for one dialect. Relations become one quoted name: "model", "source.table"."""

import functools
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Literal, NoReturn

from jinja2 import Environment, StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes

from topline.errors import ModelError
from topline.models.faults import line_of_text
from topline.models.project import DbtProject, ModelFile

Dialect = Literal["duckdb", "postgres"]
_BLOCK = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


_SYNTAX = Environment(undefined=StrictUndefined)


@functools.lru_cache(maxsize=256)
def _compiled(text: str) -> CodeType:
    """Templates are compiled once; each renderer gives them names of its own."""
    return _SYNTAX.compile(text)


@functools.lru_cache(maxsize=256)
def _macro_names(text: str) -> tuple[str, ...]:
    return tuple(macro.name for macro in _SYNTAX.parse(text).find_all(nodes.Macro))


@dataclass(slots=True)
class Rendered:
    """A model's SQL in one dialect, and what its Jinja asked for: refs (by model), sources (`source.table`), config."""

    sql: str = ""
    refs: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)


class Renderer:
    """The Jinja context of a project in one dialect. Macros come from macros/ and find each other by name."""

    def __init__(self, project: DbtProject, dialect: Dialect, variables: Mapping[str, object]) -> None:
        self._project, self._dialect, self._variables = project, dialect, variables
        self._now = Rendered()
        self._environment = Environment(undefined=StrictUndefined, autoescape=False)
        self._environment.globals.update(self._context())
        self._macros: dict[str, Callable[..., object]] = {}
        for path, text in project.macros:
            self._declare_macros(path, text)
        for _, text in project.macros:
            self._load_macros(text)

    def render(self, model: ModelFile) -> Rendered:
        """The model's SQL; lines of the file stay where they are, so that faults can name them."""
        self._now = Rendered()
        self._now.sql = self._expand(model.path, model.sql)
        return self._now

    def _expand(self, path: str, text: str) -> str:
        try:
            return self._template(_BLOCK.sub(_keep_lines, text)).render()
        except ModelError as error:
            raise ModelError(str(error), path=path, line=_template_line(error) or line_of_text(text, "{{")) from None
        except TemplateSyntaxError as error:
            raise ModelError(f"Jinja: {error.message}", path=path, line=error.lineno) from None
        except (TemplateError, TypeError) as error:
            raise ModelError(f"Jinja: {error}", path=path, line=_template_line(error)) from None

    def _context(self) -> dict[str, object]:
        return {
            "ref": self._ref,
            "source": self._source,
            "var": self._var,
            "config": self._config,
            "return": lambda value: value,
            "adapter": _Adapter(self._dispatch, self._dialect),
            "target": {"type": self._dialect, "name": "topline"},
            "env_var": _no_environment,
            "exceptions": {"raise_compiler_error": _raise},
        }

    def _declare_macros(self, path: str, text: str) -> None:
        """Before any file is loaded: a loaded file sees the names that are there at that time."""
        try:
            names = _macro_names(text)
        except TemplateSyntaxError as error:
            raise ModelError(f"Jinja: {error.message}", path=path, line=error.lineno or 1) from None
        self._environment.globals.update({name: _in_one_line(self._macros, name) for name in names})

    def _load_macros(self, text: str) -> None:
        module = self._template(text).module
        self._macros.update({name: macro for name, macro in vars(module).items() if callable(macro)})

    def _template(self, text: str) -> Template:
        return Template.from_code(self._environment, _compiled(text), self._environment.make_globals(None))

    def _dispatch(self, name: str, namespace: str | None = None) -> object:  # noqa: ARG002 - dbt's signature
        for prefix in (self._dialect, "default"):
            if macro := self._environment.globals.get(f"{prefix}__{name}"):
                return macro
        raise ModelError(f"no macro {self._dialect}__{name} or default__{name} in macros/")

    def _ref(self, *names: str) -> str:
        name = names[-1]
        if name not in self._project.models:
            raise ModelError(
                f"ref('{name}'): no such model in models/live; there are {_listed(self._project.models)}. "
                "Live models read only live models and sources"
            )
        self._now.refs.append(name)
        return f'"{name}"'

    def _source(self, source: str, table: str) -> str:
        name = f"{source}.{table}"
        if name not in self._project.tables:
            raise ModelError(
                f"source('{source}', '{table}'): not declared in models/live; declared are {_listed(self._project.tables)}"
            )
        self._now.sources.append(name)
        return f'"{name}"'

    def _var(self, name: str, *default: object) -> object:
        if name in self._variables:
            return self._variables[name]
        if default:
            return default[0]
        raise ModelError(f"var('{name}') is not set: set it under `vars` in topline.yml or dbt_project.yml")

    def _config(self, **settings: object) -> str:
        self._now.config.update(settings)
        return ""


@dataclass(frozen=True, slots=True)
class _Adapter:
    dispatch: Callable[..., object]
    dialect: str

    def type(self) -> str:
        return self.dialect


def _in_one_line(macros: Mapping[str, Callable[..., object]], name: str) -> Callable[..., str]:
    """The macro `name`, in one line: so that it moves no line of the model that calls it."""

    def call(*args: object, **kwargs: object) -> str:
        return re.sub(r"\s*\n\s*", " ", str(macros[name](*args, **kwargs))).strip()

    return call


def _keep_lines(match: re.Match[str]) -> str:
    return match[0] + "\n" * match[0].count("\n")


def _template_line(error: BaseException) -> int:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return (lines[0] if lines else 0) or 0


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _no_environment(name: str, *_: object) -> NoReturn:
    raise ModelError(f"env_var('{name}'): models must mean the same everywhere; use var('{name.lower()}')")


def _raise(message: str) -> NoReturn:
    raise ModelError(message)
