"""Makes a project of the shipped one, and says what this installation is."""

import os
import platform
import shutil
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from topline import __version__
from topline.cli.output import out, print_json
from topline.errors import UsageError, WorkError

_NOT_COPIED = (".topline", "target", "logs", "dbt_packages", "*.duckdb", "__pycache__", ".env")


def shipped_project() -> Path:
    """The folder of the shipped project: inside the wheel, or beside `src` in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_sales", package.parents[1] / "sales"):
        if (folder / "topline.yml").is_file():
            return folder
    raise WorkError(f"the shipped project is missing below {package}: install topline again")


def init_project(folder: Path, *, as_json: bool = False) -> None:
    """Copy the shipped project to `folder` and say what comes next. UsageError as `copy_project`."""
    copy_project(folder)
    if as_json:
        print_json({"project": str(folder.resolve())})
        return
    out.print(f"made {folder}/: its settings are in topline.yml, its models below models/live/", markup=False)
    out.print(f"next: cd {folder} && topline check", markup=False)


def copy_project(folder: Path) -> None:
    """Copy the shipped project to `folder`, which must not exist or be empty: UsageError."""
    _require_empty(folder)
    try:
        shutil.copytree(shipped_project(), folder, ignore=shutil.ignore_patterns(*_NOT_COPIED), dirs_exist_ok=True)
        (folder / "inbox").mkdir(exist_ok=True)
    except OSError as error:
        raise WorkError(f"cannot write {error.filename}: {error.strerror}") from None


def init_from(folder: Path, origin: str, *, as_json: bool) -> None:
    """Make a project over `origin` in `folder`, say where each part of a sale is taken from, and what comes next."""
    from topline.scaffold import make_project

    _require_empty(folder)
    made = make_project(folder, origin, shipped_project())
    if as_json:
        print_json({"project": str(folder.resolve()), **asdict(made), "staging": str(made.staging)})
        return
    out.print(f"made {folder}/ over the source {made.source} ({made.kind}). A sale's parts, as its names tell:", markup=False)
    for role, where in made.roles.items():
        out.print(f"  {role:<14} {where}", markup=False)
    for role in made.missing:
        out.print(f"  {role:<14} not found: {made.staging} has a constant in its place", markup=False)
    for note in made.notes:
        out.print(note, markup=False)
    out.print(f"next: read {folder / made.staging}, then: cd {folder} && topline check && topline run", markup=False)


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty: name a new folder")


def show_version(*, as_json: bool) -> None:
    versions = {
        "topline": __version__,
        "python": platform.python_version(),
        "duckdb": metadata.version("duckdb"),
        "pyarrow": metadata.version("pyarrow"),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    if as_json:
        print_json(versions)
    else:
        out.print("\n".join(f"{name} {value}" for name, value in versions.items()), markup=False)
