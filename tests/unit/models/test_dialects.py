"""What dbt's Jinja means in a project: dispatch by engine, macros that return values, its own blocks, shared descriptions."""

from pathlib import Path

import pytest

from tests.unit.models.small import plan, project
from topline.models import ModelErrors, load
from topline.models.dialects import relation
from topline.models.plan import ProjectPlan

MODEL = {"m": "select id, {{ shout('name') }} as name from $t"}
SHOUT = """
{% macro shout(text) -%} {{ return(adapter.dispatch('shout')(text)) }} {%- endmacro %}
{% macro default__shout(text) -%} concat({{ text }}, '!') {%- endmacro %}
{% macro spark__shout(text) -%} concat_ws('', {{ text }}, '!') {%- endmacro %}
"""


def loaded(folder: Path, macros: str, models: dict[str, str] | None = None, notes: str = "") -> ProjectPlan:
    made = project(folder, models or MODEL, notes)
    (made / "macros" / "own.sql").write_text(macros)
    return load(made, name="small", time_zone="UTC", currency="EUR", vars={})


def test_macros_are_found_as_dbt_dispatches_them(tmp_path: Path) -> None:
    model = loaded(tmp_path, SHOUT).models["m"]

    assert {dialect: "concat_ws" in sql for dialect, sql in model.sql_elsewhere.items()} == {
        "spark": True,
        "databricks": True,  # a child of Spark's adapter
        "snowflake": False,
    }
    assert "concat(name, '!')" in model.sql_duckdb


def test_what_a_macro_lacks_elsewhere_stops_nothing_here(tmp_path: Path) -> None:
    model = loaded(tmp_path, SHOUT.replace("default__", "duckdb__") + SHOUT.replace("default__", "postgres__")).models["m"]

    assert model.sql_elsewhere["snowflake"].startswith("-- ")
    assert "no macro snowflake__shout or default__shout" in model.sql_elsewhere["snowflake"]
    assert "concat_ws" in model.sql_elsewhere["spark"]


def test_relations_are_named_as_each_engine_reads_them() -> None:
    assert relation("duckdb", "shop", "orders") == '"shop.orders"'
    assert relation("spark", "shop", "orders") == "shop.orders"
    assert relation("spark", "web-shop", "orders") == "`web-shop`.orders"
    assert relation("snowflake", "web-shop", "orders") == '"web-shop".orders'


def test_a_macro_may_return_a_list(tmp_path: Path) -> None:
    macros = """
    {% macro fields() %}{% do return(['id', 'name']) %}{% endmacro %}
    {% macro listed() %}{{ fields() | join(', ') }}{% endmacro %}
    """
    made = loaded(tmp_path, macros, {"m": "select {{ listed() }}, '{{ fields() | length }}' as n from $t"})

    assert "select id, name, '2' as n from \"s.t\"" in made.models["m"].sql_duckdb


def test_tests_and_materializations_among_the_macros_are_passed_over(tmp_path: Path) -> None:
    macros = (
        SHOUT
        + """
    {% test even(model, column_name) %} select * from {{ model }} where {{ column_name }} % 2 = 1 {% endtest %}
    {% materialization odd, adapter='duckdb' -%}
      {% call statement('main') %} {{ sql }} {% endcall %}
      {{ return({'relations': []}) }}
    {%- endmaterialization %}
    """
    )

    assert loaded(tmp_path, macros).models["m"].sql_duckdb == loaded(tmp_path / "plain", SHOUT).models["m"].sql_duckdb


NOTES = """
models:
  - name: m
    description: "One {{ doc('thing') }}"
    columns: [{name: id, description: "Its {{ doc('small', 'word') }}."}]
"""
BLOCKS = "{% docs thing %}thing,\nin two lines{% enddocs %}\n\n{%- docs word -%}number{% enddocs %}"


def test_descriptions_are_shared_through_doc_blocks(tmp_path: Path) -> None:
    project(tmp_path, {"m": "select id from $t"}, NOTES)
    (tmp_path / "models" / "live" / "words.md").write_text(BLOCKS)

    model = load(tmp_path, name="small", time_zone="UTC", currency="EUR", vars={}).models["m"]

    assert (model.description, model.column_descriptions) == ("One thing, in two lines", {"id": "Its number."})


def test_a_doc_block_that_is_not_there_is_named_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ModelErrors, match=r"notes.yml:4: doc\('thing'\): no such block; the .md files .* have none"):
        plan(tmp_path, {"m": "select id from $t"}, NOTES)
