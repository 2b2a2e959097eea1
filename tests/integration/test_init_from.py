"""`topline init --from`: a newcomer with a source of his own sees his first ranking, exact, without writing a line."""

import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from tests.conftest import Postgres
from tests.project import TestProject, embedded_dsn
from topline.cli.main import app
from topline.embedded.partner.book import Book, Entry, stamp
from topline.embedded.partner.service import PartnerService

NORTHWIND = """
CREATE TABLE employees (employee_id int PRIMARY KEY, last_name text, first_name text, hired date);
CREATE TABLE customers (customer_id text PRIMARY KEY, company_name text, city text, country text);
CREATE TABLE orders (order_id int PRIMARY KEY, customer_id text REFERENCES customers, employee_id int REFERENCES employees,
    order_date date, freight numeric, ship_city text, ship_region text, ship_country text);
CREATE TABLE order_details (order_id int REFERENCES orders, product_id int, unit_price numeric(10,2), quantity smallint,
    discount real, PRIMARY KEY (order_id, product_id));
CREATE TABLE "audit log" (entry text);
INSERT INTO employees VALUES (1, 'Davolio', 'Nancy', '1992-05-01'), (2, 'Fuller', 'Andrew', '1992-08-14');
INSERT INTO customers VALUES ('VINET', 'Vins', 'Reims', 'France'), ('TOMSP', 'Toms', 'Muenster', 'Germany');
INSERT INTO orders VALUES (10248, 'VINET', 1, '1996-07-04', 32.38, 'Reims', NULL, 'France'),
    (10249, 'TOMSP', 2, '1996-07-04', 11.61, 'Muenster', NULL, 'Germany'),
    (10250, 'TOMSP', 2, NULL, 1, 'Muenster', NULL, 'Germany');
INSERT INTO order_details VALUES (10248, 11, 14.00, 12, 0), (10248, 42, 9.80, 10, 0.25), (10249, 14, 18.60, 9, 0),
    (10250, 1, 1, 1, 0);
"""

CHINOOK = """
CREATE TABLE Employee (EmployeeId INTEGER PRIMARY KEY, LastName TEXT, FirstName TEXT, ReportsTo INT, City TEXT);
CREATE TABLE Customer (CustomerId INTEGER PRIMARY KEY, LastName TEXT, City TEXT,
    SupportRepId INT REFERENCES Employee(EmployeeId));
CREATE TABLE Invoice (InvoiceId INTEGER PRIMARY KEY, CustomerId INT REFERENCES Customer(CustomerId), InvoiceDate DATETIME,
    BillingCity TEXT, BillingState TEXT, BillingCountry TEXT, Total NUMERIC(10,2));
INSERT INTO Employee VALUES (1, 'Peacock', 'Jane', NULL, 'Calgary'), (2, 'Park', 'Margaret', 1, 'Calgary');
INSERT INTO Customer VALUES (1, 'G', 'Sao Paulo', 1), (2, 'K', 'Stuttgart', 2);
INSERT INTO Invoice VALUES (1, 1, '2026-11-20 00:00:00', 'Roma', NULL, 'Italy', 1.98),
    (2, 2, '2026-11-20 01:00:00', 'Berlin', 'BE', 'Germany', 3.96),
    (3, 2, '2026-11-20 10:00:00', 'Berlin', 'BE', 'Germany', 0.99);
"""


def made(folder: Path, origin: str) -> tuple[TestProject, dict[str, Any]]:
    """The project that `init --from` makes, and what it says."""
    done = TestProject(folder.parent).json("init", str(folder), "--from", origin)
    with (folder / ".env").open("a") as env:
        env.write("TOPLINE_API__PORT=0\n")
    return TestProject(folder), done


def rankings(project: TestProject) -> tuple[list[tuple[Any, ...]], ...]:
    """Once all is read: cities (date, country, region, city, total), salesmen (date, id, name, total), rejected (key, why)."""
    with project.server():
        project.run("check")
        project.run("run", "--until-idle")
        assert "equal" in project.run("audit")
        with psycopg.connect(embedded_dsn(project, "topline")) as connection:
            cities = "SELECT date::text, country, region, city, total_sales::float8 FROM topline.top_sales_by_city"
            people = "SELECT date::text, salesman_id, salesman_name, total_sales::float8 FROM topline.top_salesmen"
            rejected = "SELECT row_key, reason, 0 FROM topline.rejected_sales"
            found = [connection.execute(query).fetchall() for query in (cities, people, rejected)]
            return tuple(sorted(rows, key=lambda row: (row[0], -row[-1])) for rows in found)


def test_a_database_with_a_log(tmp_path: Path, postgres: Postgres) -> None:
    dsn = postgres.dsn("northwind")
    with psycopg.connect(dsn) as connection:
        connection.execute(NORTHWIND)
    project, said = made(tmp_path / "shop", dsn)
    assert (said["kind"], said["missing"]) == ("postgres", [])
    assert said["roles"]["amount"] == "the sum of order_details: unit_price, quantity, discount"
    cities, people, rejected = rankings(project)
    assert cities == [("1996-07-04", "France", "", "Reims", 241.5), ("1996-07-04", "Germany", "", "Muenster", 167.4)]
    assert people == [("1996-07-04", "1", "Nancy Davolio", 241.5), ("1996-07-04", "2", "Andrew Fuller", 167.4)]
    assert rejected == [("10250", "date missing", 0)]


def test_times_without_a_zone_are_of_the_day_that_they_show(tmp_path: Path, postgres: Postgres) -> None:
    dsn = postgres.dsn("chinook")
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE invoice (invoice_id int PRIMARY KEY, invoice_date timestamp, total numeric, city text)"
        )
        connection.execute("INSERT INTO invoice VALUES (1, '2026-11-20 23:59:59', 5, 'Roma')")
    project, _ = made(tmp_path / "shop", dsn)
    cities, _, _ = rankings(project)
    assert cities == [("2026-11-20", "everywhere", "", "Roma", 5.0)]


def test_a_password_goes_to_env_alone(tmp_path: Path, postgres: Postgres) -> None:
    dsn = postgres.dsn("secretive")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE sales (id int PRIMARY KEY, sold_on date, amount numeric)")
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    if "password" not in parts:
        pytest.skip("the test's server asks for no password")
    project, _ = made(tmp_path / "shop", dsn)
    assert str(parts["password"]) not in (project.folder / "topline.yml").read_text()
    assert stat.S_IMODE((project.folder / ".env").stat().st_mode) == 0o600
    assert {".env", ".topline/"} <= set((project.folder / ".gitignore").read_text().split())
    assert "found: models" not in project.call("check")


def test_a_database_asked_by_sql(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "chinook.db")
    connection.executescript(CHINOOK)
    connection.close()
    project, said = made(tmp_path / "music", f"sqlite:///{tmp_path}/chinook.db")
    assert said["roles"]["salesman_name"] == "employee.first_name employee.last_name"
    cities, people, _ = rankings(project)
    assert cities == [("2026-11-20", "Germany", "BE", "Berlin", 4.95), ("2026-11-20", "Italy", "", "Roma", 1.98)]
    assert people == [("2026-11-20", "2", "Margaret Park", 4.95), ("2026-11-20", "1", "Jane Peacock", 1.98)]


def test_a_soap_service(tmp_path: Path) -> None:
    entries = [
        Entry(
            f"e{n}",
            stamp(datetime(2026, 11, 20, 10, n, tzinfo=UTC)),
            f"P{n}",
            "2026-11-20",
            "IT",
            "Lazio",
            "Roma",
            "S1",
            "Ann",
            amount,
            "EUR",
        )
        for n, amount in enumerate(["10.50", "2", "unreadable"])
    ]
    book = tmp_path / "partner.sqlite"
    with Book.open(book) as opened:
        opened.put(entries)
    with PartnerService(book) as service:
        project, said = made(tmp_path / "partner", service.wsdl)
        assert (said["kind"], said["missing"]) == ("soap", [])
        cities, people, rejected = rankings(project)
    assert cities == [("2026-11-20", "IT", "Lazio", "Roma", 12.5)]
    assert people == [("2026-11-20", "S1", "Ann", 12.5)]
    assert [row[:2] for row in rejected] == [("P2", "amount not a number")]


def test_a_file_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    lines = ["Beleg|+|Datum|+|Stadt|+|Land|+|Verkäufer|+|Betrag"]
    lines += [f"B{n}|+|20.11.2026|+|Köln|+|DE|+|S{n % 2}|+|1.234,56" for n in range(20)]
    lines += ["B20|+|??|+|Bonn|+|DE|+|S2|+|1,00"]
    (tmp_path / "verkauf.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    project, said = made(tmp_path / "project", str(tmp_path / "verkauf.csv"))
    assert (said["kind"], said["missing"]) == ("files", [])
    cities, people, rejected = rankings(project)
    assert cities == [("2026-11-20", "DE", "", "Köln", 24691.2)]
    assert people == [("2026-11-20", "S0", "", 12345.6), ("2026-11-20", "S1", "", 12345.6)]
    assert rejected == [("B20", "date not readable", 0)]


@pytest.mark.long
def test_names_in_camel_case_and_an_amount_that_is_called_sales(tmp_path: Path) -> None:
    (tmp_path / "retail.csv").write_text(
        "InvoiceNo,InvoiceDate,City,Country,Sales\n1,2026-11-20,Roma,Italy,5\n2,2026-11-20,Roma,Italy,7\n"
    )
    project, said = made(tmp_path / "project", str(tmp_path / "retail.csv"))
    assert said["missing"] == ["salesman_id"]  # who sold is not told by how much
    assert "field: InvoiceDate" in (project.folder / "topline.yml").read_text()
    cities, _, _ = rankings(project)
    assert cities == [("2026-11-20", "Italy", "", "Roma", 12.0)]


def test_a_file_whose_rows_have_no_key(tmp_path: Path) -> None:
    (tmp_path / "till.csv").write_text("sold_at,city,amount\n2026-11-20,Roma,5\n2026-11-20,Roma,5\n")
    project, said = made(tmp_path / "project", str(tmp_path / "till.csv"))
    assert said["missing"] == ["country", "salesman_id"]
    cities, people, _ = rankings(project)
    assert cities == [("2026-11-20", "everywhere", "", "Roma", 10.0)]
    assert people == [("2026-11-20", "everybody", "", 10.0)]


def test_what_is_no_source_is_said(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    sqlite3.connect(tmp_path / "empty.db").close()
    cases = {
        ("full", "sqlite:///empty.db"): "is not empty",
        ("a", f"sqlite:///{tmp_path}/empty.db"): "no table",
        ("b", "postgres://nobody@127.0.0.1:1/none"): "cannot look at the database",
        ("c", "nosuch://host/db"): "dialect",
        ("d", str(tmp_path / "nowhere.csv")): "nowhere.csv",
    }
    for (folder, origin), said in cases.items():
        done = CliRunner().invoke(app, ["init", str(tmp_path / folder), "--from", origin])
        assert said in f"{done.output} {done.exception}", (origin, done.output, done.exception)
        assert not (tmp_path / folder / "topline.yml").exists(), "half a project was left behind"
