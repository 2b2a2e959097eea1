"""The shared macros over odd texts: the live engine, whole and row by row, gives what DuckDB and PostgreSQL give."""

from collections.abc import Iterator, Sequence

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import Postgres
from tests.dbt.odd import AMOUNTS, NAMES, TIMES
from tests.unit.models.relations import Found, Row, in_duckdb
from tests.unit.models.small import plan
from topline.live.unit_tests import run_unit_tests
from topline.models import UnitTest
from topline.models.plan import ProjectPlan
from topline.schema import Type

SOURCES = """
sources:
  - name: s
    tables:
      - name: t
        config: {meta: {key: [id]}}
        columns: [{name: id, data_type: text}, {name: x, data_type: text}]
"""
Texts = list[str | None]
MODELS = {
    "scalars": """
        select id, {{ nonempty('x') }} as text, {{ try_decimal('x') }} as number,
            {{ try_times(try_decimal('x'), '3') }} as triple, {{ try_times(try_decimal('x'), try_decimal('x')) }} as square,
            {{ try_times(try_decimal('x'), '1 - ' ~ try_rate('x')) }} as discounted,
            {{ sale_date('x', 'America/Sao_Paulo') }} as day, {{ to_instant('x', 'Pacific/Apia') }} as instant,
            case when {{ by_bytes('x') }} < 'a' then 'before' else 'after' end as place
        from $t""",
    "groups": """
        select substring(id, 1, 1) as part, {{ max_text('x') }} as greatest, {{ min_text('x') }} as least,
            {{ exact_avg(try_decimal("case when length(x) < 9 and x <> '1e5' then x end")) }} as average
        from $t group by substring(id, 1, 1)""",
}
texts = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from([*AMOUNTS, *TIMES, *NAMES]),
        st.text("0123456789+-.eE _,\u00a0\u0663\n", max_size=12),
        st.datetimes().map(str),
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=4),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def macros(tmp_path_factory: pytest.TempPathFactory) -> ProjectPlan:
    models = {name: sql.replace("$t", "{{ source('s', 't') }}") for name, sql in MODELS.items()}
    return plan(tmp_path_factory.mktemp("macros"), models, sources=SOURCES)


@pytest.fixture(scope="module")
def server(postgres: Postgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.dsn("macros"), autocommit=True) as connection:
        connection.execute("SET timezone = 'Asia/Tokyo'")
        connection.execute('CREATE TEMP TABLE "s.t" (id TEXT, x TEXT)')
        yield connection


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=texts)
@example(given=[*AMOUNTS, *TIMES, *NAMES, None])
def test_the_live_engine_duckdb_and_postgres_agree(macros: ProjectPlan, server: psycopg.Connection, given: Texts) -> None:
    rows: list[Row] = [(f"{number:04}", text) for number, text in enumerate(given)]

    expected = in_duckdb(macros, {"s.t": rows})

    assert in_postgres(server, macros, rows) == expected
    assert [outcome for outcome in run_unit_tests(macros, examples(macros, rows, expected)) if not outcome.passed] == []


def in_postgres(server: psycopg.Connection, macros: ProjectPlan, rows: Sequence[Row]) -> Found:
    server.execute('TRUNCATE "s.t"')
    with server.cursor() as cursor, cursor.copy('COPY "s.t" FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)
    found = {}
    for model in macros.models.values():
        columns = ", ".join(f"CAST(CAST({c.name} AS {c.type.value}){_utc(c.type)} AS TEXT)" for c in model.schema.columns)
        query = f"SELECT {columns} FROM ({model.sql_postgres}) AS m"
        found[model.name] = sorted(server.execute(query.encode()).fetchall(), key=repr)
    return found


def _utc(kind: Type) -> str:
    return " AT TIME ZONE 'UTC'" if kind is Type.TIMESTAMPTZ else ""


def examples(macros: ProjectPlan, rows: Sequence[Row], expected: Found) -> Iterator[UnitTest]:
    """What DuckDB found, as unit tests: run in one batch, row by row, shuffled, redelivered."""
    given = [{"id": row[0], "x": row[1]} for row in rows]
    for name, model in macros.models.items():
        expect = [dict(zip(model.schema.names, row, strict=True)) for row in expected[name]]
        yield UnitTest(name, name, {"s.t": given}, expect, model.path, 1)
