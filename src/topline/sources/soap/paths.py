"""JMESPath over an answer, where one element and a list of one are the same thing, as they are in XML."""

from functools import cached_property
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter


class PathError(Exception):
    """A path that does not fit the answer: it would have found nothing, and nobody would know why."""


class _Interpreter(TreeInterpreter):
    """`X[]`, `X[0]` and `X[?...]` take a single X as a list of one; a field of a list or of a text is an error, not null."""

    def visit_field(self, node: Any, value: Any) -> Any:
        if isinstance(value, list):
            raise PathError(f"there are {len(value)} elements where {node['value']} is looked up: write [] behind their name")
        if isinstance(value, str) and value.strip():
            raise PathError(f"{node['value']} is looked up in the text {value[:40]!r}, which holds no elements")
        return value.get(node["value"]) if isinstance(value, dict) else None

    def visit_projection(self, node: Any, value: Any) -> Any:
        return super().visit_projection(self._over_a_list(node, value), value)

    def visit_filter_projection(self, node: Any, value: Any) -> Any:
        return super().visit_filter_projection(self._over_a_list(node, value), value)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        return super().visit_flatten(self._over_a_list(node, value), value)

    def visit_index(self, node: Any, value: Any) -> Any:
        return super().visit_index(node, _listed(value))

    def visit_slice(self, node: Any, value: Any) -> Any:
        return super().visit_slice(node, _listed(value))

    def _over_a_list(self, node: Any, value: Any) -> Any:
        base, *rest = node["children"]
        listed = {"type": "literal", "value": _listed(self.visit(base, value)), "children": []}
        return {**node, "children": [listed, *rest]}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict | str) and value != "" else value


class Path:
    """A compiled path. `tree` is its syntax tree, as jmespath makes it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree: Any = jmespath.compile(text).parsed
        self._interpreter = _Interpreter()

    @cached_property
    def name(self) -> str | None:
        """Where the path is nothing but one name: that name."""
        return str(self.tree["value"]) if self.tree["type"] == "field" else None

    def find(self, value: Any) -> Any:
        """What the path leads to; None where there is nothing. PathError says why it cannot be followed."""
        try:
            return self._interpreter.visit(self.tree, value)
        except JMESPathError as error:
            raise PathError(str(error)) from None
