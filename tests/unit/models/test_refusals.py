"""What cannot be live is refused when the project is loaded: with file, line, clause and a hint, never computed wrongly."""

from pathlib import Path

import pytest

from tests.unit.models.small import SOURCES, plan
from topline.errors import ModelError
from topline.models import ModelErrors

REFUSED = {
    "global aggregate": ("select\n  count(*) as n\nfrom $t", "global aggregate", 2, "GROUP BY"),
    "having without group": ("select 1 as one from $t having count(*) > 1", "global aggregate", 1, "GROUP BY"),
    "unbounded rank": (
        "select id,\n row_number() over (partition by day order by number nulls last, id) as r\nfrom $t",
        "unbounded rank", 2, "WHERE rank <= 100",
    ),
    "rank bounded by a column": (
        "with x as (select id, number,\n row_number() over (partition by day order by id) as r from $t)\n"
        "select id, r from x where r <= number", "unbounded rank", 2, "WHERE rank <= 100",
    ),
    "ties not settled": (
        "with x as (select id,\n row_number() over (partition by day order by number) as r from $t)\n"
        "select id, r from x where r <= 3", "ties are not settled", 2, "(id)",
    ),
    "rank over everything": (
        "with x as (select id,\n row_number() over (order by id) as r from $t) select id from x where r <= 3",
        "whole table", 2, "PARTITION BY",
    ),
    "rank()": ("select id, rank() over (partition by day order by id) as r from $t", "only ROW_NUMBER()", 1, "row_number()"),
    "running sum": ("select id, sum(number) over (partition by day) as r from $t", "only ROW_NUMBER()", 1, "row_number()"),
    "lag": ("select id, lag(number) over (partition by day order by id) as r from $t", "only ROW_NUMBER()", 1, ""),
    "right join": ("select u.id\nfrom $t as t\nright join $u as u on t.id = u.t_id", "RIGHT JOIN", 3, "LEFT JOIN"),
    "full join": ("select u.id from $t as t full join $u as u on t.id = u.t_id", "FULL JOIN", 1, "UNION ALL"),
    "cross join": ("select t.id from $t as t cross join $u as u", "CROSS JOIN", 1, "a.x = b.x"),
    "comma join": ("select t.id from $t as t, $u as u where t.id = u.t_id", "join without ON", 1, "ON a.x = b.x"),
    "non-equi join": ("select t.id from $t as t\njoin $u as u on t.number < u.number", "without an equality", 2, "ON a.x"),
    "or join": ("select t.id from $t as t join $u as u on t.id = u.id or t.id = u.t_id", "without an equality", 1, ""),
    "residual on a left join": (
        "select t.id from $t as t left join $u as u on t.id = u.t_id\n  and u.label = 'x'",
        "LEFT JOIN with a condition beyond equality", 2, "WHERE",
    ),
    "join of types": ("select t.id from $t as t join $u as u on t.number = u.t_id", "join of BIGINT with TEXT", 1, "cast"),
    "using": ("select t.id from $t as t join $u as u using (id)", "USING", 1, "ON a.x = b.x"),
    "natural join": ("select t.id from $t as t natural join $u as u", "join", 1, "a.x = b.x"),
    "semi join": ("select t.id from $t as t semi join $u as u on t.id = u.id", "SEMI", 1, ""),
    "order by": ("select id from $t\norder by id", "ORDER BY", 2, "readers sort"),
    "limit": ("select id from $t\nlimit 10", "LIMIT", 2, "row_number()"),
    "offset": ("select id from $t offset 10", "OFFSET", 1, "row_number()"),
    "limit in a cte": ("with x as (\n select id from $t limit 1)\nselect id from x", "LIMIT", 2, "row_number()"),
    "union distinct": ("select id from $t\nunion\nselect id from $u", "UNION drops duplicates", 1, "UNION ALL"),
    "except": ("select id from $t except select id from $u", "EXCEPT", 1, "LEFT JOIN"),
    "intersect": ("select id from $t intersect select id from $u", "INTERSECT", 1, "JOIN"),
    "union of types": ("select id from $t union all select number from $u", "UNION ALL of id (TEXT)", 1, "cast"),
    "union of widths": ("select id from $t union all select id, label from $u", "UNION ALL of 1 and 2", 1, ""),
    "scalar subquery": ("select id, (select max(number) from $u) as m from $t", "subquery", 1, "JOIN"),
    "in subquery": ("select id from $t where id in\n (select t_id from $u)", "IN (SELECT", 1, "JOIN"),
    "exists": ("select id from $t as t where exists (select 1 from $u as u where u.t_id = t.id)", "EXISTS", 1, "JOIN"),
    "recursive": ("with recursive x as (select id from $t union all select id from x) select id from x", "recursive", 1, ""),
    "now": ("select id,\n now() as n from $t", "now is another value", 2, "column of a source"),
    "current_date": ("select id from $t where day = current_date", "current_date is another value", 1, "column of a source"),
    "random": ("select id, random() as r from $t", "another value", 1, "column of a source"),
    "uuid": ("select id, uuid() as r from $t", "another value", 1, "column of a source"),
    "avg": ("select day,\n avg(number) as a from $t group by day", "AVG", 2, "exact_avg"),
    "division": ("select id,\n number / 2 as h from $t", "`/`", 2, "exact_avg"),
    "division of money": ("select id, {{ try_decimal('price') }} / 2 as h from $t", "`/`", 1, "exact_avg"),
    "sum of text": ("select day, sum(\nprice) as s from $t group by day", "SUM of TEXT", 1, "try_decimal"),
    "sum of a float": ("select day, sum(cast(price as double)) as s from $t group by day", "a float", 1, "try_decimal"),
    "a float literal": ("select id, cast(1.5 as float) as s from $t", "a float is not exact", 1, "try_decimal"),
    "scale": ("select id, number * cast(0.123456 as decimal(10,6)) as x from $t", "more than 4 decimals", 1, "try_decimal"),
    "max of text": ("select day, max(name) as m from $t group by day", "MIN or MAX of text", 1, "max_text"),
    "max of a boolean": ("select day, max(ok) as m from $t group by day", "BOOLEAN", 1, "CASE WHEN"),
    "text compared": ("select id from $t where name < 'x'", "text compared by order", 1, "by_bytes"),
    "text between": ("select id from $t where name between 'a' and 'b'", "text compared by order", 1, "by_bytes"),
    "greatest of text": ("select id, greatest(name, id) as g from $t", "text compared by order", 1, "by_bytes"),
    "ordered by text": (
        "with x as (select id, day, row_number() over (partition by day order by name, id) as r from $t)\n"
        "select id from x where r <= 3", "text ordered", 1, "by_bytes",
    ),
    "nulls": (
        "with x as (select id,\n row_number() over (partition by ok order by number desc, {{ by_bytes('id') }}) as r from $t)\n"
        "select id from x where r <= 3", "NULLs differently", 2, "NULLS LAST",
    ),
    "instant to date": ("select id, cast(moment as date) as d from $t", "depends on the session", 1, "business_date"),
    "unknown function": ("select id,\n soundex(name) as s from $t", "soundex is not in the tested list", 2, "allowed: abs"),
    "list aggregate": ("select day, array_agg(id) as s from $t group by day", "not in the tested list", 1, "allowed"),
    "filter": ("select day, count(*) filter (where ok) as n from $t group by day", "FILTER", 1, "CASE WHEN"),
    "sum distinct": ("select day, sum(distinct number) as n from $t group by day", "DISTINCT here", 1, "COUNT(DISTINCT x)"),
    "count of two": ("select day, count(distinct id, name) as n from $t group by day", "", 1, ""),
    "distinct on": ("select distinct on (day) id from $t", "DISTINCT ON", 1, "row_number()"),
    "rollup": ("select day, count(*) as n from $t group by rollup(day)", "grouping sets", 1, "UNION ALL"),
    "group by all": ("select day, count(*) as n from $t group by all", "grouping sets", 1, "UNION ALL"),
    "not grouped": ("select day,\n name, count(*) as n from $t group by day", "neither grouped nor aggregated", 2, "GROUP BY"),
    "unknown column": ("select id,\n nonsense from $t", "nonsense", 2, ""),
    "unknown table": ("select id\nfrom orders", "unknown table", 2, "source("),
    "no from": ("select 1 as one", "without FROM", 1, "ref()"),
    "untyped null": ("select id, null as x from $t", "a NULL without a type", 1, "cast(null as text)"),
    "odd type": ("select id, cast(name as blob) as x from $t", "BLOB is not one of the live types", 1, "cast"),
    "two of a name": ("select id, name as id from $t", "two columns are called", 1, "alias"),
    "collation": ("select id from $t where name collate nocase = 'a'", "collation of bytes", 1, "by_bytes"),
    "zero": (
        "select id from (select id,\n row_number() over (partition by day order by number) as r from $t) as q where r <= 0",
        "unbounded rank", 2, "rank <= 100",
    ),
    "unnest": ("select id from $t, unnest([1]) as x", "", 1, ""),
    "values": ("select x.a from (values (1)) as x(a)", "VALUES", 1, "source table"),
    "not a select": ("delete from $t", "one SELECT", 1, ""),
    "two statements": ("select id from $t; select id from $u", "2 statements", 1, "one SELECT"),
    "not sql": ("select id\nfrom $t where (", "not SQL", 2, ""),
    "an open quote": ("select id\nfrom $t where name = 'x\n", "a quote or a comment is opened and not closed", 2, ""),
    "an open comment": ("select id\nfrom $t /* where", "a quote or a comment is opened and not closed", 0, ""),
    "sample": ("select id from $t tablesample 10%", "", 1, ""),
    "star of an alias": ("select t.* from $t as t", "alias.*", 1, "list the columns"),
    "unknown ref": ("select id\nfrom {{ ref('nothing') }}", "no such model", 2, ""),
    "unknown source": ("select id\n\nfrom {{ source('s', 'x') }}", "not declared", 3, ""),
    "unknown var": ("select id, {{ var('x') }} as x from $t", "var('x') is not set", 1, ""),
    "undeclared column": ("select id,\n t.nothing as x from $t as t", "nothing", 2, "under `sources:`"),
    "undeclared column of one table": ("select id,\n nothing as x from $t", "nothing", 2, "under `sources:`"),
    "env_var": ("select id, '{{ env_var('HOME') }}' as x from $t", "env_var", 1, ""),
    "unknown macro": ("select id,\n {{ nothing('x') }} as x from $t", "'nothing' is undefined", 2, ""),
    "broken jinja": ("select id\nfrom {{ source('s' }}", "Jinja", 2, ""),
    "no key": ("select name from $t", "needs a key", 1, "publish: false"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    sql, message, line, hint = REFUSED[case]

    with pytest.raises(ModelErrors) as caught:
        plan(tmp_path, {"m": sql})

    faults = caught.value.faults
    assert any(message in str(f) and hint in f.hint and f.line == line for f in faults), str(caught.value)
    assert all(f.path == "models/live/m.sql" for f in faults)


def test_every_fault_of_the_project_is_told_at_once(tmp_path: Path) -> None:
    models = {"a": "select id from $t limit 1", "b": "select id,\nnow() as n, uuid() as u from $t", "c": "select x from $t"}

    with pytest.raises(ModelErrors) as caught:
        plan(tmp_path, models)

    places = [(f.path, f.line) for f in caught.value.faults]
    assert places == [("models/live/a.sql", 1), ("models/live/b.sql", 2), ("models/live/b.sql", 2), ("models/live/c.sql", 1)]
    assert caught.value.exit_code == 2


def test_models_that_read_each_other(tmp_path: Path) -> None:
    models = {"a": "select id from {{ ref('b') }}", "b": "select id from {{ ref('a') }}"}

    with pytest.raises(ModelErrors, match="in a circle: a -> b -> a"):
        plan(tmp_path, models)


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ("models: [{name: m, config: {meta: {key: [nothing]}}}]", "the declared key names nothing"),
        ("models: [{name: m, config: {meta: {key: [{id: x}]}}}]", "model m: the key is .*; allowed is a list of columns"),
        ("models:\n  - name: x\n", "described, but there is no x.sql"),
        ("models: [", "not valid YAML"),
        ("- a list", "a mapping is expected"),
        ("models: [m]", "each with a `name:`"),
        ("models: [{name: m, columns: [{description: x}]}]", "each with a `name:`"),
        ("sources: [{name: x, tables: t}]", "each with a `name:`"),
    ],
)
def test_faults_of_the_notes(notes: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelErrors, match=message):
        plan(tmp_path, {"m": "select id from $t"}, notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data_type: date", "data_type: interval", "column day has data_type 'interval'; allowed: "),
        ("key: [id]", "key: [nothing]", "the key names nothing"),
        ("key: [id]", "key: id", "table s.t: the key is 'id'; allowed is a list of columns"),
        ("key: [id]", "key: [{id: 1}]", "table s.t: the key is [{'id': 1}]; allowed is a list of columns"),
        ("config: {meta: {key: [id]}}", "description: x", "no key is declared"),
        ("{name: day,", "{name: _Deleted,", "a column cannot be called _Deleted; _partition, "),
        ("{name: day,", "{name: ID,", "the columns id and ID differ only in upper and lower case"),
        ("{name: day,", "{name: id,", "the columns id and id differ only in upper and lower case, or not at all"),
    ],
)
def test_faults_of_the_sources(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        plan(tmp_path, {"m": "select id from $t"}, sources=SOURCES.replace(old, new, 1))

    assert message in str(caught.value)
    assert "models/live/sources.yml:5" in str(caught.value)
