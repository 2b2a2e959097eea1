"""The second engines: the models' SQL run from scratch over the tables, by DuckDB as it stands and by SQLite in its own."""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from tests.exact.expressions import UNITS
from tests.exact.models import ZONE, Project
from tests.exact.tables import Row
from topline.models.plan import ModelPlan, ProjectPlan
from topline.models.scratch import quoted
from topline.schema import MONEY_LIMIT, TableSchema

Rows = Counter[Row]
_NUMBER = re.compile(
    r"[+-]?([0-9]{1,30}[.]?[0-9]{0,30}|[.][0-9]{1,30}|([0-9][.]?[0-9]{0,16}|[.][0-9]{1,17})[eE][+-]?[0-9]{1,3})"
)


def plain(value: object) -> object:
    """One form for all engines: money in units of 10^-4, days and times as text, booleans as 0 and 1."""
    match value:
        case bool():
            return int(value)
        case Decimal():
            return int(value.scaleb(4))
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).strftime("%Y-%m-%d %H:%M:%S.%f")
        case date():
            return value.isoformat()
        case _:
            return value


def plain_rows(table: pa.Table) -> list[Row]:
    """The rows of a table, each a tuple of plain values."""
    columns = [[plain(value) for value in column.to_pylist()] for column in table.columns]
    return list(zip(*columns, strict=True)) if len(table) else []


class DuckTruth:
    """Every model by the text of its SQL. In a zone that is not UTC: no model may see it."""

    def __init__(self, plan: ProjectPlan) -> None:
        self._plan = plan
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._connection.execute("SET TimeZone = 'America/New_York'")

    def rows(self, tables: Mapping[str, pa.Table]) -> dict[str, Rows]:
        """Published model -> its rows, given the tables'."""
        for name, table in tables.items():
            self._connection.register(name, table)
        found = {}
        for name, model in self._plan.models.items():
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS {model.sql_duckdb}")
            if model.published:
                found[name] = Counter(plain_rows(self._typed(model)))
        return found

    def _typed(self, model: ModelPlan) -> pa.Table:
        columns = ", ".join(f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in model.schema.columns)
        return self._connection.sql(f"SELECT {columns} FROM {quoted(model.name)}").to_arrow_table()

    def close(self) -> None:
        self._connection.close()


class LiteTruth:
    """Every model of a random project by the SQL that was composed for SQLite."""

    def __init__(self, project: Project, schemas: Mapping[str, TableSchema]) -> None:
        self._project = project
        self._schemas = schemas
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.create_function("try_decimal", 1, try_decimal, deterministic=True)
        self._connection.create_function("business_date", 1, business_date, deterministic=True)
        for name, schema in self._schemas.items():
            self._connection.execute(f"CREATE TABLE {quoted(name)} ({', '.join(quoted(column) for column in schema.names)})")

    def rows(self, tables: Mapping[str, Sequence[Row]]) -> dict[str, Rows]:
        """Published model -> its rows, given the tables'."""
        for name, schema in self._schemas.items():
            self._connection.execute(f"DELETE FROM {quoted(name)}")
            marks = ", ".join("?" * len(schema.names))
            rows = [tuple(plain(value) for value in row) for row in tables[name]]
            self._connection.executemany(f"INSERT INTO {quoted(name)} VALUES ({marks})", rows)
        found = {}
        for model in self._project.models:
            self._connection.execute(f"DROP TABLE IF EXISTS {quoted(model.name)}")
            self._connection.execute(f"CREATE TABLE {quoted(model.name)} AS {model.lite}")
            if model.published:
                found[model.name] = Counter(self._connection.execute(f"SELECT * FROM {quoted(model.name)}").fetchall())
        return found

    def select(self, sql: str) -> Rows:
        """Rows over the tables and models as they were last computed."""
        return Counter(self._connection.execute(sql).fetchall())


def try_decimal(text: str | None) -> int | None:
    """What the shared macro says, in units of 10^-4: rounded once, half away from zero; NULL for what is no DECIMAL(18,4)."""
    stripped = (text or "").strip(" ")
    if not _NUMBER.fullmatch(stripped):
        return None
    units = int((Decimal(stripped) * UNITS).quantize(Decimal(1), ROUND_HALF_UP))
    return units if abs(units) < MONEY_LIMIT else None


def business_date(instant: str | None) -> str | None:
    """The day of an instant (plain) in the project's zone."""
    if instant is None:
        return None
    return datetime.fromisoformat(instant).replace(tzinfo=UTC).astimezone(ZoneInfo(ZONE)).date().isoformat()


def difference(found: Rows, truth: Rows) -> str:
    """'' where both are equal, else some rows of each that the other lacks."""
    if found == truth:
        return ""
    show: Callable[[Rows], str] = lambda rows: "\n    ".join(repr(row) for row in list(rows.elements())[:4]) or "-"  # noqa: E731
    return f"  only live:\n    {show(found - truth)}\n  lacking:\n    {show(truth - found)}"
