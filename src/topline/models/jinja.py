"""Renders a model's Jinja as dbt would, for one dialect."""

import functools
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NoReturn

from jinja2 import Environment, StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from topline.errors import ModelError
from topline.models.dialects import Dialect, prefixes, relation
from topline.models.faults import line_of_text
from topline.models.project import DbtProject, ModelFile

_BLOCK = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


class _DbtBlocks(Extension):
    """What a macro file may hold beside macros, and no model calls: passed over."""

    tags = {"test", "materialization"}  # noqa: RUF012 - as Jinja has it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        tag = next(parser.stream).value
        while parser.stream.current.type != "block_end":
            next(parser.stream)
        parser.parse_statements((f"name:end{tag}",), drop_needle=True)
        return []


_SYNTAX = Environment(undefined=StrictUndefined, extensions=["jinja2.ext.do", _DbtBlocks])


@functools.lru_cache(maxsize=256)
def _compiled(text: str) -> CodeType:
    """Templates are compiled once; each renderer gives them names of its own."""
    return _SYNTAX.compile(text)


@functools.lru_cache(maxsize=256)
def _macros_of(text: str) -> tuple[tuple[str, CodeType], ...]:
    """Each macro of a file as a template of its own, as dbt has it: so they find each other only by name, in the context."""
    macros = _SYNTAX.parse(text).find_all(nodes.Macro)
    return tuple((macro.name, _SYNTAX.compile(nodes.Template([macro], lineno=1))) for macro in macros)


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
            self._load_macros(path, text)

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
            "return": _return,
            "adapter": _Adapter(self._dispatch, self._dialect),
            "target": {"type": self._dialect, "name": "topline"},
            "env_var": _no_environment,
            "exceptions": {"raise_compiler_error": _raise},
        }

    def _load_macros(self, path: str, text: str) -> None:
        try:
            macros = _macros_of(text)
        except TemplateSyntaxError as error:
            raise ModelError(f"Jinja: {error.message}", path=path, line=error.lineno or 1) from None
        for name, code in macros:
            self._environment.globals[name] = _called(functools.partial(self._macro, name, code))

    def _macro(self, name: str, code: CodeType) -> Callable[..., object]:
        """Made at its first call: it sees the names that are there when it is made."""
        if name not in self._macros:
            self._macros[name] = getattr(self._instance(code).module, name)
        return self._macros[name]

    def _template(self, text: str) -> Template:
        return self._instance(_compiled(text))

    def _instance(self, code: CodeType) -> Template:
        return Template.from_code(self._environment, code, self._environment.make_globals(None))

    def _dispatch(self, name: str, namespace: str | None = None) -> object:  # noqa: ARG002 - dbt's signature
        names = [f"{prefix}__{name}" for prefix in prefixes(self._dialect)]
        found = next((macro for one in names if (macro := self._environment.globals.get(one))), None)
        if found is None:
            raise ModelError(f"no macro {' or '.join(names)} in macros/")
        return found

    def _ref(self, *names: str) -> str:
        name = names[-1]
        if name not in self._project.models:
            raise ModelError(
                f"ref('{name}'): no such model in models/live; there are {_listed(self._project.models)}. "
                "Live models read only live models and sources"
            )
        self._now.refs.append(name)
        return relation(self._dialect, name)

    def _source(self, source: str, table: str) -> str:
        name = f"{source}.{table}"
        if name not in self._project.tables:
            raise ModelError(
                f"source('{source}', '{table}'): not declared in models/live; declared are {_listed(self._project.tables)}"
            )
        self._now.sources.append(name)
        return relation(self._dialect, source, table)

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


class _Returned(Exception):  # noqa: N818 - no error
    """What dbt's `return` ends a macro with: a value of any type."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


def _return(value: object = None) -> NoReturn:
    raise _Returned(value)


def _called(macro: Callable[[], Callable[..., object]]) -> Callable[..., object]:
    """What calls a macro and gives its value. Text is put in one line, so that it moves no line of the model that asks."""

    def call(*args: object, **kwargs: object) -> object:
        try:
            value = macro()(*args, **kwargs)
        except _Returned as returned:
            value = returned.value
        return re.sub(r"\s*\n\s*", " ", value).strip() if isinstance(value, str) else value

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
