"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from topline.config import Project, load_project
from topline.errors import ConfigError

ProjectDir = Annotated[
    Path,
    typer.Option("--project", "-p", envvar="TOPLINE_PROJECT_DIR", help="Folder with topline.yml.", show_default="this folder"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A setting of topline.yml, such as `engine.batch_rows=1000`. Wins over all."
    ),
]
HERE = Path(".")


def open_project(folder: Path, overrides: list[str] | None = None) -> Project:
    return load_project(folder, dict(_pair(text) for text in overrides or []))


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {text!r}: NAME=VALUE is expected, such as --set api.port=9000")
    return name, yaml.safe_load(value)
