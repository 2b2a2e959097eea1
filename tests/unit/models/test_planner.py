"""Plans of small models: their nodes, run from scratch, equal the original SQL; shapes and keys are as expected."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import Postgres
from tests.unit.models.relations import Row, by_nodes, in_duckdb, in_postgres
from tests.unit.models.small import plan
from topline.models.plan import Aggregate, Join, Measure, Node, ProjectPlan, Scan, Select, TopN
from topline.schema import Column, Type

LIVE = {
    "filter": "select id, number from $t where number > 2 and not ok",
    "star": "select * from $t where ok",
    "arithmetic": "select id, number * 2 + 1 as n, -number as m, number % 3 as r, {{ try_decimal('price') }} * number "
    "as x from $t",
    "case": "select id, case when number > 5 then 'many' when number is null then 'none' else 'few' end as size from $t",
    "simple case": "select id, case name when 'a' then 1 else 0 end as a from $t",
    "in and between": "select id from $t where name in ('a', 'b') or number between 2 and 4 or day = date '2024-03-01'",
    "null logic": "select id from $t where name is distinct from 'a' and (number is not null or ok is true)",
    "text": "select id, name || '-' || coalesce(name, '') as n, {{ nonempty('name') }} as m from $t",
    "dates": "select id, {{ business_date('moment') }} as d, day + 1 as next, extract(year from day) as y from $t",
    "inner join": "select t.id, u.id as uid, u.label from $t as t join $u as u on t.id = u.t_id",
    "left join": "select t.id, u.id as uid, u.number as n, t.number from $t as t left join $u as u on u.t_id = t.id",
    "left join on its key": "select u.id, t.name from $u as u left join $t as t on u.t_id = t.id",
    "join by two": "select t.id, u.id as uid from $t as t join $u as u on t.id = u.t_id and t.number = u.number",
    "residual": "select t.id, u.id as uid from $t as t join $u as u on t.id = u.t_id and t.number <> u.number",
    "computed join": "select t.id, u.id as uid from $t as t join $u as u on coalesce(t.name, 'a') = u.label",
    "self join": "select a.id, b.id as other from $t as a join $t as b on a.name = b.name and a.number = b.number + 1",
    "three": "select t.id, u.id as uid, v.id as vid from $t t join $u u on t.id = u.t_id left join $u v on v.label = t.name",
    "anti join": "select t.id from $t t left join $u u on t.id = u.t_id where u.id is null",
    "union all": "select id, 'x' as kind from $t union all select id, 'y' as kind from $u union all select id, 'z' as "
    "kind from $u",
    "group": "select day, count(*) as n, count(name) as names, sum(number) as total, min(number) as low, max(moment) as late "
    "from $t group by day",
    "group by expression": "select coalesce(name, '') as who, sum(number * 2) as total from $t group by coalesce(name, '')",
    "group by alias": "select coalesce(name, '') as who, count(*) as n from $t group by who",
    "group by place": "select day, name, count(*) as n from $t group by 1, 2",
    "over aggregates": "select day, sum(number) * 2 + count(*) as x, coalesce(max(number), 0) as y, day + 1 as z from "
    "$t group by day",
    "having": "select day, sum(number) as total from $t where ok group by day having count(*) > 1 and sum(number) > 3",
    "exact_avg": "select day, {{ exact_avg(try_decimal('price')) }} as a, {{ exact_avg('number') }} as b from $t group by day",
    "count distinct": "select day, count(distinct name) as names, count(distinct number + 1) as numbers from $t group by day",
    "text extremes": "select day, {{ max_text('name') }} as top, {{ min_text(\"coalesce(name, 'z')\") }} as low from "
    "$t group by day",
    "money": "select day, sum({{ try_decimal('price') }}) as total, max({{ try_decimal('price') }}) as top from $t "
    "group by day",
    "distinct": "select distinct day, name from $t",
    "distinct of a join": "select distinct u.label, t.day from $t t join $u u on t.id = u.t_id where t.number > 1",
    "top": "with r as (select id, day, number, row_number() over (partition by day order by number desc nulls last, "
    "{{ by_bytes('id') }}) as place from $t) select id, day, number, place from r where place <= 2",
    "best": "select id, day from (select *, row_number() over (partition by day order by number nulls first, {{ "
    "by_bytes('id') }}) "
    "as r from $t) as q where r = 1 and ok",
    "a column called rank": "select id, rank, r from (select id, number as rank, row_number() over (partition by day order by "
    "number nulls last, {{ by_bytes('id') }}) as r from $t) as q where r <= 2",
    "union in a cte": "with a as (select id from $t union all (select id from $u union all select id from $t)) "
    "select id, 'q' as z from a union all select id, 'p' as z from a",
    "alias of a column": "select id, number + 1 as number from $t where number > 2",
    "group by an alias of a column": "select coalesce(name, '') as name, count(*) as n from $t group by name",
    "measure named as a group": "select day as total, sum(number) as day from $t group by day",
    "residual of one side": "select t.id, u.id as uid from $t t join $u u on t.id = u.t_id and t.ok and u.number = 1",
    "top of groups": "select name, day, total from (select name, day, sum(number) as total, row_number() over "
    "(partition by day "
    "order by sum(number) desc nulls last, {{ by_bytes('name') }} nulls first) as r from $t group by name, day) as q "
    "where 3 > r",
    "group of groups": "with a as (select day, name, count(*) as n from $t group by day, name) "
    "select day, max(n) as top, count(*) as names from a group by day",
    "cte twice": "with a as (select id, number from $t where ok) select x.id, y.number from a as x join a as y on x.id = y.id",
    "nested": "select id from (select id, number from (select * from $t where ok) as a where number > 1) as b where number < 9",
    "computed once": "with a as (select id, {{ try_decimal('price') }} as p from $t) select id, p, p + 1 as q, -p as r from a",
    "wheres": "with a as (select id, name, cast(name as text) as n from $t where number > 3) select id from a where n "
    "|| 'x' <> 'bx'",
    "var": "select id, number * {{ var('factor') }} as x from $t",
    "loop": "select day, {% for n in ['a', 'b'] %}sum(case when name = '{{ n }}' then 1 else 0 end) as {{ n }}, {% endfor %}"
    "count(*) as n from $t group by day",
}  # fmt: skip
ANY_KEY = "models: [{name: m, config: {meta: {publish: false}}}]"


def rows(seed: int) -> dict[str, list[Row]]:
    r = random.Random(seed)
    some: list[Row] = [
        (str(i), r.choice([date(2024, 3, 1), date(2024, 3, 2), None]), _at(r), r.choice(["a", "b", "é", "Z", "", " ", None]),
         r.choice([1, 2, 3, 4, 7, None]), r.choice(["1", "2.5", "0.00005", "x", None]), r.choice([True, False, None]))
        for i in range(25)
    ]  # fmt: skip
    others: list[Row] = [
        (str(i), r.choice([*map(str, range(12)), None]), r.choice(["a", "b", None]), r.choice([1, 2, None])) for i in range(20)
    ]
    return {"s.t": some, "s.u": others}


def _at(r: random.Random) -> datetime:
    return datetime(2024, 3, 30, 20, tzinfo=UTC) + timedelta(hours=r.randrange(8))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> ProjectPlan:
    names = {case: case.replace(" ", "_") for case in LIVE}
    notes = "models:\n" + "\n".join(f"  - {{name: {name}, config: {{meta: {{publish: false}}}}}}" for name in names.values())
    return plan(tmp_path_factory.mktemp("live"), {names[case]: sql for case, sql in LIVE.items()}, notes)


@pytest.mark.parametrize("seed", range(4))
def test_the_nodes_equal_the_original_sql(seed: int, everything: ProjectPlan, postgres: Postgres) -> None:
    given = rows(seed)
    expected = in_duckdb(everything, given)

    found, other = by_nodes(everything, given), in_postgres(everything, given, postgres.dsn("planner"))

    for model in everything.models:
        assert found[model] == expected[model], model
        assert other[model] == expected[model], model


def test_derived_keys_are_unique_in_the_rows(everything: ProjectPlan) -> None:
    given = [rows(seed) for seed in range(6)]
    for model, result in ((m, r[m]) for r in (in_duckdb(everything, g) for g in given) for m in r):
        schema = everything.models[model].schema
        places = [schema.names.index(column) for column in schema.key]
        keys = Counter(tuple(row[i] for i in places) for row in result)
        assert not schema.key or max(keys.values(), default=1) == 1, model


@pytest.mark.parametrize(
    ("case", "key"),
    [
        ("filter", ("id",)),
        ("inner join", ("uid",)),
        ("left join", ("id", "uid")),
        ("left join on its key", ("id",)),
        ("self join", ("id", "other")),
        ("three", ("uid", "vid")),
        ("union all", ("kind", "id")),
        ("group", ("day",)),
        ("group by expression", ("who",)),
        ("distinct", ("day", "name")),
        ("top", ("id",)),
        ("group of groups", ("day",)),
    ],
)
def test_derived_keys(case: str, key: tuple[str, ...], everything: ProjectPlan) -> None:
    assert everything.models[case.replace(" ", "_")].schema.key == key


def shape(folder: Path, sql: str) -> Node:
    return plan(folder, {"m": sql}, ANY_KEY).models["m"].root


def test_a_chain_of_selects_is_one(tmp_path: Path) -> None:
    root = shape(tmp_path, "with a as (select id, number + 1 as n from $t where ok) select id, n * 2 as x from a")

    assert isinstance(root, Select)
    assert isinstance(root.input, Scan)
    assert root.where == '"ok"'
    assert root.expressions == ('"id"', '("number" + 1) * 2')


def test_a_condition_does_not_move_before_the_filter_that_guards_it(tmp_path: Path) -> None:
    root = shape(tmp_path, "with a as (select id, name from $t where ok) select id from a where cast(name as bigint) = 1")

    assert isinstance(root, Select)
    assert isinstance(root.input, Select), "the cast would fail on rows that the filter takes away"


def test_an_expensive_expression_is_not_computed_twice(tmp_path: Path) -> None:
    root = shape(tmp_path, "with a as (select id, name || 'x' as n from $t) select id, n, n || 'y' as m from a")

    assert isinstance(root, Select)
    assert isinstance(root.input, Select)


def test_a_model_that_passes_all_on_is_its_input(tmp_path: Path) -> None:
    assert isinstance(shape(tmp_path, "select * from $t"), Scan)


def test_an_aggregate_reads_plain_columns(tmp_path: Path) -> None:
    root = shape(
        tmp_path, "select day, sum(number) as total, count(distinct name) as names, count(*) as n from $t group by day"
    )

    assert isinstance(root, Aggregate)
    assert isinstance(root.input, Scan)
    assert root.measures == (
        Measure("total", "sum", "number"),
        Measure("names", "count_distinct", "name"),
        Measure("n", "count"),
    )
    assert root.columns == (
        Column("day", Type.DATE), Column("total", Type.BIGINT), Column("names", Type.BIGINT), Column("n", Type.BIGINT),
    )  # fmt: skip


def test_a_join_keeps_only_the_columns_that_are_used(tmp_path: Path) -> None:
    root = shape(tmp_path, "select t.id, u.label from $t as t join $u as u on t.id = u.t_id")

    assert isinstance(root, Select)
    assert isinstance(root.input, Join)
    assert [c.name for c in root.input.columns] == ["id", "t_id", "label"]


def test_qualify_bounds_a_rank(tmp_path: Path) -> None:
    sql = "select id, row_number() over (partition by day order by {{ by_bytes('id') }}) as r from $t qualify r <= 5"
    planned = plan(tmp_path, {"m": sql}).models["m"]

    tops = [node for node in (planned.root, getattr(planned.root, "input", None)) if isinstance(node, TopN)]

    assert [top.limit for top in tops] == [5]
    assert planned.live_only == "QUALIFY is not portable"


def test_types_are_of_the_closed_set(tmp_path: Path) -> None:
    sql = """select id, 1 as one, cast(2 as smallint) as two, cast(1.5 as decimal(9,2)) as d,
      number * {{ try_decimal('price') }} as p from $t"""
    schema = plan(tmp_path, {"m": sql}).models["m"].schema

    assert [c.type for c in schema.columns] == [Type.TEXT, Type.BIGINT, Type.BIGINT, Type.DECIMAL, Type.DECIMAL]


def test_a_declared_key_wins_and_sql_may_declare_it(tmp_path: Path) -> None:
    sql = "{{ config(meta={'key': ['name'], 'indexes': [['name', 'id desc']]}) }}\nselect id, name from $t"
    model = plan(tmp_path, {"m": sql}).models["m"]

    assert (model.schema.key, model.indexes) == (("name",), (("name", "id desc"),))


def test_functions_that_only_duckdb_has_mark_the_model(tmp_path: Path) -> None:
    models = plan(tmp_path, {"a": "select id, upper(name) as n from $t", "b": "select id from $t"}).models

    assert models["a"].live_only == "upper is not portable"
    assert models["b"].live_only == ""


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("select id, number from $t", "select  id,\n number from $t -- why", True),
        ("select id, number from $t", "select id, number + 0 as number from $t", False),
        ("select id from $t where number > 1", "select id from $t where number > 2", False),
    ],
)
def test_a_fingerprint_follows_the_meaning(first: str, second: str, same: bool, tmp_path: Path) -> None:
    one, two = plan(tmp_path / "a", {"m": first}), plan(tmp_path / "b", {"m": second})

    assert (one.fingerprint == two.fingerprint) is same
    assert (one.models["m"].fingerprint == two.models["m"].fingerprint) is same
