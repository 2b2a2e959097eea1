"""A shop in MariaDB, captured from its log by Debezium: the rankings follow its sales, and its own types come as they are."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cluster.shop import changed, configure
from tests.cluster.stack import Stack
from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project
from tests.servers.mariadb import MariaDb, mariadb
from topline.cli.opening import open_project
from topline.ingest.debezium.connector import connectors
from topline.live.start import load_plan

__all__ = ["mariadb"]
pytestmark = [pytest.mark.cluster, pytest.mark.system]
TABLES = (
    "CREATE TABLE customers (customer_id varchar(20) PRIMARY KEY, customer_name text, country varchar(40), region varchar(40), "
    "city varchar(40))",
    "CREATE TABLE salesmen (salesman_id varchar(20) PRIMARY KEY, salesman_name varchar(80))",
    "CREATE TABLE orders (order_id varchar(20) PRIMARY KEY, customer_id varchar(20), salesman_id varchar(20), "
    "ordered_at timestamp(6) NOT NULL DEFAULT current_timestamp(6), currency char(3), status enum('placed', 'paid'))",
    "CREATE TABLE order_items (order_id varchar(20), item_no int, category varchar(40), product text, quantity int, "
    "unit_price decimal(18, 4), PRIMARY KEY (order_id, item_no))",
)
SALES = (
    "SET time_zone = '+00:00'",
    "INSERT INTO customers VALUES ('c1', 'Ann', 'IT', 'Lazio', 'Roma'), ('c2', 'Bob', 'FR', 'Normandie', 'Étretat')",
    "INSERT INTO salesmen VALUES ('s1', 'Zoë'), ('s2', 'Yan')",
    "INSERT INTO orders VALUES ('o1', 'c1', 's1', '2026-03-01 23:30:00.123456', 'EUR', 'paid'), "
    "('o2', 'c2', 's2', '2026-03-02 10:00:00', 'EUR', 'placed'), ('o3', 'c2', 's2', '2026-03-02 11:00:00', 'EUR', 'placed')",
    "INSERT INTO order_items VALUES "
    "('o1', 1, 'A', 'Tea', 2, 10.0001), ('o2', 1, 'A', 'Tea', 1, 7.5), ('o3', 1, 'A', 'Tea', 1, 1)",
)
CORRECTIONS = (
    "UPDATE customers SET city = 'Rouen' WHERE customer_id = 'c2'",
    "UPDATE order_items SET quantity = 3 WHERE order_id = 'o1'",
    "DELETE FROM order_items WHERE order_id = 'o3'",
    "DELETE FROM orders WHERE order_id = 'o3'",
)


def capture(project: TestProject, url: str) -> None:
    """Its shop by Debezium from another database."""
    with changed(project.folder) as written:
        tables: dict[str, dict[str, str]] = {name: {} for name in written["sources"]["shop"]["tables"]}
        written["sources"]["shop"] = {"kind": "sql", "url": url, "from": "kafka", "via": "debezium", "tables": tables}


@pytest.fixture
def url(mariadb: MariaDb) -> str:
    found = mariadb.url("shop")
    mariadb.run(found, *TABLES)
    return found


@pytest.fixture
def project(tmp_path: Path, stack: Stack, url: str) -> Iterator[TestProject]:
    made = new_project(tmp_path / "sales")
    configure(made, stack, "json")
    capture(made, url.replace("mysql+pymysql", "mariadb+pymysql"))
    with made.server() as server:
        server.dsn("topline")
        yield made
        made.call("debezium", "remove", "--forget")


def test_the_rankings_follow_its_log(project: TestProject, mariadb: MariaDb, url: str) -> None:
    mariadb.run(url, *SALES[:3])  # what was there before is copied
    project.call("debezium", "apply")
    mariadb.run(url, SALES[0], *SALES[3:])
    expected = [
        ("2026-03-02", "FR", "Normandie", "Étretat", "8.5000", 2),
        ("2026-03-02", "IT", "Lazio", "Roma", "20.0002", 1),  # half past midnight in Rome
    ]
    until(lambda: rankings(project) == expected, timeout=90, every=0.5, what="the sales are ranked")
    mariadb.run(url, *CORRECTIONS)
    expected = [
        ("2026-03-02", "FR", "Normandie", "Rouen", "7.5000", 1),
        ("2026-03-02", "IT", "Lazio", "Roma", "30.0003", 1),
    ]
    until(lambda: rankings(project) == expected, timeout=90, every=0.5, what="the corrections are in the rankings")
    project.call("audit")
    [standing] = project.json("debezium", "status")
    assert (standing["running"], standing["drift"]) == (True, {})


def rankings(project: TestProject) -> list[tuple[object, ...]]:
    project.run("run", "--until-idle")
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        query = "SELECT date::text, country, region, city, total_sales::text, transaction_count FROM topline.top_sales_by_city"
        return connection.execute(f"{query} ORDER BY country".encode()).fetchall()


@pytest.mark.parametrize(("driver", "plugin"), [("mysql+pymysql", "MySqlConnector"), ("mssql+pyodbc", "SqlServerConnector")])
def test_the_settings_of_others_are_known_to_their_connectors(driver: str, plugin: str, tmp_path: Path, stack: Stack) -> None:
    """There is no server here: whatever else is wrong, Connect says it of that setting."""
    made = new_project(tmp_path / "sales")
    configure(made, stack, "json")
    capture(made, f"{driver}://reader@127.0.0.1:1/shop")
    project = open_project(made.folder)
    [connector] = connectors(project, load_plan(project).tables, lambda _setting, name: name)
    body = json.dumps({**connector.config, "name": connector.name}).encode()
    address = f"{stack.connect.url}/connector-plugins/{plugin}/config/validate"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)["configs"]
    values = [one["value"] for one in found if one["value"]]
    wrong = {value["name"]: value["errors"] for value in values if value["errors"]}
    assert wrong.keys() <= {"database.hostname", "database.port", "database.user", "database.password"}, wrong
    known = {one["definition"]["name"] for one in found if one["definition"]}
    assert {"table.include.list", "message.key.columns", "time.precision.mode", "decimal.handling.mode"} <= known
