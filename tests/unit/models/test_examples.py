"""Unit tests of models, a model's plan alone, and its explanation."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.unit.models.relations import SALES, by_nodes, in_duckdb, sales_plan
from tests.unit.models.small import project
from topline.errors import UsageError
from topline.models import ModelErrors, explain, load, render_explanation, subplan, unit_tests
from topline.models.plan import ProjectPlan

MODELS = {"a": "select id, day, number from $t", "b": "select day, sum(number) as total from {{ ref('a') }} group by day"}
TEST = """
unit_tests:
  - name: totals
    model: b
    given:
      - input: ref('a')
        format: csv
        rows: |
          id, day, number
          1, 2024-03-01, 2
          2, 2024-03-01,
    expect:
      rows:
        - {day: 2024-03-01, total: 2}
"""


def small(folder: Path, notes: str) -> tuple[Path, ProjectPlan]:
    root = project(folder, MODELS, notes)
    return root, load(root, name="small", time_zone="UTC", currency="EUR", vars={})


def test_csv_and_dict_rows(tmp_path: Path) -> None:
    (test,) = unit_tests(*small(tmp_path, TEST))

    assert (test.name, test.model) == ("totals", "b")
    assert test.given == {
        "a": [{"id": "1", "day": "2024-03-01", "number": "2"}, {"id": "2", "day": "2024-03-01", "number": None}]
    }
    assert [str(row["total"]) for row in test.expect] == ["2"]
    assert (test.path, test.line) == ("models/live/notes.yml", 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model: b", "model: c", "there is no model 'c'"),
        ("ref('a')", "ref('b')", "b also reads a; give it"),
        ("format: csv", "format: sql", "format 'sql'; allowed: dict, csv"),
        ("total: 2", "sum: 2", "expect: no column sum; there are day, total"),
        ("id, day, number", "id, day, amount", "a: no column amount"),
    ],
)
def test_faults_of_unit_tests(old: str, new: str, message: str, tmp_path: Path) -> None:
    root, plan = small(tmp_path, TEST.replace(old, new, 1))

    with pytest.raises(ModelErrors) as caught:
        unit_tests(root, plan)

    assert message in str(caught.value)
    assert "models/live/notes.yml:3: unit test totals" in str(caught.value)


def test_every_shipped_model_has_an_example() -> None:
    plan = sales_plan()

    assert {test.model for test in unit_tests(SALES, plan)} == set(plan.models)


def test_a_model_alone_reads_models_as_tables() -> None:
    part = subplan(sales_plan(), "salesman_daily")

    assert set(part.tables) == {"sales", "salesman_city_daily"}
    assert part.tables["sales"].key == ("source", "sale_id")
    assert list(part.models) == ["salesman_daily"]


def test_a_model_alone_gives_what_its_sql_gives(tmp_path: Path) -> None:
    _, plan = small(tmp_path, "")
    part, rows = subplan(plan, "b"), {"a": [("1", "2024-03-01", 2), ("2", "2024-03-01", 3)]}

    assert by_nodes(part, rows) == in_duckdb(part, rows) == {"b": [("2024-03-01", "5")]}


def test_an_explanation_can_be_shown_and_written_as_json() -> None:
    explanation = explain(sales_plan(), "top_salesmen")

    text = render_explanation(explanation)

    assert "key: date, salesman_id" in text
    assert "#37 first 100 of each date by total_sales descending, salesman_id ascending" in text
    assert "from branches.sales.amount, partner.entries.amount, shop.order_items.quantity, shop.order_items.unit_price" in text
    assert "sales: union of 3 (shown above)" in text
    assert [line for line in text.splitlines() if line.startswith("SQL for")] == [
        "SQL for DuckDB and PostgreSQL",
        "SQL for Spark and Databricks",
        "SQL for Snowflake",
        "SQL for Flink",
    ]
    assert json.loads(json.dumps(asdict(explanation)))["model"] == "top_salesmen"


def test_an_unknown_model_names_the_known() -> None:
    with pytest.raises(UsageError, match="no model 'x'; there are branches_sales, partner_sales, rejected_sales"):
        explain(sales_plan(), "x")
