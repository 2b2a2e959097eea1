"""Every function that a model may use has the value in Flink SQL that it has in DuckDB, NULLs, roundings and edges included."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlglot import exp

from tests.cluster.stack import Stack
from topline.cluster.flink.gateway import Session
from topline.cluster.flink.settings import Server
from topline.errors import ModelError
from topline.models import functions
from topline.models.flink import TYPES, expression, quoted, text
from topline.models.jinja import Renderer
from topline.models.project import ModelFile, read_project
from topline.models.typer import Typer
from topline.schema import Column, Type

pytestmark = pytest.mark.cluster
SALES = Path(__file__).parents[2] / "sales"
COLUMNS = [
    Column("id", Type.BIGINT),
    Column("name", Type.TEXT),
    Column("number", Type.BIGINT),
    Column("price", Type.TEXT),
    Column("amount", Type.DECIMAL),
    Column("ok", Type.BOOLEAN),
    Column("day", Type.DATE),
    Column("moment", Type.TIMESTAMP),
    Column("seen", Type.TIMESTAMPTZ),
    Column("sold", Type.TEXT),
]
ROWS: list[tuple[Any, ...]] = [
    (1, "Åbc", 7, "0.33335", "0.3334", True, "2024-03-31", "2024-03-31 02:30:00", "2024-03-31 00:30:00+00", "2024-03-01"),
    (
        2,
        "  a b \u2003",
        -7,
        "-0.33335",
        "-1.5000",
        False,
        "1969-12-31",
        "2024-10-27 02:30:00.000001",
        "2024-10-27 00:59:59.999999+00",
        "2024-03-01 23:30",
    ),
    (
        3,
        "",
        0,
        "1e2",
        "0.0000",
        None,
        "2999-12-31",
        "1969-12-31 23:59:59.5",
        "1969-12-31 23:00:00+00",
        "2024-03-01T20:00:00.1234567-05:30",
    ),
    (4, None, None, None, None, None, None, None, None, None),
    (
        5,
        "a.b\nc",
        2**62,
        " 12. ",
        "99999999999999.9999",
        True,
        "2024-02-29",
        "2024-01-01 00:00:00",
        "2024-06-30 22:00:00+00",
        "2024-02-30",
    ),
    (
        6,
        "aaXaa'q\"",
        -(2**40),
        "1e15",
        "-99999999999999.9999",
        False,
        "2024-12-30",
        "2024-12-30 23:59:59.999999",
        "1900-01-01 00:00:00+00",
        "2024-03-01T23:30Z",
    ),
    (
        7,
        "\U0001d11eé🙂",
        3,
        "abc",
        "2.5000",
        True,
        "1900-01-01",
        "1900-01-01 00:00:00",
        "2024-12-31 23:30:00+00",
        "2024-03-31 02:30:00",
    ),
    (
        8,
        "a%b_c",
        1,
        "123456789012345678.9",
        "1.0001",
        False,
        "2024-01-01",
        "2025-12-29 12:00:00",
        "2025-03-30 01:00:00+00",
        "2024-03-01T23:30:00+02",
    ),
    (
        9,
        "\u00a0",
        -1,
        ".5",
        "-2.5000",
        True,
        "2024-01-07",
        "2020-02-29 12:00:00.12",
        "2020-02-29 12:00:00.12+00",
        " 2024-10-27T02:30 ",
    ),
]
EXPRESSIONS: dict[type[exp.Expr], list[str]] = {
    exp.And: ["ok and number > 1", "name is null and ok"],
    exp.Or: ["ok or number > 1", "not (ok or price is null)"],
    exp.Case: ["case when ok then 1 else 2 end", "case when ok then 'a' when number < 0 then 'bcd' end"],
    exp.If: ["case number when 7 then 'a' when -7 then 'bb' end"],
    exp.Coalesce: ["coalesce(name, price, 'x')", "coalesce(amount, 0)"],
    exp.Nullif: ["nullif(name, '')", "nullif(number, 7)"],
    exp.Cast: [
        "cast(number as text) || cast(day as text)",
        "cast(ok as text)",
        "cast(amount as text)",
        "cast(moment as text)",
        "cast(number as decimal(38,4))",
        "cast(amount as decimal(18,0))",
        "cast(case when id <> 5 and id <> 6 then amount end as bigint)",
        "cast(cast('12.5' as decimal(18,4)) as bigint)",
        "cast(day as timestamp)",
        "cast(moment as date)",
        "cast(seen as date)",
        "timestamptz '2026-03-29 00:00:00+02'",
        "timestamp '2026-01-01 12:00:00'",
        "date '2026-01-01'",
        "cast(null as text)",
        "cast(moment as timestamptz)",
        "cast(seen as timestamp)",
        "cast(ok as bigint)",
    ],
    exp.Trim: [
        "trim(both ' a' from name)",
        "trim(name)",
        "ltrim(name, 'a ')",
        "rtrim(name, 'ac')",
        "trim(leading 'a' from name)",
    ],
    exp.Length: ["length(name)"],
    exp.Substring: ["substring(name || price, 2, 3)", "substring(name, 1, 2)", "substring(name, 3)", "substring(name, 20, 2)"],
    exp.Replace: ["replace(name, 'a', 'bb')", "replace(price, '.', '')"],
    exp.Concat: ["concat(name, '-', id)", "concat(name, ok)"],
    exp.Chr: ["chr(cast(id + 64 as integer))"],
    exp.RegexpReplace: [
        "regexp_replace(name, '[a-c]', 'x')",
        "regexp_replace(name, '[a-c]', 'x', 'g')",
        "regexp_replace(name, '(a)(.)', '\\2\\1')",
        "regexp_replace(name, 'a', '$1')",
        "regexp_replace(name, 'a', '<\\0>')",
    ],
    exp.Abs: ["abs(-number)", "abs(amount)"],
    exp.Sign: ["cast(sign(number - 3) as bigint)", "cast(sign(amount) as bigint)"],
    exp.Ceil: ["cast(ceil(amount) as decimal(38,4))", "cast(ceil(amount) as decimal(18,0))"],
    exp.Floor: ["cast(floor(amount) as decimal(18,0))"],
    exp.Greatest: ["greatest(number, 3)", "greatest(name, price, 'b')"],
    exp.Least: ["least(number, 3)", "least(amount, 1)"],
    exp.Extract: [
        f"extract({part} from {of})"
        for part in ("year", "month", "day", "quarter", "week", "dow", "isodow", "doy")
        for of in ("day", "seen")
    ]
    + ["extract(hour from moment)", "extract(minute from seen)", "extract(second from moment)"],
    exp.TryCast: [
        "try_cast(price as decimal(18,4))",
        "try_cast(price as bigint)",
        "try_cast(name as date)",
        "try_cast(sold as date)",
        "try_cast(amount as decimal(4,4))",
        "try_cast(cast(amount as decimal(19,4)) * number as decimal(18,4))",
        "try_cast('2024-03-01 10:00' as timestamp)",
    ],
    exp.Lower: ["lower(name)"],
    exp.Upper: ["upper(name)"],
    exp.RegexpLike: ["regexp_matches(name, 'a')", "regexp_matches(name, '^a.b$')"],
    exp.RegexpFullMatch: [
        "regexp_full_match(name, 'a.*')",
        "regexp_full_match(name, 'a|a.b.c|.*')",
        "regexp_full_match(price, '[0-9.]+')",
    ],
    exp.RegexpExtract: ["regexp_extract(name, 'a(.)')", "regexp_extract(name, 'a(.)', 1)"],
    exp.StartsWith: ["starts_with(name, 'a')", "starts_with(name, '')"],
    exp.StrPosition: ["strpos(name, 'b')", "strpos(name, '')"],
    exp.Left: ["left(name, 1)"],
    exp.Right: ["right(name, 2)"],
    exp.Pad: ["lpad(name, 3, 'xy')", "rpad(name, 8, 'xy')"],
    exp.IntDiv: ["number // 2", "number // nullif(id - 1, 0)", "(number + 1) // nullif(id - 3, 0)"],
    exp.Like: ["name like 'a%'", "name like '%\\_%'", "name like 'a_b%'"],
}
OPERATORS = [
    "number + 1",
    "number - id",
    "-number",
    "amount + amount",
    "amount - 1",
    "case when id < 5 then amount end * 2",
    "number % 3",
    "(number + 1) % nullif(id - 2, 0)",
    "name || price",
    "amount < 1",
    "amount = 2.5",
    "name < 'b'",
    "name > 'Z'",
    "name <> ''",
    "day between date '2024-01-01' and date '2024-12-31'",
    "number in (7, -7)",
    "name in ('', 'x')",
    "number not in (7, 8)",
    "name is distinct from ''",
    "ok is not distinct from null",
    "ok = true",
    "not ok",
    "amount >= number",
    "seen at time zone 'Europe/Rome'",
    "moment at time zone 'Europe/Rome'",
    "cast(seen at time zone 'Europe/Rome' as date)",
    "cast(seen at time zone 'America/St_Johns' as date)",
    "moment at time zone 'UTC'",
    "seen at time zone 'Asia/Kathmandu'",
    "name = name || ''",
    "(name collate \"C\") < 'a'",
    "ok is true",
    "moment < timestamp '2024-06-01 00:00:00'",
]
MACROS = [
    "{{ try_decimal('price') }}",
    "{{ try_decimal('name') }}",
    "{{ try_rate('price') }}",
    "{{ try_times('amount', 'number') }}",
    "{{ try_times('amount', try_rate('price')) }}",
    "{{ nonempty('name') }}",
    "{{ trimmed('name') }}",
    "{{ business_date('seen') }}",
    "{{ to_instant('sold', 'Europe/Rome') }}",
    "{{ sale_date('sold', 'Europe/Rome') }}",
    "{{ try_date('sold') }}",
    "{{ to_instant('seen', 'Europe/Rome') }}",
    "{{ to_instant('moment', 'Asia/Tokyo') }}",
    "{{ text_matches('name', 'a.*') }}",
    "{{ int_div('abs(number)', '3') }}",
    "{{ units('amount') }}",
]


@pytest.fixture(scope="module")
def session(stack: Stack) -> Iterator[Session]:
    properties = {"execution.runtime-mode": "streaming", "table.local-time-zone": "UTC", "parallelism.default": "1"}
    made = Session(Server(url=stack.flink.gateway_url), Path(), 120, properties)
    rows = ", ".join(f"({', '.join(map(_literal, row, COLUMNS))})" for row in ROWS)
    names = ", ".join(quoted(column.name) for column in COLUMNS)
    made.run(f"CREATE TEMPORARY VIEW t ({names}) AS SELECT * FROM (VALUES {rows})")
    yield made
    made.close()


def _literal(value: Any, column: Column) -> str:
    if value is None:
        return f"CAST(NULL AS {TYPES[column.type]})"
    if column.type is Type.TIMESTAMPTZ:
        return f"CAST(CAST({text(value.removesuffix('+00'))} AS TIMESTAMP(6)) AS TIMESTAMP_LTZ(6))"
    shown = text(value) if isinstance(value, str) else str(value)
    return f"CAST({shown} AS {TYPES[column.type]})"


def _rendered() -> dict[str, str]:
    """The macros' calls in DuckDB's SQL."""
    renderer = Renderer(read_project(SALES), "duckdb", {"time_zone": "Europe/Rome", "currency": "EUR"})
    return {call: renderer.render(ModelFile(call, "m.sql", call)).sql for call in MACROS}


def _all() -> dict[str, str]:
    return {**{sql: sql for many in EXPRESSIONS.values() for sql in many}, **{sql: sql for sql in OPERATORS}, **_rendered()}


def test_the_table_holds_every_function() -> None:
    assert set(EXPRESSIONS) == functions.PORTABLE | functions.DUCKDB_ONLY


def test_expressions_have_the_values_that_duckdb_gives_them(session: Session) -> None:
    flink, duck = _flink(session), _duckdb()
    found = {name: [values[i] for values in flink] for i, name in enumerate(_all())}
    expected = {name: [values[i] for values in duck] for i, name in enumerate(_all())}
    wrong = {
        name: [(row[0], a, b) for row, a, b in zip(ROWS, found[name], expected[name], strict=True) if a != b] for name in found
    }
    assert {name: rows for name, rows in wrong.items() if rows} == {}


def _flink(session: Session) -> list[list[Any]]:
    typer = Typer()
    chosen = ", ".join(f"{expression(sql, COLUMNS, typer)} AS c{i}" for i, sql in enumerate(_all().values()))
    answer = sorted(session.run(f"SELECT id, {chosen} FROM t"), key=lambda row: row[0])
    return [[_plain(value) for value in row[1:]] for row in answer]


def _duckdb() -> list[list[Any]]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    columns = ", ".join(f'"{column.name}" {column.type}' for column in COLUMNS)
    connection.execute(f"CREATE TABLE t ({columns})")
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(COLUMNS))})", ROWS)
    chosen = ", ".join(f"({sql}) AS c{i}" for i, sql in enumerate(_all().values()))
    found = connection.sql(f"SELECT {chosen} FROM t ORDER BY id").to_arrow_table()
    return [[_plain(value) for value in row.values()] for row in found.to_pylist()]


def _plain(value: Any) -> Any:
    """One form for what DuckDB gives and what the gateway writes."""
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return Decimal(value).normalize()
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, str) and len(value) >= 19 and value[10:11] == "T":
        return dt.datetime.fromisoformat(value).replace(tzinfo=None).isoformat()
    return value


@pytest.mark.parametrize("sql", ["extract(epoch from moment)", "regexp_matches(name, price)"])
def test_what_has_no_exact_equal_is_refused(sql: str) -> None:
    with pytest.raises(ModelError, match="Flink"):
        expression(sql, COLUMNS, Typer())
