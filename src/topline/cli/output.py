"""What commands print: text for people, JSON for machines, errors to standard error."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

WIDE = 200  # columns where nobody's terminal sets them: a pipe, a file

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
if not out.is_terminal and "COLUMNS" not in os.environ:
    out.width = WIDE


def counted(number: int, noun: str, plural: str = "s") -> str:
    """`1 row`, `2,000 rows`, `1 dead letter`; `plural` is the ending: `3 batches`."""
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def print_json(value: Any) -> None:
    """One JSON document on standard output. Money and times are strings, exact."""
    out.file.write(json.dumps(value, default=plain, ensure_ascii=False, indent=2) + "\n")


def plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else plain_text(cell) for cell in row))
    out.print(table)


def plain_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return value if isinstance(value, str) else str(plain(value))


def print_pairs(pairs: Mapping[str, Any]) -> None:
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        out.print(f"{name:<{width}}  {plain_text(value)}", markup=False)
