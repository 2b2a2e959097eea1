"""Faults of a project: where they stand, and all of them raised together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from topline.errors import ModelError


class ModelErrors(ModelError):  # noqa: N818 - the plural is the point
    """Every fault of a project at once, in `faults`; the message lists them, one a paragraph."""

    def __init__(self, faults: Sequence[ModelError]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Place:
    """A file, for faults that know only a part of its text."""

    path: Path | str

    def fault(self, message: str, node: exp.Expr | None = None, *, line: int = 0, hint: str = "") -> ModelError:
        """A fault at `node`'s line (or `line`), quoting the clause."""
        clause = f": {_shown(node)}" if node is not None else ""
        return ModelError(message + clause, path=str(self.path), line=line or line_of(node), hint=hint)


def line_of(node: exp.Expr | None) -> int:
    """The first line (1-based) that the parser noted on `node` or below it, else on its nearest ancestor; 0 if none."""
    while node is not None:
        lines = [line for part in node.walk() if (line := part.meta.get("line"))]
        if lines:
            return int(min(lines))
        node = node.parent
    return 0


def line_of_text(text: str, needle: str) -> int:
    """The first line (1-based) of `text` that holds `needle`; 1 if none does."""
    return next((i for i, line in enumerate(text.splitlines(), 1) if needle in line), 1)


def _shown(node: exp.Expr) -> str:
    text = node.sql(dialect="duckdb")
    return text if len(text) <= 100 else text[:97] + "..."
