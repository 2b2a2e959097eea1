"""kill -9 at each step of a commit over a database that is asked by SQL: nothing of it is lost, doubled or kept too long."""

import random
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.project import TestProject

SWEEP = "poll:sweep"  # what a list that is read anew no longer has goes
POINTS = ["append:before-commit", "append:after-commit", "poll:page", "poll:end", "publish:before-note", SWEEP]
TABLES = """
CREATE TABLE sellers (seller_id INTEGER PRIMARY KEY, seller_name TEXT);
CREATE TABLE sales (sale_id INTEGER PRIMARY KEY, seller_id INT REFERENCES sellers, sold_on DATE, city TEXT, country TEXT,
    amount NUMERIC, changed INTEGER);
"""


class Shop:
    """An SQLite database that changes at random; each change takes the next number."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.executescript(TABLES)
        self._random, self._changes = random.Random(5), 0

    def change(self, times: int) -> None:
        for _ in range(times):
            self._changes += 1
            self._one(self._random.randrange(60))
        self._connection.commit()

    def _one(self, key: int) -> None:
        draw = self._random.random()
        if draw < 0.25:
            self._connection.execute("DELETE FROM sales WHERE sale_id = ?", [key])
        elif draw < 0.35:
            name = f"seller {self._changes}"
            self._connection.execute("INSERT OR REPLACE INTO sellers VALUES (?, ?)", [key % 5, name])
        else:
            amount = None if draw > 0.95 else self._random.randrange(10_000) / 100
            row = [key, self._random.randrange(5), "2026-11-20", f"city {key % 7}", "IT", amount, self._changes]
            self._connection.execute("INSERT OR REPLACE INTO sales VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        self._connection.close()


LISTED = ("TOPLINE_SOURCES__SHOP__EVERY=0.05",)
READ_ON = (
    *LISTED,
    "TOPLINE_SOURCES__SHOP__TABLES__SALES__CURSOR={field: changed, type: number, overlap: 3}",
    "TOPLINE_SOURCES__SHOP__TABLES__SALES__COMPARE_EVERY=0.05",
)


@pytest.mark.parametrize(
    ("settings", "points"),
    [
        pytest.param(READ_ON, ["append:after-commit", SWEEP], id="read on and compared"),
        pytest.param(READ_ON, POINTS, id="read on and compared, everywhere", marks=pytest.mark.long),
        pytest.param(LISTED, POINTS, id="listed", marks=pytest.mark.long),
    ],
)
def test_killed_anywhere_the_results_are_those_of_the_database(
    tmp_path: Path, settings: tuple[str, ...], points: list[str]
) -> None:
    shop = Shop(tmp_path / "shop.db")
    shop.change(80)
    TestProject(tmp_path).call("init", str(tmp_path / "project"), "--from", f"sqlite:///{tmp_path}/shop.db")
    project = TestProject(tmp_path / "project")
    (project.folder / ".env").write_text("\n".join(["TOPLINE_API__PORT=0", *settings]) + "\n")
    with project.server():
        for point in points:
            if point == SWEEP:
                project.call("resync", "shop")
            process = project.start("run", env={"TOPLINE_TEST_KILL_AT": point})
            assert process.wait(60) == -signal.SIGKILL, project.output()
            shop.change(25)
        shop.close()
        project.run("run", "--until-idle")
        assert "differ" not in project.run("audit", "--sources")
