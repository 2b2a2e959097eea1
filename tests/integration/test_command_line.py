"""The commands on a project of the shipped kind, with a real PostgreSQL; in processes where a process shows something."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.polling import until
from tests.project import TOPLINE, TestProject, embedded_dsn, new_project

SALES = "900"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestProject]:
    """A project whose sources hold generated sales, and whose results are published."""
    # With `compare_every` a later run knows the partner's entries that it is told once more.
    known = "TOPLINE_SOURCES__PARTNER__TABLES__ENTRIES__COMPARE_EVERY=900"
    made = new_project(tmp_path_factory.mktemp("cli") / "sales", [known])
    with made.server():
        made.call("generate", "--count", SALES)
        made.call("run", "--until-idle")
        yield made


def city(project: TestProject) -> list[str]:
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        query = "SELECT date::text, country, region, city FROM topline.top_sales_by_city ORDER BY total_sales DESC LIMIT 1"
        row = connection.execute(query).fetchone()
    assert row is not None
    return list(row)


def test_the_audit_finds_results_and_tables_equal(project: TestProject) -> None:
    compared = project.json("audit", "--sources")
    tables = {"shop.orders", "branches.sales", "partner.entries"}
    assert {one["name"] for one in compared} >= {"top_sales_by_city", "top_salesmen", *tables}
    assert all(one["equal"] and one["expected"] > 0 for one in compared)


def test_the_audit_fails_on_a_row_that_somebody_changed(project: TestProject) -> None:
    with psycopg.connect(embedded_dsn(project, "topline"), autocommit=True) as connection:
        last = "SELECT max(date), 1 FROM topline.top_salesmen"
        change = f"UPDATE topline.top_salesmen SET total_sales = total_sales + %s WHERE (date, rank) IN ({last})"
        connection.execute(change, ("0.0001",))
        try:
            shown = project.call("audit", expect=1)
        finally:
            connection.execute(change, ("-0.0001",))
    assert "DIFFERS" in shown
    assert "missing" in shown
    assert "extra" in shown


def test_a_second_run_finds_nothing_new(project: TestProject) -> None:
    assert project.json("run", "--until-idle")["changes"] == 0


def test_strict_fails_only_for_new_dead_letters(project: TestProject) -> None:
    project.call("run", "--until-idle", "--strict")
    (project.folder / "inbox" / "strict.csv").write_bytes(
        b"sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\nonly,three,fields\n"
    )
    project.call("run", "--until-idle", "--strict", expect=1)


def test_status_names_every_source_and_model(project: TestProject) -> None:
    found = project.json("status")
    assert {source["source"] for source in found["sources"]} == {"shop", "branches", "partner"}
    assert {model["model"] for model in found["models"]} >= {"top_sales_by_city", "top_salesmen", "rejected_sales"}
    assert found["summary"]["engine"] == "not running"
    assert found["summary"]["published epoch"] == found["summary"]["log epoch"]


def test_why_leads_to_files_with_lines_to_lsns_and_to_polls(project: TestProject) -> None:
    found = project.json("why", "top_sales_by_city", *city(project))
    assert len(found["result"]) == 1
    sales = found["rows"]["branches.sales"]
    orders = found["rows"]["shop.orders"]
    entries = found["rows"]["partner.entries"]
    assert len(sales) + len(orders) + len(entries) == found["result"][0]["transaction_count"]
    for row in sales:
        path, line = row["where"].split(" ")[0].rsplit(":", 1)
        text = (project.folder / path).read_text(encoding="utf-8", errors="replace").splitlines()[int(line) - 1]
        assert text.startswith(row["sale_id"])
    assert all(row["where"].startswith("LSN ") for row in orders)
    assert all(re.fullmatch(r"record \d+ of poll 1", row["where"]) for row in entries)


def test_why_says_when_there_is_no_such_row(project: TestProject) -> None:
    assert "no such row" in project.call("why", "top_salesmen", "1999-01-01", "nobody", expect=1)
    assert "the key of top_salesmen is (date, salesman_id)" in project.call("why", "top_salesmen", "1999-01-01", expect=2)


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
    project.call("run", "--until-idle", *small)
    letter = project.json("dead-letters", "list", "--table", "branches.sales")[0]
    assert "wide.csv:2" in letter["where"]
    project.call("dead-letters", "replay", letter["number"])
    project.call("run", "--until-idle")
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        query = "SELECT total_sales FROM topline.salesman_daily WHERE salesman_id = '77' AND date = '2026-01-05'"
        assert connection.execute(query).fetchall() == connection.execute("SELECT 10.0000").fetchall()
    project.call("dead-letters", "replay", letter["number"])
    assert project.json("run", "--until-idle")["changes"] == 0
    assert "replayed" in project.call("dead-letters", "show", letter["number"])
    project.call("audit")


def test_a_letter_that_is_not_there_is_a_usage_error(project: TestProject) -> None:
    for command in ("show", "replay"):
        assert "there is no dead letter 99999" in project.call("dead-letters", command, "99999", expect=2)


def test_published_rows_are_shown_the_newest_day_and_the_greatest_amounts_first(project: TestProject) -> None:
    rows = project.json("show", "top_sales_by_city", "--limit", "1000")
    assert rows
    assert rows == sorted(rows, key=lambda row: (row["date"], Decimal(row["total_sales"])), reverse=True)
    day = rows[0]["date"]
    assert project.json("show", "top_sales_by_city", "--date", day, "--limit", "3") == rows[:3]
    assert "none" in project.call("show", "top_sales_by_city", "--date", "1999-01-01")
    assert "there are" in project.call("show", "shop_sales", expect=2)
    assert "no column `date`" in project.call("show", "rejected_sales", "--date", day, expect=2)


def test_rejected_sales_are_shown_with_reason_and_text(project: TestProject) -> None:
    rows = project.json("rejected")
    assert rows
    assert all(row["reason"] and row["original"] for row in rows)


def test_a_resync_reads_the_table_again_and_changes_nothing(project: TestProject) -> None:
    assert "next `topline run`" in project.call("resync", "shop.orders")
    assert project.json("run", "--until-idle")["changes"] > 0
    project.call("audit", "--sources")
    assert "no source or table 'shop.nothing'" in project.call("resync", "shop.nothing", expect=2)


def test_a_running_engine_answers_and_stops_cleanly(project: TestProject) -> None:
    process = project.start("run")
    try:
        engine = project.folder / ".topline" / "engine.json"
        url = until(lambda: engine.exists() and json.loads(engine.read_text())["api"], timeout=30)
        assert oct(engine.stat().st_mode & 0o777) == "0o600"
        ready = until(lambda: _get(f"{url}/readyz"), timeout=30)
        assert ready
        assert project.json("status")["summary"]["engine"].startswith("running")
        steps = until(lambda: project.json("explain", "top_sales_by_city")["state"])
        assert sum(step["rows"] for step in steps) > 0
        assert "is read anew" in project.call("resync", "branches")
        assert "another" in project.call("run", "--until-idle", expect=1)
        project.call("audit")
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


def test_the_examples_pass_four_ways(project: TestProject) -> None:
    outcomes = project.json("test")
    assert {outcome["way"] for outcome in outcomes} == {"in one batch", "row by row", "shuffled", "redelivered"}
    assert not any(outcome["missing"] or outcome["unexpected"] for outcome in outcomes)


def test_explain_shows_plan_lineage_and_sql(project: TestProject) -> None:
    shown = project.call("explain", "top_sales_by_city")
    for word in ("shop.order_items", "branches.sales", "unit_price", "select"):
        assert word in shown


def test_init_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "not empty" in TestProject(tmp_path).call("init", str(tmp_path), expect=2)


def beside(project: TestProject, folder: Path, *settings: str) -> TestProject:
    """Another project that publishes to the same database, and reads the same shop by a slot of its own."""
    results, shop = (embedded_dsn(project, name, secret=False) for name in ("topline", "shop"))
    dsns = (f"TOPLINE_RESULTS__DSN={results}", f"TOPLINE_SOURCES__SHOP__DSN={shop}", f"PASSWORD={project.password()}")
    names = ("TOPLINE_SOURCES__SHOP__SLOT=beside", "TOPLINE_SOURCES__SHOP__PUBLICATION=beside")
    return new_project(folder, [*dsns, *names, *settings])


def test_another_state_may_not_write_the_results_until_it_takes_over(project: TestProject, tmp_path: Path) -> None:
    other = beside(project, tmp_path / "other")
    assert "--take-over" in other.call("check", expect=2)
    assert "--take-over" in other.call("run", "--until-idle", expect=1)
    other.call("run", "--until-idle", "--take-over")
    other.call("audit")
    assert "no faults" in other.call("check")
    assert "--take-over" in project.call("run", "--until-idle", expect=1)
    project.call("run", "--until-idle", "--take-over")
    project.call("audit")


@pytest.mark.parametrize("password", ["right", "wr0ng p@ss/w%rd'"])
def test_a_password_is_shown_nowhere(project: TestProject, tmp_path: Path, password: str) -> None:
    """Neither the right nor a wrong one: in no output, no file, and no table."""
    secret = project.password() if password == "right" else password
    with psycopg.connect(embedded_dsn(project, "postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS secrets")
        connection.execute("CREATE DATABASE secrets")
    results, shop = (embedded_dsn(project, name, secret=False) for name in ("secrets", "nowhere"))
    other = new_project(tmp_path / "other", [f"TOPLINE_RESULTS__DSN={results}", f"TOPLINE_SOURCES__SHOP__DSN={shop}"])
    commands = ("check", "run --until-idle --patience 1", "status", "audit", "rejected")
    shown = "".join(other.call(*command.split(), expect=None, env={"PASSWORD": secret}) for command in commands)
    assert ('"nowhere" does not exist' if password == "right" else "password authentication failed") in shown
    with psycopg.connect(embedded_dsn(project, "secrets")) as connection:
        names = connection.execute("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'topline'")
        shown += "".join(str(connection.execute(f"SELECT * FROM {name}").fetchall()) for (name,) in names.fetchall())
    stored = b"".join(path.read_bytes() for path in other.folder.rglob("*") if path.is_file())
    for piece in (secret, quote(secret, safe="")):
        assert piece not in shown
        assert piece.encode() not in stored


def test_check_lists_every_fault_of_the_configuration_with_file_and_line(tmp_path: Path) -> None:
    broken = new_project(tmp_path / "broken")
    path = broken.folder / "topline.yml"
    path.write_text(path.read_text().replace("Europe/Rome", "Mars/Base").replace("currency: EUR", "currency: euro"))
    shown = broken.call("check", expect=2)
    assert "topline.yml:5: time_zone" in shown
    assert "topline.yml:8: currency" in shown


def test_check_lists_every_fault_of_what_is_outside_with_its_remedy(project: TestProject) -> None:
    with (
        psycopg.connect(embedded_dsn(project, "shop"), autocommit=True) as shop,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        shop.execute("CREATE USER poor PASSWORD 'poor'; ALTER TABLE order_items RENAME COLUMN quantity TO amount")
        source = f"host=127.0.0.1 port={shop.info.port} dbname=shop user=poor password=${{env:P}}"
        settings = {
            "api.port": taken.getsockname()[1],
            "sources.shop.dsn": source,
            "sources.branches.tables.sales.path": "nowhere",
            "results.dsn": source,
            "results.schema": "rich",
        }
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        try:
            faults = project.json("check", *words, expect=2, env={"P": "poor"})
        finally:
            shop.execute("ALTER TABLE order_items RENAME COLUMN amount TO quantity; DROP USER poor")
    text = "\n".join(f"{fault['where']}: {fault['problem']}\n{fault['remedy']}" for fault in faults)
    for expected in (
        "topline.yml:72: 127.0.0.1 port",
        'GRANT SELECT ON "public"."orders" TO "poor"',
        'ALTER ROLE "poor" REPLICATION',
        "quantity",
        "mkdir -p",
        'GRANT CREATE ON DATABASE "shop" TO "poor"',
    ):
        assert expected in text, text


def test_check_is_content_with_a_project_that_runs(project: TestProject) -> None:
    assert "no faults" in project.call("check")


def test_an_engine_that_was_killed_is_not_running_and_the_next_one_goes_on(project: TestProject) -> None:
    process = project.start("run")
    until(lambda: project.json("status")["summary"]["engine"].startswith("running"), timeout=30)
    process.kill()
    process.wait(30)
    found = project.json("status")
    assert found["summary"]["engine"] == "not running"
    assert {source["state"] for source in found["sources"]} == {"stopped"}
    project.call("run", "--until-idle")
    project.call("audit")


def test_before_the_first_run_every_command_says_what_to_do(project: TestProject, tmp_path: Path) -> None:
    fresh = beside(project, tmp_path / "fresh", "TOPLINE_RESULTS__SCHEMA=fresh")
    assert fresh.json("status")["summary"]["engine"] == "not running"
    for command in (["audit"], ["why", "sales", "shop", "x"], ["dead-letters", "list"], ["rejected"]):
        assert "`topline run" in fresh.call(*command, expect=1)


def test_a_terminal_gets_a_bar_and_colours_unless_they_are_not_wanted(project: TestProject) -> None:
    colour = re.compile(r"\x1b\[[\d;]*3\d")
    assert "auditing" in on_terminal(project, "audit")
    assert colour.search(on_terminal(project, "--help"))
    assert not colour.search(on_terminal(project, "--help", NO_COLOR="1"))
    assert "\x1b" not in project.call("audit")


def on_terminal(project: TestProject, *arguments: str, **env: str) -> str:
    """What a command writes where its output is a terminal."""
    terminal, its_end = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm-256color", **env}
    with subprocess.Popen([*TOPLINE, *arguments], cwd=project.folder, stdout=its_end, stderr=its_end, env=environment):
        os.close(its_end)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(terminal, 65536):
                shown += piece
    os.close(terminal)
    return shown.decode(errors="replace")


def test_runs_of_a_moment_fold_the_log_once_it_is_large(project: TestProject) -> None:
    segments = project.folder / ".topline" / "segments"
    small = ["--set", "engine.compact_after_rows=10000"]
    header = "sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\n"
    for name, count, folded in (("some", 500, False), ("more", 45_000, True)):
        lines = (f"{name}{n},2026-01-07,Italy,Lazio,Rome,78,Ada,1.00,EUR\n" for n in range(count))
        (project.folder / "inbox" / f"{name}.csv").write_text(header + "".join(lines))
        project.call("run", "--until-idle", *small)
        assert bool([*segments.glob("*.parquet")]) == folded
    project.call("audit")
