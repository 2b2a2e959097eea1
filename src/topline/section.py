"""A part of topline.yml that its own package declares, validated as it was written and then with its secrets."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from topline.config import CONFIG_FILE, Project, Settings
from topline.errors import ConfigError
from topline.secrets import plain_secrets, secret_names

S = TypeVar("S", bound=Settings)
Replace = Callable[[str, str], str]
"""(setting, its text with secrets) -> the text that stands for it."""


class Section:
    """`place`: where it stands (`sources.shop`); `raw`: what stands there. Faults gather in `faults`, a line each."""

    def __init__(self, project: Project, place: str, raw: Mapping[str, Any], replace: Replace | None = None) -> None:
        self._project, self._place, self._raw, self._replace = project, place, raw, replace
        self.faults: list[str] = []

    def settings(self, declared: type[S]) -> S | None:
        """None where there are faults. A fault shows the value as it was written, and never a secret."""
        written = self._validate(declared, self._raw, shown=True)
        if written is None:
            return None
        for place, text in plain_secrets(written):
            if text not in self._project.environment.values():
                self.fault(place, "a secret in plain text; write ${env:NAME} or ${file:/path} in its place")
        resolved = self._resolve(self._raw, "")
        return None if self.faults else self._validate(declared, resolved, shown=False)

    def fault(self, place: str, text: str) -> None:
        name = f"{self._place}.{place}" if place else self._place
        self.faults.append(f"{where(self._project, name)}: {name}: {text}")

    def _validate(self, declared: type[S], values: Any, *, shown: bool) -> S | None:
        try:
            return declared.model_validate(values)
        except ValidationError as error:
            for item in error.errors():
                place = ".".join(str(part) for part in item["loc"])
                value = f" (found {item['input']!r})" if shown and _may_show(declared, dict(item)) else ""
                self.fault(place, f"{item['msg'].removeprefix('Value error, ')}{value}")
        return None

    def _resolve(self, node: Any, place: str) -> Any:
        """References to secrets replaced everywhere."""
        if isinstance(node, dict):
            return {key: self._resolve(value, f"{place}.{key}" if place else str(key)) for key, value in node.items()}
        if isinstance(node, list):
            return [self._resolve(value, place) for value in node]
        if not isinstance(node, str):
            return node
        try:
            text = self._project.secret(node)
        except ConfigError as error:
            self.fault(place, str(error))
            return node
        return self._replace(place, text) if self._replace else text


def _may_show(declared: type[Settings], item: Mapping[str, Any]) -> bool:
    """A value by itself helps; a whole mapping may hold a secret, as the value of a secret's setting does."""
    plain = not isinstance(item["input"], dict | list)
    secret = bool(secret_names(declared) & {str(part) for part in item["loc"]})
    return plain and not secret and item["type"] not in {"missing", "extra_forbidden"}


def where(project: Project, name: str) -> str:
    """File and line of a setting, or of the nearest one above it that is written down."""
    path = project.root / CONFIG_FILE
    while name and name not in project.lines:
        name = name.rpartition(".")[0]
    return f"{path}:{project.lines[name]}" if name else str(path)
