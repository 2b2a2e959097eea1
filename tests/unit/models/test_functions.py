"""Every function of the portable list gives the same value in DuckDB and in PostgreSQL; the lists hold what is tested."""

from pathlib import Path

import pytest
from sqlglot import exp

from tests.conftest import Postgres
from tests.unit.models.relations import in_duckdb, in_postgres
from tests.unit.models.small import plan
from tests.unit.models.test_planner import rows
from topline.models import functions
from topline.models.plan import ProjectPlan

PORTABLE = {
    exp.And: "ok and number > 1",
    exp.Or: "ok or number > 1",
    exp.Case: "case when ok then 1 else 2 end",
    exp.If: "case number when 1 then 'a' end",
    exp.Coalesce: "coalesce(name, id, 'x')",
    exp.Nullif: "nullif(name, 'a')",
    exp.Cast: "cast(number as text) || cast(day as text)",
    exp.Trim: "trim(both ' a' from name)",
    exp.Length: "length(name)",
    exp.Substring: "substring(id || name, 2, 3)",
    exp.Replace: "replace(name, 'a', 'bb')",
    exp.Concat: "concat(name, '-', id)",
    exp.Chr: "chr(cast(number + 64 as integer))",
    exp.RegexpReplace: "regexp_replace(name, '[a-c]', 'x')",
    exp.Abs: "abs(-number)",
    exp.Sign: "cast(sign(number - 3) as bigint)",
    exp.Ceil: "cast(ceil({{ try_decimal('price') }}) as bigint)",
    exp.Floor: "cast(floor({{ try_decimal('price') }}) as bigint)",
    exp.Greatest: "greatest(number, 3)",
    exp.Least: "least(number, 3)",
    exp.Extract: "extract(year from day) * 10000 + extract(month from day) * 100 + extract(day from day)",
}
DUCKDB_ONLY = {
    exp.TryCast: "try_cast(name as bigint)",
    exp.Lower: "lower(name)",
    exp.Upper: "upper(name)",
    exp.RegexpLike: "regexp_matches(name, 'a')",
    exp.RegexpFullMatch: "regexp_full_match(name, 'a')",
    exp.RegexpExtract: "regexp_extract(name, 'a')",
    exp.StartsWith: "starts_with(name, 'a')",
    exp.StrPosition: "strpos(name, 'a')",
    exp.Left: "left(name, 1)",
    exp.Right: "right(name, 1)",
    exp.Pad: "lpad(name, 3, 'x')",
    exp.IntDiv: "number // 2",
    exp.Like: "name like 'a%'",
}
NAMES = {kind: f"m_{kind.__name__.lower()}" for kind in {**PORTABLE, **DUCKDB_ONLY}}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> ProjectPlan:
    folder: Path = tmp_path_factory.mktemp("functions")
    return plan(folder, {NAMES[k]: f"select id, {text} as x from $t" for k, text in {**PORTABLE, **DUCKDB_ONLY}.items()})


def test_the_lists_hold_what_is_tested() -> None:
    assert set(PORTABLE) == functions.PORTABLE
    assert set(DUCKDB_ONLY) == functions.DUCKDB_ONLY


def test_portable_functions_agree(everything: ProjectPlan, postgres: Postgres) -> None:
    portable = {NAMES[kind] for kind in PORTABLE}
    chosen = {name: model for name, model in everything.models.items() if name in portable}
    part = ProjectPlan("part", "UTC", everything.tables, chosen, everything.nodes, "")

    expected, found = in_duckdb(part, rows(1)), in_postgres(part, rows(1), postgres.dsn("functions"))

    for name in sorted(portable):
        assert found[name] == expected[name], name


def test_the_marks(everything: ProjectPlan) -> None:
    marked = {name for name, model in everything.models.items() if model.live_only}

    assert marked >= {NAMES[kind] for kind in DUCKDB_ONLY} - {NAMES[exp.RegexpLike]}
    assert not marked & {NAMES[kind] for kind in PORTABLE}
