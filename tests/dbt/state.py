"""One state by the live engine, with every model published; and its tables as dbt's sources in DuckDB and in PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg

from tests.dbt.odd import odd_sales
from tests.project import embedded_dsn, new_project
from topline.config import load_project
from topline.live.start import load_plan
from topline.log import LogReader
from topline.models.plan import ModelPlan, ProjectPlan
from topline.models.scratch import quoted
from topline.schema import TableSchema

SALES = "900"
Rows = list[tuple[object, ...]]
Connection = duckdb.DuckDBPyConnection | psycopg.Connection


@dataclass(frozen=True)
class State:
    """`live`: each model's rows as published. `variables`: what the models were rendered with."""

    project: Path
    plan: ProjectPlan
    variables: dict[str, object]
    live: dict[str, Rows]
    duckdb: Path
    postgres: str


@contextmanager
def live_state(folder: Path) -> Iterator[State]:
    """Generated sales of all three kinds, run until idle. dbt's PostgreSQL is another database of the same server."""
    made = new_project(folder / "sales")
    for path in (made.folder / "models" / "live").rglob("*.yml"):
        path.write_text(path.read_text().replace("publish: false", "publish: true"))
    with made.server():
        made.call("generate", "--count", SALES, "--seed", "7")
        (made.folder / "inbox" / "odd.csv").write_text(odd_sales(), encoding="utf-8")
        made.call("run", "--until-idle")
        project = load_project(made.folder, {})
        plan = load_plan(project)
        with psycopg.connect(embedded_dsn(made, "topline")) as results:
            live = {model.name: rows(results, model, "topline") for model in plan.models.values()}
            results.execute("COMMIT")
            results.autocommit = True
            results.execute("CREATE DATABASE dbt")
        zone, currency = project.config.time_zone, project.config.currency
        variables: dict[str, object] = {**project.config.vars, "time_zone": zone, "currency": currency}
        state = State(made.folder, plan, variables, live, folder / "dbt.duckdb", embedded_dsn(made, "dbt"))
        with LogReader.open(project.state_dir, project.config.project) as log:
            _export(log, state)
        yield state


def rows(connection: Connection, model: ModelPlan, schema: str) -> Rows:
    """A model's rows as texts of the plan's types, sorted."""
    columns = ", ".join(f"CAST(CAST({quoted(c.name)} AS {c.type.value}) AS TEXT)" for c in model.schema.columns)
    query = f"SELECT {columns} FROM {schema}.{quoted(model.name)}"
    if isinstance(connection, psycopg.Connection):
        return sorted(connection.execute(query.encode()).fetchall(), key=repr)
    return sorted(connection.execute(query).fetchall(), key=repr)


def _export(log: LogReader, state: State) -> None:
    """The current rows of every table, as the log has them: a schema for each source. In PostgreSQL a price is a number, as
    in the shop itself; the log has its text."""
    with log.connect_duckdb(state.plan.tables, log.epoch) as tables, psycopg.connect(state.postgres, autocommit=True) as server:
        tables.execute(f"ATTACH '{state.duckdb}' AS out")
        for table in state.plan.tables.values():
            source, _, name = table.name.partition(".")
            tables.execute(f"CREATE SCHEMA IF NOT EXISTS out.{source}")
            tables.execute(f"CREATE TABLE out.{source}.{name} AS SELECT {_names(table)} FROM {quoted(table.name)}")
            columns = ", ".join(f"{quoted(c.name)} {c.type.value}" for c in table.columns)
            server.execute(f"CREATE SCHEMA IF NOT EXISTS {source}".encode())
            server.execute(f"CREATE TABLE {source}.{name} ({columns})".encode())
            with server.cursor().copy(f"COPY {source}.{name} FROM STDIN".encode()) as copy:
                for row in tables.sql(f"SELECT {_names(table)} FROM out.{source}.{name}").to_arrow_table().to_pylist():
                    copy.write_row(list(row.values()))
        server.execute("ALTER TABLE shop.order_items ALTER unit_price TYPE numeric USING unit_price::numeric")
        tables.execute("DETACH out")


def _names(table: TableSchema) -> str:
    return ", ".join(quoted(name) for name in table.names)
