"""The shipped project builds with dbt, its tests and examples included, on DuckDB and PostgreSQL, to Topline's own rows."""

import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import Postgres
from tests.unit.models.generated import rows
from tests.unit.models.relations import SALES, Rows, in_duckdb, sales_plan
from topline.models.plan import ProjectPlan

pytestmark = pytest.mark.long  # a minute, and dbt is no dependency of Topline's
PROFILE = """
sales:
  target: duckdb
  outputs:
    duckdb: {{type: duckdb, path: {path}, schema: main, threads: 1}}
    postgres: {{type: postgres, host: "{host}", port: {port}, user: "{user}", password: "{password}", dbname: "{dbname}",
                schema: public, threads: 1}}
"""


@pytest.fixture
def dbt() -> str:
    """dbt 1.11 with dbt-duckdb and dbt-postgres: on the path, or where TOPLINE_TEST_DBT says."""
    found = os.environ.get("TOPLINE_TEST_DBT") or shutil.which("dbt")
    if found is None:
        pytest.skip("dbt is not installed (pip install dbt-core==1.11.16 dbt-duckdb dbt-postgres)")
    return found


def test_dbt_builds_the_same_rows(dbt: str, tmp_path: Path, postgres: Postgres) -> None:
    plan, given, dsn = sales_plan(), rows(11), postgres.dsn("dbt")
    folder = tmp_path / "sales"
    shutil.copytree(SALES, folder)
    account = {"password": "", **conninfo_to_dict(dsn)}
    (folder / "profiles.yml").write_text(PROFILE.format(path=tmp_path / "dbt.duckdb", **account), encoding="utf-8")
    with duckdb.connect(tmp_path / "dbt.duckdb") as connection:
        _fill(connection, plan, given, "?")
    with psycopg.connect(dsn, autocommit=True) as server:
        _fill(server, plan, given, "%s")

    for target in ("duckdb", "postgres"):
        command = [dbt, "build", "--profiles-dir", ".", "--target", target, "--vars", "{time_zone: Europe/Rome}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    with duckdb.connect(tmp_path / "dbt.duckdb") as connection, psycopg.connect(dsn) as server:
        for name, expected in in_duckdb(plan, given).items():
            query = _select(plan, name)
            assert sorted(connection.execute(query).fetchall(), key=repr) == expected, name
            assert sorted(server.execute(query.encode()).fetchall(), key=repr) == expected, name


def _fill(connection: duckdb.DuckDBPyConnection | psycopg.Connection, plan: ProjectPlan, given: Rows, mark: str) -> None:
    for table in plan.tables.values():
        schema = table.name.partition(".")[0]
        columns = ", ".join(f"{column.name} {column.type.value}" for column in table.columns)
        for statement in (f"CREATE SCHEMA IF NOT EXISTS {schema}", f"CREATE TABLE {table.name} ({columns})"):
            _execute(connection, statement, [])
        for row in given[table.name]:
            _execute(connection, f"INSERT INTO {table.name} VALUES ({', '.join([mark] * len(row))})", list(row))


def _execute(connection: duckdb.DuckDBPyConnection | psycopg.Connection, statement: str, row: list[object]) -> None:
    if isinstance(connection, psycopg.Connection):
        connection.execute(statement.encode(), row)
    else:
        connection.execute(statement, row)


def _select(plan: ProjectPlan, model: str) -> str:
    columns = ", ".join(f"CAST(CAST({c.name} AS {c.type.value}) AS TEXT)" for c in plan.models[model].schema.columns)
    return f"SELECT {columns} FROM {model}"
