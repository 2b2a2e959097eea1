"""The shipped project built by dbt 1.11: the live results row for row, the same SQL elsewhere, and data tests that fail."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import sqlglot
from psycopg.conninfo import conninfo_to_dict
from sqlglot import exp

from tests.dbt.state import State, live_state, rows
from topline.models import Explanation, explain
from topline.models.dialects import Dialect

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-dbt" / "bin" / "python"
ELSEWHERE: tuple[Dialect, ...] = ("spark", "databricks", "snowflake")
BUILDS = ("duckdb", "postgres")
NO_ACCOUNT = dict.fromkeys(
    (
        "DATABRICKS_HOST",
        "DATABRICKS_HTTP_PATH",
        "DATABRICKS_TOKEN",
        "SNOWFLAKE_ACCOUNT",
        "SNOWFLAKE_USER",
        "SNOWFLAKE_PASSWORD",
    ),
    "none",
)
SILENT = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_VERSION_CHECK": "false", "DBT_QUIET": "true"}

DAMAGE = {
    "unique_key": ["INSERT INTO sales.salesman_daily SELECT * FROM sales.salesman_daily LIMIT 1"],
    "follows_the_rules": ["UPDATE sales.sales SET city = NULL", "UPDATE sales.sales SET date = DATE '3000-01-01'"],
    "accepted_range": ["UPDATE sales.top_salesmen SET rank = 101 WHERE rank = 1"],
    "not_null": ["UPDATE sales.top_sales_by_city SET max_sale = NULL"],
    "relationships": ["INSERT INTO sales.top_salesmen (salesman_id) VALUES ('nobody')"],
}
"""What each kind of data test must find."""


@dataclass(frozen=True)
class Dbt:
    """What dbt made of the live engine's state: each step's outcome, and the folder of its target's artifacts."""

    state: State
    outcomes: dict[str, Any]
    target: Path

    def artifact(self, dialect: str, name: str) -> Any:
        return json.loads((self.target / dialect / name).read_text())

    def failed(self, step: str) -> set[str]:
        return {node for node, status, _ in self.outcomes[step]["nodes"] if status not in ("success", "pass")}


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dbt]:
    if not PYTHON.exists():
        pytest.fail("dbt's environment is not there; run: make setup-dbt")
    folder = tmp_path_factory.mktemp("dbt")
    with live_state(folder) as state:
        yield Dbt(state, outcomes(state, folder), folder / "target")


def outcomes(state: State, folder: Path) -> dict[str, Any]:
    """All that dbt is asked here, in one process."""
    account = conninfo_to_dict(state.postgres)
    environment = {
        **os.environ, **NO_ACCOUNT, **SILENT, "DBT_LOG_PATH": str(folder / "logs"), "DUCKDB_PATH": str(state.duckdb),
        "PGHOST": str(account["host"]), "PGPORT": str(account["port"]), "PGUSER": str(account["user"]),
        "PGPASSWORD": str(account.get("password", "")), "PGDATABASE": str(account["dbname"]),
    }  # fmt: skip

    def step(name: str, *command: str, target: str) -> dict[str, object]:
        place = ["--project-dir", str(state.project), "--profiles-dir", str(state.project)]
        out = ["--target", target, "--target-path", str(folder / "target" / target)]
        return {"name": name, "dbt": [*command, *place, *out, "--vars", json.dumps(state.variables)]}

    steps = [
        step("duckdb", "build", target="duckdb"),
        step("docs", "docs", "generate", "--no-compile", target="duckdb"),
        step("postgres", "build", target="postgres"),
        {
            "name": "damage",
            "duckdb": str(state.duckdb),
            "sql": [*_kept(folder), *(line for lines in DAMAGE.values() for line in lines)],
        },
        step("damaged", "test", "--select", "test_type:generic", target="duckdb"),
        *(step(name, "compile", "--no-introspect", "--no-populate-cache", target=name) for name in ELSEWHERE),
    ]
    result = folder / "outcomes.json"
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("invoke.py"), result],
        input=json.dumps(steps), env=environment, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def _kept(folder: Path) -> list[str]:
    """What was built on DuckDB is kept aside before it is damaged."""
    return [f"ATTACH '{folder / 'built.duckdb'}' AS built", "COPY FROM DATABASE dbt TO built", "DETACH built"]


@pytest.mark.parametrize("target", BUILDS)
def test_models_examples_and_data_tests_succeed(dbt: Dbt, target: str) -> None:
    outcome = dbt.outcomes[target]
    kinds = [node.split(".")[0] for node, _, _ in outcome["nodes"]]

    assert outcome["success"], [node for node in outcome["nodes"] if node[1] not in ("success", "pass", "warn")]
    assert kinds.count("model") == len(dbt.state.plan.models)
    assert kinds.count("unit_test") >= 12
    assert kinds.count("test") >= 40


@pytest.mark.parametrize("target", BUILDS)
def test_only_relationships_of_what_has_not_come_warn(dbt: Dbt, target: str) -> None:
    warned = {node.split(".")[2] for node in dbt.failed(target)}

    assert warned
    assert all(name.startswith("source_relationships_shop_") for name in warned)


def test_every_model_is_equal_row_for_row(dbt: Dbt) -> None:
    state = dbt.state
    with duckdb.connect(dbt.target.parent / "built.duckdb") as built, psycopg.connect(state.postgres) as server:
        built.execute("SET TimeZone = 'UTC'")
        for model in state.plan.models.values():
            assert state.live[model.name], f"{model.name} has rows to compare"
            assert rows(built, model, "sales") == state.live[model.name], model.name
            assert rows(server, model, "sales") == state.live[model.name], model.name


@pytest.mark.parametrize("kind", DAMAGE)
def test_data_tests_find_what_they_are_for(dbt: Dbt, kind: str) -> None:
    assert any(node.split(".")[2].startswith(kind) for node in dbt.failed("damaged"))


@pytest.mark.parametrize("dialect", ELSEWHERE)
def test_what_dbt_compiles_is_what_explain_shows(dbt: Dbt, dialect: Dialect) -> None:
    assert dbt.outcomes[dialect]["success"], dbt.outcomes[dialect]["error"]
    _same_sql(dbt, dialect)


@pytest.mark.parametrize("dialect", BUILDS)
def test_what_dbt_builds_is_what_topline_runs(dbt: Dbt, dialect: Dialect) -> None:
    _same_sql(dbt, dialect)


def _same_sql(dbt: Dbt, dialect: Dialect) -> None:
    for model in explained(dbt).values():
        compiled = dbt.target / dialect / "compiled" / "sales" / model.path
        assert normal(compiled.read_text(), dialect) == normal(model.sql[dialect], dialect), model.model


def normal(sql: str, dialect: Dialect) -> str:
    """The query as sqlglot writes it, tables by their last name only."""
    tree = sqlglot.parse_one(sql, dialect=dialect)
    for table in tree.find_all(exp.Table):
        table.set("this", exp.to_identifier(table.name.split(".")[-1].lower()))
        table.set("db", None)
        table.set("catalog", None)
    return tree.sql(dialect=dialect, comments=False)


def explained(dbt: Dbt) -> dict[str, Explanation]:
    return {name: explain(dbt.state.plan, name) for name in dbt.state.plan.models}


def test_everything_is_described(dbt: Dbt) -> None:
    manifest = dbt.artifact("duckdb", "manifest.json")
    described = {
        **{node["unique_id"]: node["description"] for node in own(manifest["nodes"], "model")},
        **{node["unique_id"]: node["description"] for node in own(manifest["sources"], "source")},
        **{node["source_name"]: node["source_description"] for node in own(manifest["sources"], "source")},
        **{node["unique_id"]: node["description"] for node in own(manifest["macros"], "macro") if "__" not in node["name"]},
        **{
            f"{node['unique_id']}.{column['name']}": column["description"]
            for kind, group in (("model", "nodes"), ("source", "sources"))
            for node in own(manifest[group], kind)
            for column in node["columns"].values()
        },
    }
    assert len(described) > 100
    assert [name for name, text in described.items() if not text.strip()] == []


def own(nodes: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [node for node in nodes.values() if node["package_name"] == "sales" and node["resource_type"] == kind]


def test_the_described_columns_are_those_that_there_are(dbt: Dbt) -> None:
    manifest, catalog = dbt.artifact("duckdb", "manifest.json"), dbt.artifact("duckdb", "catalog.json")
    described = {
        node["unique_id"]: set(node["columns"])
        for node in [*own(manifest["nodes"], "model"), *own(manifest["sources"], "source")]
    }
    there = {name: set(node["columns"]) for group in ("nodes", "sources") for name, node in catalog[group].items()}

    assert described == there
