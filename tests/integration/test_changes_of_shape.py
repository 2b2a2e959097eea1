"""Columns that come and go at a source, models that change, yesterday's results: exact, or held with a message."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.project import TestProject, embedded_dsn, new_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestProject]:
    made = new_project(tmp_path_factory.mktemp("shape") / "sales", ["TOPLINE_SOURCES__BRANCHES__SETTLE=0.1"])
    with made.server():
        made.run("generate", "--count", "300")
        made.run("run", "--until-idle")
        yield made


def shop(project: TestProject, *statements: str) -> None:
    with psycopg.connect(embedded_dsn(project, "shop"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def results(project: TestProject, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        return connection.execute(query).fetchall()


ORDER = (
    "INSERT INTO orders VALUES ('{id}', (SELECT min(customer_id) FROM customers WHERE city <> ''), "
    "(SELECT min(salesman_id) FROM salesmen), '2026-02-03 12:00+00', 'EUR', 'placed')",
    "INSERT INTO order_items VALUES ('{id}', 1, 'Books', 'Atlas', 2, 10.00)",
)
DAY = "SELECT coalesce(sum(total_sales), 0)::text FROM topline.salesman_daily WHERE date = '2026-02-03'"


def place(project: TestProject, name: str) -> None:
    shop(project, *(statement.format(id=name) for statement in ORDER))


def test_a_column_that_nobody_reads_may_come(project: TestProject) -> None:
    shop(project, "ALTER TABLE orders ADD COLUMN note text DEFAULT 'none'")
    place(project, "shape-1")
    project.run("run", "--until-idle")
    assert results(project, DAY) == [("20.0000",)]
    project.run("audit", "--sources")


def test_a_column_that_models_read_stops_its_table_until_it_is_back(project: TestProject) -> None:
    shop(project, "ALTER TABLE orders RENAME COLUMN currency TO money")
    place(project, "shape-2")
    assert "lost the column currency" in project.run("run", "--until-idle", expect=1)
    (project.folder / "inbox" / "meanwhile.csv").write_text(
        "sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\n"
        "m-1,2026-02-03,Italy,Lazio,Roma,1,Ada,1.00,EUR\n"
    )
    shown = project.run("run", "--until-idle", expect=1)
    assert "orders" in shown
    assert "currency" in shown
    assert results(project, DAY) == [("20.0000",)]
    project.run("audit")
    shop(project, "ALTER TABLE orders RENAME COLUMN money TO currency")
    place(project, "shape-3")
    project.run("run", "--until-idle")
    assert results(project, DAY) == [("61.0000",)]
    project.run("audit", "--sources")


def test_a_column_that_models_want_later_comes_with_a_resync(project: TestProject) -> None:
    sources = project.folder / "models" / "live" / "sources.yml"
    text = sources.read_text()
    status = "          - {name: status,"
    wanted = text.replace(status, f"          - {{name: note, data_type: text}}\n{status}")
    assert wanted != text
    sources.write_text(wanted)
    shown = project.run("run", "--until-idle", expect=1)
    assert "topline resync shop.orders" in shown
    place(project, "shape-4")
    assert "topline resync shop.orders" in project.run("run", "--until-idle", expect=1)
    assert results(project, DAY) == [("61.0000",)]
    project.run("resync", "shop.orders")
    project.run("run", "--until-idle")
    project.run("audit", "--sources")


def test_a_changed_model_is_rebuilt_from_the_log_and_swapped(project: TestProject) -> None:
    model = project.folder / "models" / "live" / "marts" / "top_sales_by_city.sql"
    before = results(project, "SELECT sum(max_sale)::text FROM topline.top_sales_by_city")
    text = model.read_text()
    model.write_text(text.replace("max(amount) as max_sale", "min(amount) as max_sale"))
    assert model.read_text() != text
    project.run("run", "--until-idle")
    assert results(project, "SELECT sum(max_sale)::text FROM topline.top_sales_by_city") != before
    project.run("audit")
    model.write_text(text)
    project.run("run", "--until-idle")
    assert results(project, "SELECT sum(max_sale)::text FROM topline.top_sales_by_city") == before


def test_a_new_column_of_a_model_migrates_its_table(project: TestProject) -> None:
    model = project.folder / "models" / "live" / "marts" / "top_sales_by_city.sql"
    text = model.read_text()
    model.write_text(text.replace("max(amount) as max_sale", "max(amount) as max_sale,\n    min(amount) as min_sale"))
    project.run("run", "--until-idle")
    wrong = "SELECT count(*) FROM topline.top_sales_by_city WHERE min_sale > max_sale OR min_sale IS NULL"
    assert results(project, wrong) == [(0,)]
    project.run("audit")


def test_results_from_a_backup_are_published_again(project: TestProject) -> None:
    tables = ("_topline_models", "_topline_writer")
    change = "DELETE FROM topline.top_salesmen;" + "".join(f"UPDATE topline.{table} SET epoch = 1;" for table in tables)
    with psycopg.connect(embedded_dsn(project, "topline"), autocommit=True) as connection:
        connection.execute(change)
    project.run("run", "--until-idle")
    project.run("audit")
