"""What `topline check` asks of a table in a database."""

from collections.abc import Sequence
from typing import Any

from topline.errors import WorkError
from topline.sources.base import Fault
from topline.sources.sql.database import Database
from topline.sources.sql.order import inexact
from topline.sources.sql.settings import SqlTable


def table_faults(
    where: str, database: Database, place: tuple[str | None, str], shape: SqlTable, columns: tuple[Sequence[str], Sequence[str]]
) -> list[Fault]:
    """`place`: schema and table; `columns`: those that are read, and those of them that are the key, as the database says."""
    schema, table = place
    try:
        found = database.columns(table, schema)
        if not found:
            there = ", ".join(database.tables()) or "none"
            return [
                Fault(where, f"there is no table {table!r}; there are: {there}", "name it: `table: ...`, or grant SELECT on it")
            ]
        faults = _missing(where, found, shape, columns[0]) or _inexact(where, found, shape, columns[1])
        return faults or _not_unique(where, database.indexed(table, schema), columns[1])
    except WorkError as error:
        return [Fault(where, str(error), "mend `url`, the database, or the rights of its user")]


def _missing(where: str, found: dict[str, Any], shape: SqlTable, wanted: Sequence[str]) -> list[Fault]:
    settings = {"cursor.field": shape.cursor, "deleted.field": shape.deleted}
    asked = [(where, name) for name in wanted]
    asked += [(f"{where}.{setting}", field.field) for setting, field in settings.items() if field is not None]
    return [
        Fault(
            place, f"there is no column {name!r}; there are: {', '.join(found)}", "declare what is there, or map it: `columns:`"
        )
        for place, name in asked
        if name not in found
    ]


def _inexact(where: str, found: dict[str, Any], shape: SqlTable, key: Sequence[str]) -> list[Fault]:
    """Columns by whose order rows are read, and which have none that can be relied on."""
    names = [*key, *([shape.cursor.field] if shape.cursor else [])]
    problems = [problem for name in names if (problem := inexact(name, found[name]))]
    return [Fault(where, problem, "another cursor, or another key") for problem in problems]


def _not_unique(where: str, indexes: Sequence[tuple[Sequence[str], bool]], key: Sequence[str]) -> list[Fault]:
    """A key that the database does not hold unique. Of a view, nothing is known."""
    if not indexes or any(unique and columns and set(columns) <= set(key) for columns, unique in indexes):
        return []
    problem = f"nothing in the database keeps {', '.join(key)} unique: of rows with one key, the last wins"
    return [Fault(where, problem, "declare the table's real key, or add a unique index")]
