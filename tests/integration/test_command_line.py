"""The commands as a user runs them: a project of the shipped kind, real processes, real PostgreSQL."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project

SALES = "900"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestProject]:
    """A project whose shop and inbox hold generated sales, and whose results are published."""
    made = new_project(tmp_path_factory.mktemp("cli") / "sales")
    with made.server():
        made.run("generate", "--count", SALES)
        made.run("run", "--until-idle")
        yield made


def city(project: TestProject) -> list[str]:
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        query = "SELECT date::text, country, region, city FROM topline.top_sales_by_city ORDER BY total_sales DESC LIMIT 1"
        row = connection.execute(query).fetchone()
    assert row is not None
    return list(row)


def test_the_audit_finds_results_and_tables_equal(project: TestProject) -> None:
    compared = project.json("audit", "--sources")
    assert {one["name"] for one in compared} >= {"top_sales_by_city", "top_salesmen", "shop.orders", "branches.sales"}
    assert all(one["equal"] and one["expected"] > 0 for one in compared)


def test_the_audit_fails_on_a_row_that_somebody_changed(project: TestProject) -> None:
    with psycopg.connect(embedded_dsn(project, "topline"), autocommit=True) as connection:
        last = "SELECT max(date), 1 FROM topline.top_salesmen"
        change = f"UPDATE topline.top_salesmen SET total_sales = total_sales + %s WHERE (date, rank) IN ({last})"
        connection.execute(change, ("0.0001",))
        try:
            shown = project.run("audit", expect=1)
        finally:
            connection.execute(change, ("-0.0001",))
    assert "DIFFERS" in shown
    assert "missing" in shown
    assert "extra" in shown


def test_a_second_run_finds_nothing_new(project: TestProject) -> None:
    assert project.json("run", "--until-idle")["changes"] == 0


def test_strict_fails_only_for_new_dead_letters(project: TestProject) -> None:
    project.run("run", "--until-idle", "--strict")
    (project.folder / "inbox" / "strict.csv").write_bytes(
        b"sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\nonly,three,fields\n"
    )
    project.run("run", "--until-idle", "--strict", expect=1)


def test_status_names_every_source_and_model(project: TestProject) -> None:
    found = project.json("status")
    assert {source["source"] for source in found["sources"]} == {"shop", "branches"}
    assert {model["model"] for model in found["models"]} >= {"top_sales_by_city", "top_salesmen", "rejected_sales"}
    assert found["summary"]["engine"] == "not running"
    assert found["summary"]["published epoch"] == found["summary"]["log epoch"]


def test_why_leads_to_files_with_lines_and_to_lsns(project: TestProject) -> None:
    found = project.json("why", "top_sales_by_city", *city(project))
    assert len(found["result"]) == 1
    sales = found["rows"]["branches.sales"]
    orders = found["rows"]["shop.orders"]
    assert len(sales) + len(orders) == found["result"][0]["transaction_count"]
    for row in sales:
        path, line = row["where"].split(" ")[0].rsplit(":", 1)
        text = (project.folder / path).read_text(encoding="utf-8", errors="replace").splitlines()[int(line) - 1]
        assert text.startswith(row["sale_id"])
    assert all(row["where"].startswith("LSN ") for row in orders)


def test_why_says_when_there_is_no_such_row(project: TestProject) -> None:
    assert "no such row" in project.run("why", "top_salesmen", "1999-01-01", "nobody", expect=1)
    assert "the key of top_salesmen is (date, salesman_id)" in project.run("why", "top_salesmen", "1999-01-01", expect=2)


def test_dead_letters_are_kept_byte_for_byte(project: TestProject) -> None:
    letters = project.json("dead-letters", "list", "--table", "branches.sales")
    assert letters
    path, line = letters[-1]["where"].rsplit(":", 1)
    shown = project.raw("dead-letters", "show", letters[-1]["number"], "--raw")
    raw = (project.folder / path).read_bytes().split(b"\n")[int(line) - 1] + b"\n"
    assert shown == raw


def test_a_letter_is_replayed_after_a_fix_and_twice_changes_nothing(project: TestProject) -> None:
    inbox = project.folder / "inbox" / "wide.csv"
    header = "sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\n"
    long_name = "x" * 3000
    inbox.write_text(header + f"WIDE1,2026-01-05,Italy,Lazio,Rome,77,{long_name},10.00,EUR\n")
    small = ["--set", "sources.branches.tables.sales.max_line_bytes=2000"]
    project.run("run", "--until-idle", *small)
    letter = project.json("dead-letters", "list", "--table", "branches.sales")[0]
    assert "wide.csv:2" in letter["where"]
    project.run("dead-letters", "replay", letter["number"])
    project.run("run", "--until-idle")
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        query = "SELECT total_sales FROM topline.salesman_daily WHERE salesman_id = '77' AND date = '2026-01-05'"
        assert connection.execute(query).fetchall() == connection.execute("SELECT 10.0000").fetchall()
    project.run("dead-letters", "replay", letter["number"])
    assert project.json("run", "--until-idle")["changes"] == 0
    assert "replayed" in project.run("dead-letters", "show", letter["number"])
    project.run("audit")


def test_rejected_sales_are_shown_with_reason_and_text(project: TestProject) -> None:
    rows = project.json("rejected")
    assert rows
    assert all(row["reason"] and row["original"] for row in rows)


def test_a_resync_reads_the_table_again_and_changes_nothing(project: TestProject) -> None:
    assert "next `topline run`" in project.run("resync", "shop.orders")
    assert project.json("run", "--until-idle")["changes"] > 0
    project.run("audit", "--sources")
    assert "no source or table 'shop.nothing'" in project.run("resync", "shop.nothing", expect=2)


def test_a_running_engine_answers_and_stops_cleanly(project: TestProject) -> None:
    process = project.start("run")
    try:
        engine = project.folder / ".topline" / "engine.json"
        url = until(lambda: engine.exists() and json.loads(engine.read_text())["api"], timeout=30)
        assert oct(engine.stat().st_mode & 0o777) == "0o600"
        ready = until(lambda: _get(f"{url}/readyz"), timeout=30)
        assert ready
        assert project.json("status")["summary"]["engine"].startswith("running")
        assert "is read anew" in project.run("resync", "branches")
        assert "another" in project.run("run", "--until-idle", expect=1)
        project.run("audit")
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
    assert code == 130, project.output()
    assert not engine.exists()


def _get(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return None


def test_another_state_may_not_write_the_results_until_it_takes_over(project: TestProject, tmp_path: Path) -> None:
    other = new_project(tmp_path / "other", [f"TOPLINE_RESULTS__DSN={embedded_dsn(project, 'topline', secret=False)}"])
    (other.folder / ".env").write_text(
        (other.folder / ".env").read_text() + f"PASSWORD={project.password()}\n", encoding="utf-8"
    )
    refused = other.run("check", expect=None)
    assert project.password() not in refused
    with other.server():
        other.run("generate", "--count", "10")
        assert "--take-over" in other.run("run", "--until-idle", expect=1)
        other.run("run", "--until-idle", "--take-over")
        other.run("audit")
    assert "--take-over" in project.run("run", "--until-idle", expect=1)
    project.run("run", "--until-idle", "--take-over")
    project.run("audit")


def test_a_state_of_another_project_is_refused(project: TestProject) -> None:
    shown = project.run("run", "--until-idle", "--set", "project=another", expect=1)
    assert "sales" in shown
    assert "another" in shown


def test_check_lists_every_fault_with_file_and_line(tmp_path: Path) -> None:
    broken = new_project(tmp_path / "broken")
    path = broken.folder / "topline.yml"
    path.write_text(path.read_text().replace("Europe/Rome", "Mars/Base").replace("currency: EUR", "currency: euro"))
    shown = broken.run("check", expect=2)
    assert "topline.yml:5: time_zone" in shown
    assert "topline.yml:8: currency" in shown


def test_check_is_content_with_a_project_that_runs(project: TestProject) -> None:
    assert "no faults" in project.run("check")


def test_the_examples_pass_four_ways(project: TestProject) -> None:
    outcomes = project.json("test")
    assert {outcome["way"] for outcome in outcomes} == {"in one batch", "row by row", "shuffled", "redelivered"}
    assert not any(outcome["missing"] or outcome["unexpected"] for outcome in outcomes)


def test_explain_shows_plan_lineage_and_sql(project: TestProject) -> None:
    shown = project.run("explain", "top_sales_by_city")
    for word in ("shop.order_items", "branches.sales", "unit_price", "select"):
        assert word in shown


def test_a_table_that_vanishes_halts_its_source_and_the_others_go_on(project: TestProject) -> None:
    with psycopg.connect(embedded_dsn(project, "shop"), autocommit=True) as connection:
        connection.execute("ALTER TABLE public.orders RENAME TO orders_gone")
        try:
            shown = project.run("run", "--until-idle", expect=1)
        finally:
            connection.execute("ALTER TABLE public.orders_gone RENAME TO orders")
    assert "shop" in shown
    assert "orders" in shown
    project.run("run", "--until-idle")
    project.run("audit", "--sources")


def test_init_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "not empty" in TestProject(tmp_path).run("init", str(tmp_path), expect=2)


def test_no_color_prints_no_escapes(project: TestProject) -> None:
    assert "\x1b[" not in project.run("status")
