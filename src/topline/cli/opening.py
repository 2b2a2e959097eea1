"""Opens the project that a command works on."""

from pathlib import Path
from typing import Any

import yaml

from topline.config import Project, load_project
from topline.errors import ConfigError


def open_project(folder: Path, overrides: list[str] | None = None) -> Project:
    """The project in `folder`; `overrides` are NAME=VALUE, as `--set` takes them. ConfigError lists every fault."""
    return load_project(folder, dict(_pair(text) for text in overrides or []))


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {text!r}: NAME=VALUE is expected, such as --set api.port=9000")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        return name, value
