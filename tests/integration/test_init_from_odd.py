"""`topline init --from` over names that SQL, Jinja and YAML each take for something else, in other scripts, and alike."""

import sqlite3
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Postgres
from tests.integration.test_init_from import made, rankings
from tests.project import TestProject

POSTGRES = """
CREATE SCHEMA "Alt #2";
CREATE SCHEMA s;
CREATE TABLE "Order" ("Id" int PRIMARY KEY, "Sale Date" date, "Größe" text, "City: Name" text, "it's" text, "x{{ 1/0 }}" text,
    "Country" text, "Total" numeric, "sellerId" text, "from" text);
CREATE TABLE "Alt #2"."Order" (id int PRIMARY KEY, note text);
CREATE TABLE s."Order" (id int PRIMARY KEY, note text);
CREATE TABLE s."Alt_2_order" (id int PRIMARY KEY, note text);
CREATE TABLE "注文" (id int PRIMARY KEY);
CREATE TABLE "顧客" (id int PRIMARY KEY);
CREATE TABLE odd ("i'd" int PRIMARY KEY, note text);
INSERT INTO "Order" VALUES (1, '2026-11-20', 'g', 'Roma', 'x', 'y', 'IT', 3.5, 's1', 'f');
"""
SQLITE = """
CREATE TABLE "Order" (id INTEGER PRIMARY KEY, "date" DATE, "City's" TEXT, city TEXT, country TEXT, "total amount" NUMERIC,
    "total_amount" NUMERIC, "the {{ x }} seller" TEXT, "番号" TEXT, "都市" TEXT);
CREATE TABLE "注文" (id INTEGER PRIMARY KEY);
CREATE TABLE "顧客" (id INTEGER PRIMARY KEY);
INSERT INTO "Order" VALUES (1, '2026-11-20', 'x', 'Roma', 'IT', 3.5, 3.5, 's1', '', '');
"""


def test_odd_names_in_postgres(tmp_path: Path, postgres: Postgres) -> None:
    dsn = postgres.dsn("odd")
    with psycopg.connect(dsn) as connection:
        connection.execute(POSTGRES)
    project, said = made(tmp_path / "shop", dsn)
    assert said["missing"] == []
    cities, people, rejected = rankings(project)
    assert cities == [("2026-11-20", "IT", "", "Roma", 3.5)]
    assert [row[1] for row in people] == ["s1"]
    assert rejected == []


def test_odd_names_in_a_file_of_sqlite_that_is_named_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = sqlite3.connect(tmp_path / "läden #1.db")
    connection.executescript(SQLITE)
    connection.close()
    monkeypatch.chdir(tmp_path)
    project, said = made(tmp_path / "shop", "sqlite:///läden #1.db")
    assert (said["source"], said["missing"]) == ("laden", [])
    monkeypatch.chdir("/")
    assert project.json("check") == []


def test_a_folder_with_spaces_and_marks_of_yaml(tmp_path: Path) -> None:
    folder = tmp_path / "a b: c #d"
    folder.mkdir()
    (folder / "x'y.csv").write_text("id;date;city;country;amount;seller\n1;2026-11-20;Roma;IT;3,5;s1\n")
    TestProject(tmp_path).call("init", str(tmp_path / "shop"), "--from", str(folder / "x'y.csv"))
    (tmp_path / "shop" / ".env").write_text("TOPLINE_API__PORT=0\n")
    assert TestProject(tmp_path / "shop").json("check") == []
