"""Bad input of every kind: a clear error or a kept record, nothing lost, and the audit is equal afterwards.

What may stand side by side is dropped at once and read by one run (`first`), then corrected and read by another (`second`).
"""

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.polling import until
from tests.project import TOPLINE, TestProject, embedded_dsn, new_project
from topline.log import LogReader

HEADER = "sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency"
NOWHERE = "postgresql://topline:${env:PASSWORD}@127.0.0.1:1/nowhere"
MEBIBYTE = 1024  # KiB
ORDER = """INSERT INTO orders (order_id, customer_id, salesman_id, ordered_at, currency, status)
    SELECT 'OVER', min(customer_id), (SELECT min(salesman_id) FROM salesmen), now(), 'EUR', 'placed'
    FROM customers WHERE city <> ''"""
ITEM = "INSERT INTO order_items (order_id, item_no, quantity, unit_price) VALUES ('OVER', 1, 2000000000, 99999999.99)"


def line(sale: str, amount: str = "10.00", sold_at: str = "2026-02-03", city: str = "Rome", name: str = "Ann") -> str:
    return f"{sale},{sold_at},Italy,Lazio,{city},77,{name},{amount},EUR"


def csv(*lines: str | bytes, header: str = HEADER) -> bytes:
    return b"".join((x if isinstance(x, bytes) else x.encode()) + b"\n" for x in (header, *lines))


LATIN = line("L2", city="Forlì").encode("latin-1")
HALF = csv(line("P1"), line("P2"), line("P3"))
FIRST = {
    "torn.csv": csv(line("T1"), "T2,2026-02-03,Italy", line("T3")),
    "latin.csv": csv(line("L1"), LATIN),
    "narrow.csv": csv("N1,2026-02-03,Italy,Lazio,Rome,77,Ann,EUR", header=HEADER.replace("amount,", "")),
    "huge.csv": csv(line("H1", amount="1e30"), line("H2", amount="99999999999999999999"), line("H3")),
    "full.csv": csv(line("E1")),
    "never.csv": b"",
    "half.csv": HALF[: HALF.index(b"P2") + 9],
    "dates.csv": csv(line("D1", sold_at="03.02.2026"), line("D2", sold_at="02/03/2026"), line("D3", sold_at="0000-00-00")),
    "twice.csv": csv(line("K1", "1.00"), line("K2", "5.00"), line("K1", "2.00")),
    "keyless.csv": csv(line(""), line("Q1")),
}
SECOND = {
    "narrow.csv": csv(line("N1")),
    "full.csv": b"",
    "half.csv": HALF,
    "dates.csv": csv(line("D1"), line("D2"), line("D3")),
}


@dataclass(frozen=True)
class Outcome:
    """What a run left: dead letters by file, reasons of rejected sales, and the amounts of the branches' sales."""

    letters: dict[str, dict[str, Any]]
    rejected: dict[str, dict[str, Any]]
    amounts: dict[str, str]
    equal: bool

    @classmethod
    def of(cls, project: TestProject) -> "Outcome":
        letters = project.json("dead-letters", "list", "--table", "branches.sales")
        rejected = project.json("rejected", "--limit", "1000")
        return cls(
            {letter["where"].rpartition("/")[2].partition(":")[0]: letter for letter in reversed(letters)},
            {row["row_key"]: row for row in rejected},
            amounts(project),
            all(one["equal"] for one in project.json("audit")),
        )

    def counts(self, *sales: str) -> list[str | None]:
        """The amounts of sales that are there and not rejected."""
        return [None if sale in self.rejected else self.amounts.get(sale) for sale in sales]


def amounts(project: TestProject) -> dict[str, str]:
    """Sale of a branch -> amount, as the log has them."""
    with LogReader.open(project.folder / ".topline", "sales") as log:
        rows = [row for chunk in log.snapshot("branches.sales") for row in chunk.select(["sale_id", "amount"]).to_pylist()]
    return {row["sale_id"]: row["amount"] for row in rows}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestProject]:
    """A project with some sales of the shop and of the branches."""
    made = new_project(tmp_path_factory.mktemp("bad") / "sales", ["TOPLINE_SOURCES__BRANCHES__SETTLE=0.01"])
    with made.server():
        made.call("generate", "--count", "60")
        yield made


@pytest.fixture(scope="module")
def usual_peak(project: TestProject) -> int:
    """The most memory (KiB) that an ordinary run takes."""
    return peak(project)


@pytest.fixture(scope="module")
def first(project: TestProject, usual_peak: int) -> Outcome:
    with psycopg.connect(embedded_dsn(project, "shop"), autocommit=True) as shop:
        shop.execute(ORDER)
        shop.execute(ITEM)
    return dropped(project, FIRST)


@pytest.fixture(scope="module")
def second(project: TestProject, first: Outcome) -> Outcome:
    with psycopg.connect(embedded_dsn(project, "shop"), autocommit=True) as shop:
        shop.execute("UPDATE order_items SET quantity = 1, unit_price = 5 WHERE order_id = 'OVER'")
    return dropped(project, SECOND)


def dropped(project: TestProject, files: dict[str, bytes]) -> Outcome:
    for name, content in files.items():
        (project.folder / "inbox" / name).write_bytes(content)
    project.call("run", "--until-idle")
    return Outcome.of(project)


def require_exact(project: TestProject) -> None:
    assert all(one["equal"] for one in project.json("audit"))


def peak(project: TestProject) -> int:
    process = subprocess.Popen([*TOPLINE, "run", "--until-idle", "--json"], cwd=project.folder, stdout=subprocess.PIPE)
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, output
    return usage.ru_maxrss


def test_the_audit_is_equal_with_all_of_it_and_after_its_correction(first: Outcome, second: Outcome) -> None:
    assert first.equal
    assert second.equal


def test_an_unreadable_line_is_kept_and_its_neighbours_count(first: Outcome) -> None:
    assert first.letters["torn.csv"]["bytes"] == "T2,2026-02-03,Italy\n"
    assert first.counts("T1", "T2", "T3") == ["10.00", None, "10.00"]


def test_bytes_in_another_encoding_are_kept_as_they_are(project: TestProject, first: Outcome) -> None:
    letter = first.letters["latin.csv"]
    assert "utf-8" in letter["why"].lower()
    assert project.raw("dead-letters", "show", letter["number"], "--raw") == LATIN + b"\n"


def test_a_file_without_a_column_is_kept_and_counts_once_it_has_it(first: Outcome, second: Outcome) -> None:
    assert "amount" in first.letters["narrow.csv"]["why"]
    assert (first.counts("N1"), second.counts("N1")) == ([None], ["10.00"])


def test_a_number_that_overflows_is_a_rejected_sale(first: Outcome) -> None:
    assert first.rejected["H1"]["reason"] == first.rejected["H2"]["reason"] == "amount not a number"
    assert "amount=1e30" in first.rejected["H1"]["original"]
    assert first.counts("H3") == ["10.00"]


def test_a_product_that_overflows_is_a_rejected_sale_until_corrected(first: Outcome, second: Outcome) -> None:
    assert "too large" in first.rejected["OVER"]["reason"]
    assert "OVER" not in second.rejected


def test_an_empty_file_changes_nothing_and_retracts_nothing(first: Outcome, second: Outcome) -> None:
    assert "never.csv" not in first.letters
    assert second.counts("E1") == ["10.00"]


def test_half_a_file_counts_as_far_as_it_goes_and_the_whole_file_after_it(first: Outcome, second: Outcome) -> None:
    assert first.letters["half.csv"]["bytes"] == "P2,2026-0"
    assert first.counts("P1", "P2", "P3") == ["10.00", None, None]
    assert second.counts("P1", "P2", "P3") == ["10.00", "10.00", "10.00"]


def test_a_date_in_another_format_is_a_rejected_sale_until_corrected(first: Outcome, second: Outcome) -> None:
    assert {first.rejected[sale]["reason"] for sale in ("D1", "D2", "D3")} == {"date not readable"}
    assert second.counts("D1", "D2", "D3") == ["10.00", "10.00", "10.00"]


def test_of_a_key_twice_in_one_file_the_last_counts(first: Outcome) -> None:
    assert first.counts("K1", "K2") == ["2.00", "5.00"]


def test_a_line_without_its_key_is_kept(first: Outcome) -> None:
    assert "sale_id" in first.letters["keyless.csv"]["why"]
    assert first.counts("Q1") == ["10.00"]


def test_a_line_of_100_megabytes_takes_bounded_memory_and_is_kept(project: TestProject, usual_peak: int) -> None:
    path = project.folder / "inbox" / "long.csv"
    with path.open("wb") as file:
        file.write(csv(line("M1")) + b"M2,")
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(f"\n{line('M3')}\n".encode())
    assert peak(project) < usual_peak + 60 * MEBIBYTE
    path.unlink()
    found = Outcome.of(project)
    assert "1048576" in found.letters["long.csv"]["why"]
    assert found.counts("M1", "M3") == ["10.00", "10.00"]
    assert found.equal


def test_a_table_that_vanishes_halts_its_source_and_the_others_go_on(project: TestProject) -> None:
    (project.folder / "inbox" / "meanwhile.csv").write_bytes(csv(line("V1")))
    with psycopg.connect(embedded_dsn(project, "shop"), autocommit=True) as shop:
        shop.execute("ALTER TABLE public.orders RENAME TO orders_gone")
        try:
            assert "shop.orders" in project.call("check", expect=2)
            shown = project.call("run", "--until-idle", expect=1)
        finally:
            shop.execute("ALTER TABLE public.orders_gone RENAME TO orders")
    assert "shop" in shown
    assert "orders" in shown
    assert amounts(project)["V1"] == "10.00"
    project.call("run", "--until-idle")
    compared = project.json("audit", "--sources", expect=None)
    assert all(one["equal"] for one in compared if one["name"] != "branches.sales")  # files were taken away


def test_a_results_database_that_refuses_is_said_by_every_command(project: TestProject) -> None:
    env = {"TOPLINE_RESULTS__DSN": NOWHERE, "PASSWORD": "hunter2"}
    for command in (["run", "--until-idle"], ["status"], ["audit"], ["rejected"], ["resync", "shop"]):
        shown = project.call(*command, expect=1, env=env)
        assert "refused" in shown
        assert "hunter2" not in shown
    assert "start the database" in project.call("check", expect=2, env=env)


def test_a_source_that_refuses_is_tried_again_and_the_others_go_on(project: TestProject) -> None:
    (project.folder / "inbox" / "alone.csv").write_bytes(csv(line("W1")))
    env = {"TOPLINE_SOURCES__SHOP__DSN": NOWHERE, "PASSWORD": "hunter2"}
    assert "start the server" in project.call("check", expect=2, env=env)
    shown = project.call("run", "--until-idle", "--patience", "1", expect=1, env=env)
    assert "source shop does not answer" in shown
    assert "refused" in shown
    assert "hunter2" not in shown
    assert amounts(project)["W1"] == "10.00"
    require_exact(project)


def test_a_full_disk_ends_the_run_and_nothing_is_lost_once_there_is_room(project: TestProject) -> None:
    noise = random.Random(1)
    lines = [line(f"F{n}", name=noise.randbytes(50).hex()) for n in range(5_000)]
    (project.folder / "inbox" / "many.csv").write_bytes(csv(*lines))
    done = subprocess.run(
        [*TOPLINE, "run", "--until-idle"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 1, done.stderr
    assert "cannot write the log" in done.stderr
    assert "Make room" in done.stderr
    assert "Traceback" not in done.stderr
    project.call("run", "--until-idle")
    assert amounts(project)["F4999"] == "10.00"
    require_exact(project)


def test_a_state_of_another_project_is_refused(project: TestProject) -> None:
    for command, code in (("run", 1), ("check", 2)):
        said = project.call(command, "--set", "project=another", expect=code)
        assert "belongs to the project 'sales'" in " ".join(said.split())


def test_a_state_of_a_newer_version_is_refused_by_every_command(project: TestProject, tmp_path: Path) -> None:
    shutil.copy(project.folder / ".topline" / "log.sqlite", tmp_path)
    with sqlite3.connect(tmp_path / "log.sqlite") as log:
        log.execute("UPDATE meta SET value = ? WHERE key = 'format'", (b"99",))
    dsn = embedded_dsn(project, "topline", secret=False)
    env = {"TOPLINE_STATE": str(tmp_path), "TOPLINE_RESULTS__DSN": dsn, "PASSWORD": project.password()}
    for command in (["run", "--until-idle"], ["audit"], ["dead-letters", "list"], ["why", "sales", "shop", "x"]):
        assert "newer Topline" in project.call(*command, expect=1, env=env)
    assert "newer Topline" in project.call("status", env=env)


def test_a_second_engine_on_the_same_state_is_refused(project: TestProject) -> None:
    process = project.start("run")
    try:
        until((project.folder / ".topline" / "engine.json").exists, timeout=30)
        shown = project.call("run", "--until-idle", expect=1)
        assert f"another engine (process {process.pid})" in shown
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, project.output()
    require_exact(project)
