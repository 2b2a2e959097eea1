"""TPC-H, which nobody here made, changes while Topline runs: every result equals PostgreSQL's own answer, to the cent."""

import json
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from examples.tpch.__main__ import main
from examples.tpch.load import PROJECT, load, source
from examples.tpch.refresh import Refresh, order_key
from tests.conftest import Postgres
from tests.integration.examples.tpch_truth import expected, published
from tests.polling import until
from tests.project import TestProject, embedded_dsn
from topline.config import load_project
from topline.live.start import load_plan

PLACES = 3
DBT = PROJECT.parents[1] / ".venv-dbt" / "bin" / "dbt"
PROFILE = """
tpch:
  target: here
  outputs:
    here: {{type: postgres, host: "{host}", port: {port}, user: "{user}", password: "{password}", dbname: "{dbname}",
            schema: topline, threads: 1}}
"""
SCALES = [
    pytest.param(0.01, 60, 3, id="0.01"),
    pytest.param(0.1, 600, 1, id="0.1", marks=[pytest.mark.long, pytest.mark.timeout(600)]),
]


def copy_of_the_example(folder: Path) -> TestProject:
    """The example where it finds the shipped macros, with few places, so that rankings have rows that fall out."""
    shutil.copytree(PROJECT, folder / "examples" / "tpch", ignore=shutil.ignore_patterns(".topline", ".env", "__pycache__"))
    shutil.copytree(PROJECT.parents[1] / "sales" / "macros", folder / "sales" / "macros")
    made = TestProject(folder / "examples" / "tpch")
    (made.folder / ".env").write_text(f"TOPLINE_API__PORT=0\nTOPLINE_VARS__PLACES={PLACES}\n")
    return made


@contextmanager
def running(project: TestProject) -> Iterator["subprocess.Popen[bytes]"]:
    process = project.start("run")
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, project.output()
    finally:
        process.kill()


def compare(project: TestProject, connection: psycopg.Connection, sign: str) -> None:
    """Write one last sale, by the clerk `sign`; once it is published, all that was committed before it must be."""
    add_order(connection, order_key(900_000_000) + int(sign), f"Sign {sign}")
    dsn = embedded_dsn(project, "topline")
    shown = f"SELECT FROM topline.salesman_daily WHERE salesman_id = 'Sign {sign}'"
    with psycopg.connect(dsn, autocommit=True) as results:
        until(lambda: _answer(results, shown), timeout=120, what=f"the last sale is published\n{project.output()}")
    wanted, found = expected(embedded_dsn(project, "tpch"), PLACES), published(dsn)
    for name, rows in wanted.items():
        odd = sorted(set(rows) ^ set(found[name]))
        assert found[name] == rows, f"{name}: {len(odd)} rows differ, such as {odd[:6]}"


def _answer(connection: psycopg.Connection, query: str) -> bool:
    try:
        return connection.execute(query.encode()).fetchone() is not None
    except psycopg.errors.UndefinedTable:
        return False


def add_order(connection: psycopg.Connection, key: int, clerk: str) -> None:
    known = "SELECT min(c_custkey) FROM customer JOIN nation ON n_nationkey = c_nationkey"
    columns = f"%s, ({known}), 'O', 0, '1995-06-17', '1-URGENT', %s, 0, 'the last'"
    connection.execute(f"INSERT INTO orders VALUES ({columns})".encode(), [key, clerk])
    add_line(connection, key, 1, "100.01", "0.05")


def add_line(connection: psycopg.Connection, order: int, number: int, price: str, discount: str) -> None:
    connection.execute(
        "INSERT INTO lineitem SELECT %s, l_partkey, l_suppkey, %s, l_quantity, %s, %s, l_tax, 'N', 'O', l_shipdate, "
        "l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, 'added' FROM lineitem LIMIT 1",
        [order, number, price, discount],
    )


@pytest.mark.parametrize(("scale", "steps", "often"), SCALES)
def test_results_equal_postgres_while_tpch_changes(scale: float, steps: int, often: int, tmp_path: Path) -> None:
    project = copy_of_the_example(tmp_path)
    with project.server() as server, source(project.folder) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        server.dsn("topline")  # it is there before Topline is
        rows = load(dsn, scale)
        refresh = Refresh(connection, rows["orders"], random.Random(6))
        with running(project):
            change(refresh, steps)  # while the tables are copied
            compare(project, connection, "1")
            change(refresh, steps)
            compare(project, connection, "2")
            for number, surprise in enumerate(SURPRISES, 3):
                with connection.transaction():
                    surprise(connection)
                if number % often == 0:
                    compare(project, connection, str(number))
            change(refresh, steps)
            compare(project, connection, "99")
        assert all(one["equal"] for one in json.loads(project.run("audit", "--sources", "--json")))


def test_the_tables_are_made_once_and_refreshed(tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    project = copy_of_the_example(tmp_path)
    dsn = postgres.dsn("tpch")
    with (project.folder / ".env").open("a") as env:
        env.write(f"TOPLINE_SOURCES__TPCH__DSN={dsn}\n")
    where = ["--project", str(project.folder)]
    assert main([*where, "load", "--scale", "0.001"]) == 0
    assert "1,500 of orders" in capsys.readouterr().out
    assert main([*where, "load", "--scale", "0.001"]) == 1
    assert "drop TPC-H's tables first" in capsys.readouterr().err
    before = expected(dsn, PLACES)
    assert main([*where, "refresh", "--seconds", "0.5"]) == 0
    assert expected(dsn, PLACES) != before


def test_the_models_hold_their_examples_are_described_and_run_everywhere(tmp_path: Path) -> None:
    project = copy_of_the_example(tmp_path)
    assert "0 failed" in project.call("test")
    for model in load_plan(load_project(project.folder)).models.values():
        assert model.live_only == ""
        assert set(model.column_descriptions) == set(model.schema.names), model.name


@pytest.mark.long
def test_dbt_builds_the_same_rows_beside_the_tables(tmp_path: Path, postgres: Postgres) -> None:
    if not DBT.exists():
        pytest.fail("dbt's environment is not there; run: make setup-dbt")
    folder, dsn = copy_of_the_example(tmp_path).folder, postgres.dsn("tpch")
    load(dsn, 0.001)
    account = {"password": "", **conninfo_to_dict(dsn)}
    (folder / "profiles.yml").write_text(PROFILE.format(**account))
    command = [str(DBT), "build", "--profiles-dir", ".", "--quiet", "--vars", f"{{places: {PLACES}}}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert published(dsn) == expected(dsn, PLACES)


def change(refresh: Refresh, steps: int) -> None:
    for _ in range(steps):
        refresh.step()


def customers_go_and_come_back_elsewhere(connection: psycopg.Connection) -> None:
    connection.execute("DELETE FROM customer WHERE c_custkey % 10 = 1")
    connection.execute("UPDATE customer SET c_custkey = c_custkey - 1, c_nationkey = 7 WHERE c_custkey % 10 = 2")


def a_nation_is_renamed_and_another_moves(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE nation SET n_name = 'CÔTE D’IVOIRE' WHERE n_nationkey = 3")
    connection.execute("UPDATE nation SET n_regionkey = 99 WHERE n_nationkey = 4")
    connection.execute("UPDATE nation SET n_name = (SELECT n_name FROM nation WHERE n_nationkey = 6) WHERE n_nationkey = 9")


def orders_get_other_numbers(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE orders SET o_orderkey = o_orderkey + 1000000000 WHERE o_orderkey < 500")
    connection.execute("UPDATE lineitem SET l_orderkey = l_orderkey + 1000000000 WHERE l_orderkey < 300")
    connection.execute("UPDATE lineitem SET l_linenumber = l_linenumber + 100 WHERE l_orderkey % 32 = 3")


def a_part_of_it_is_taken_back(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE lineitem SET l_discount = 0.10 WHERE l_linenumber = 2")
    connection.execute("SAVEPOINT here")
    connection.execute("UPDATE lineitem SET l_discount = 0.90")
    connection.execute("ROLLBACK TO here")


def lines_are_replaced_under_their_numbers(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM lineitem WHERE l_orderkey % 32 < 2")
    connection.execute("DELETE FROM lineitem WHERE l_orderkey % 32 < 2")
    connection.execute("UPDATE kept SET l_extendedprice = l_extendedprice + 0.01")
    connection.execute("INSERT INTO lineitem TABLE kept")


def a_table_is_emptied_and_filled(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM lineitem WHERE l_linenumber <> 4")
    connection.execute("TRUNCATE lineitem")
    connection.execute("INSERT INTO lineitem TABLE kept")


def odd_numbers(connection: psycopg.Connection) -> None:
    first, second, third, fourth = (order_key(number) for number in (701, 702, 703, 704))
    connection.execute("DELETE FROM lineitem WHERE l_orderkey = ANY(%s)", [[first, second, third, fourth]])
    add_line(connection, first, 1, "NaN", "0.00")
    add_line(connection, first, 2, "10.00", "0.00")
    add_line(connection, second, 1, "-10.01", "0.03")
    add_line(connection, third, 1, "10.01", "1.07")
    for number in (1, 2, 3):
        add_line(connection, fourth, number, "9999999999999.99", "0.01")


def a_clerk_without_a_name(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE orders SET o_clerk = '' WHERE o_orderkey % 32 = 5 AND o_orderkey < 2000")


def days_of_no_calendar(connection: psycopg.Connection) -> None:
    days = ("infinity", "-infinity", "0044-03-15 BC", "9999-12-31", "2999-12-31", "1900-01-01")
    for number, day in enumerate(days, 801):
        connection.execute("UPDATE orders SET o_orderdate = %s WHERE o_orderkey = %s", [day, order_key(number)])


def discounts_get_more_places(connection: psycopg.Connection) -> None:
    connection.execute("ALTER TABLE lineitem ALTER COLUMN l_discount TYPE decimal(15,5)")
    connection.execute("UPDATE lineitem SET l_discount = l_discount + 0.00125 WHERE l_linenumber = 3")


def discounts_are_rounded_by_their_type(connection: psycopg.Connection) -> None:
    connection.execute("ALTER TABLE lineitem ALTER COLUMN l_discount TYPE decimal(15,1)")


SURPRISES = (
    customers_go_and_come_back_elsewhere,
    a_nation_is_renamed_and_another_moves,
    orders_get_other_numbers,
    a_part_of_it_is_taken_back,
    lines_are_replaced_under_their_numbers,
    a_table_is_emptied_and_filled,
    odd_numbers,
    a_clerk_without_a_name,
    days_of_no_calendar,
    discounts_get_more_places,
    discounts_are_rounded_by_their_type,
)
