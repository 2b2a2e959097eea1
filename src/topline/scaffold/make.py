"""Makes a project of what was found: the shipped one, with its sources and staging replaced by those of the found source."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, StrictUndefined

from topline.errors import ConfigError, WorkError
from topline.scaffold import staging
from topline.scaffold.databases import is_postgres, look_at_postgres, look_at_sql
from topline.scaffold.documents import look_at_file
from topline.scaffold.found import Found, FoundColumn, FoundTable
from topline.scaffold.guess import Sketch, sketch
from topline.scaffold.services import look_at_wsdl

_LIVE = Path("models/live")
_COPIED = ("dbt_project.yml", "profiles.yml", "macros", "models/live/marts", "models/live/columns.md", ".gitignore")


@dataclass(frozen=True, slots=True)
class Made:
    """What a project was made of, for the terminal: the source, and where each part of a sale is taken from."""

    source: str
    kind: str
    staging: Path
    roles: Mapping[str, str]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def look(origin: str, root: Path) -> Found:
    """What `origin` is: a PostgreSQL DSN, an SQLAlchemy URL, a WSDL, or a file. `root`: to which paths are relative.

    ConfigError where it is none of these, or holds nothing to read; WorkError where it cannot be reached.
    """
    scheme = urlsplit(origin).scheme
    if is_postgres(origin):
        return look_at_postgres(origin)
    if origin.lower().endswith(".wsdl") and not scheme:
        return look_at_wsdl(str((root / origin).resolve()), root)
    if scheme in {"http", "https"}:
        return _look_at_service(origin, root)
    if "://" in origin:
        return look_at_sql(origin, root)
    return look_at_file(root / origin)


def _look_at_service(url: str, root: Path) -> Found:
    try:
        return look_at_wsdl(url, root)
    except WorkError as error:
        raise ConfigError(
            f"{error}. Over HTTP, --from looks at a WSDL only; how to begin with a REST service is told in docs/sources/rest.md"
        ) from None


def make_project(folder: Path, origin: str, shipped: Path) -> Made:
    """Write a project over `origin` into `folder`, which is empty. `shipped`: the shipped project, for macros and marts."""
    found = look(origin, Path.cwd())
    guessed = sketch(found.tables)
    model = f"{found.name}_sales"
    for name in _COPIED:
        _copy(shipped / name, folder / name)
    for path, text in _texts(found, guessed, model, shipped):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    _write_secrets(folder, found.secrets)
    return _made(found, guessed, _LIVE / "staging" / f"{model}.sql")


def _texts(found: Found, guessed: Sketch, model: str, shipped: Path) -> Iterator[tuple[Path, str]]:
    used = {table.name for table in guessed.tables}
    others = [table.name for table in found.tables if table.name not in used]
    # Of a file every column is declared: what is not declared of it would be warned of.
    tables = [(table, *_divided(table, guessed, everything=found.kind == "files")) for table in guessed.tables]
    render = _renderer({"found": found, "sketch": guessed, "model": model, "source": found.name})
    yield Path("topline.yml"), render("topline.yml", zone="UTC", currency="EUR", others=others, tables=tables)
    yield _LIVE / "sources.yml", render("sources.yml", tables=tables)
    pieces = {"columns": list(staging.columns(guessed)), "joins": staging.joins(guessed), "texts": staging.texts(guessed)}
    yield _LIVE / "staging" / f"{model}.sql", render("staging.sql", lines=staging.line_totals(guessed), **pieces)
    yield _LIVE / "staging/staging.yml", render("staging.yml")
    yield _LIVE / "sales.sql", render("sales.sql")
    yield _LIVE / "rejected_sales.sql", render("rejected_sales.sql")
    # Its examples are about the shipped sources.
    yield _LIVE / "sales.yml", (shipped / _LIVE / "sales.yml").read_text(encoding="utf-8").partition("\nunit_tests:")[0] + "\n"


def _renderer(common: Mapping[str, object]) -> Callable[..., str]:
    """Templates have delimiters of their own, because what they write is Jinja."""
    environment = Environment(
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[[",
        variable_end_string="]]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # YAML and SQL
    )
    environment.filters |= {"sql": staging.quoted, "scalar": _scalar}

    def render(name: str, **values: object) -> str:
        source = files("topline.scaffold").joinpath("templates", name).read_text(encoding="utf-8")
        return environment.from_string(source).render(**common, **values)

    return render


def _divided(table: FoundTable, guessed: Sketch, *, everything: bool) -> tuple[list[FoundColumn], list[str]]:
    """The columns to declare, which are those that staging reads, and the names of the others."""
    wanted = {column.name for column in table.columns} if everything else guessed.read(table)
    return [column for column in table.columns if column.name in wanted], [
        c.name for c in table.columns if c.name not in wanted
    ]


def _scalar(name: str) -> str:
    """A name as a YAML scalar."""
    return name if staging.quoted(name) == name else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.exists():
        shutil.copy(source, target)


def _write_secrets(folder: Path, secrets: Mapping[str, str]) -> None:
    """Into .env, for this user alone, and kept out of git."""
    if not secrets:
        return
    descriptor = os.open(folder / ".env", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        for name, value in secrets.items():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            file.write(f"{name}='{escaped}'\n")
    with (folder / ".gitignore").open("a", encoding="utf-8") as file:
        file.write(".env\n")


def _made(found: Found, guessed: Sketch, path: Path) -> Made:
    roles = {role: " ".join(f"{use.alias}.{use.column.name}" for use in uses) for role, uses in guessed.uses.items() if uses}
    if guessed.lines is not None:
        parts = (guessed.lines.price, guessed.lines.quantity, guessed.lines.discount)
        roles["amount"] = f"the sum of {guessed.lines.table.name}: {', '.join(part.name for part in parts if part)}"
    missing = tuple(role for role in ("date", "amount", "city", "country", "salesman_id") if role not in roles)
    return Made(found.name, found.kind, path, roles, missing, found.notes)
