"""A project whose only source is pushed to, run as a user runs it."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from tests.polling import until
from tests.project import TestProject, embedded_dsn

SETTINGS = """
project: webshop
sources:
  web:
    kind: push
    tables:
      orders: {on_invalid: keep}
"""
SOURCES = """
sources:
  - name: web
    tables:
      - name: orders
        config: {meta: {key: [id]}}
        columns:
          - {name: id, data_type: text}
          - {name: city, data_type: text}
          - {name: units, data_type: bigint}
"""
MODELS = "models: [{name: units_by_city, config: {meta: {key: [city]}}}]"
MODEL = "SELECT city, CAST(SUM(units) AS BIGINT) AS units FROM {{ source('web', 'orders') }} GROUP BY city"
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestProject]:
    folder = tmp_path_factory.mktemp("push") / "webshop"
    live = folder / "models" / "live"
    live.mkdir(parents=True)
    shutil.copytree(ROOT / "sales" / "macros", folder / "macros")
    (folder / "topline.yml").write_text(SETTINGS)
    (folder / ".env").write_text("TOPLINE_API__PORT=0\n")
    (folder / "dbt_project.yml").write_text("name: webshop\n")
    (live / "sources.yml").write_text(SOURCES)
    (live / "models.yml").write_text(MODELS)
    (live / "units_by_city.sql").write_text(MODEL)
    made = TestProject(folder)
    with made.server():
        yield made


@contextlib.contextmanager
def running(project: TestProject, *arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", httpx2.Client]]:
    """`topline run`, and a client of its API."""
    engine = project.folder / ".topline" / "engine.json"
    engine.unlink(missing_ok=True)
    process = project.start("run", *arguments)
    try:
        url = until(lambda: engine.exists() and json.loads(engine.read_text())["api"], timeout=60)
        with httpx2.Client(base_url=url, timeout=30) as client:
            yield process, client
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(30)


def send(client: httpx2.Client, *rows: dict[str, Any], key: str = "") -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post("/api/v1/ingest/orders", json=rows, headers=headers)
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


def published(project: TestProject) -> dict[str, int]:
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        return dict(connection.execute("SELECT city, units FROM topline.units_by_city").fetchall())


def source_time(project: TestProject) -> datetime:
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        row = connection.execute("SELECT time FROM topline._topline_sources WHERE source = 'web'").fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


def states(project: TestProject) -> list[tuple[str, str, str]]:
    return [(source["source"], source["kind"], source["state"]) for source in project.json("status")["sources"]]


def test_what_is_sent_is_published_and_says_when_it_is(project: TestProject) -> None:
    assert "no faults" in project.call("check")
    with running(project) as (_, client):
        sent = send(client, {"id": "1", "city": "Roma", "units": 2}, {"id": "2", "city": "Bari", "units": 3})
        until(lambda: client.get(sent["status"]).json()["committed"] >= sent["last"], what="it is in the log")
        until(lambda: published(project) == {"Roma": 2, "Bari": 3})
        until(lambda: source_time(project) == datetime.fromisoformat(sent["accepted_at"]))
        send(client, {"id": "1", "city": "Bari", "units": 5}, {"id": "2", "_deleted": True})
        until(lambda: published(project) == {"Bari": 5})
        until(lambda: states(project) == [("web", "push", "running")], what="the source is shown as running")
    shown = project.call("audit", "--sources")
    assert "web.orders" in shown
    assert "not compared" in shown
    assert "DIFFERS" not in shown


def test_killed_between_requests_every_202_counts_once(project: TestProject) -> None:
    sent = 40
    with running(project) as (process, client):
        for number in range(sent):
            send(client, {"id": f"kill-{number}", "city": "Kill", "units": 1}, key=f"kill-{number}")
        process.kill()
    with running(project) as (_, client):
        for number in range(sent):
            send(client, {"id": f"kill-{number}", "city": "Kill", "units": 1}, key=f"kill-{number}")
        until(lambda: published(project).get("Kill") == sent)
    assert project.json("run", "--until-idle")["changes"] == 0
    project.call("audit")


def test_another_process_takes_rows_while_no_engine_runs(project: TestProject) -> None:
    serving = project.start("serve")
    try:
        found = until(lambda: re.findall(r"serving (\S+) until stopped", project.output()), timeout=30)
        with httpx2.Client(base_url=found[-1], timeout=30) as client:
            send(client, {"id": "served", "city": "Zara", "units": 7})
            assert client.get("/api/v1/ingest/orders").json()["waiting_rows"] == 1
            assert "Zara" not in published(project)
            assert project.json("run", "--until-idle")["changes"] == 1
            assert client.get("/api/v1/ingest/orders").json()["waiting_rows"] == 0
    finally:
        serving.send_signal(signal.SIGINT)
        serving.wait(30)
    assert published(project)["Zara"] == 7


def test_a_kept_record_is_replayed_once_the_models_can_read_it(project: TestProject) -> None:
    with running(project) as (_, client):
        answer = send(client, {"id": "letter", "city": "Pisa", "units": 9, "colour": "red"})
        assert (answer["accepted"], answer["kept_as_dead_letters"]) == (0, 1)
        [letter] = until(lambda: project.json("dead-letters", "list"))
    assert project.raw("dead-letters", "show", letter["number"], "--raw").startswith(b'{"id":"letter"')
    ignoring = ("--set", "sources.web.tables.orders.on_unknown=ignore")
    with running(project, *ignoring):
        assert "applied" in project.call("dead-letters", "replay", letter["number"])
        until(lambda: published(project).get("Pisa") == 9)


def test_a_new_column_is_null_in_older_rows_and_nothing_that_came_meanwhile_is_lost(project: TestProject) -> None:
    live = project.folder / "models" / "live"
    (live / "sources.yml").write_text(SOURCES + "          - {name: shop, data_type: text}\n")
    (live / "models.yml").write_text(MODELS[:-1] + ", {name: units_by_shop, config: {meta: {key: [shop]}}}]")
    (live / "units_by_shop.sql").write_text(
        "SELECT COALESCE(shop, '') AS shop, CAST(SUM(units) AS BIGINT) AS units "
        "FROM {{ source('web', 'orders') }} GROUP BY COALESCE(shop, '')"
    )
    before = sum(published(project).values())
    with running(project) as (_, client):
        sent = send(client, {"id": "held", "city": "Como", "units": 4, "shop": "north"})
        until(lambda: client.get(sent["status"]).json()["committed"] >= sent["last"])
        assert "Como" not in published(project)
    (live / "sources.yml").write_text(SOURCES + "          - {name: shop, data_type: bigint}\n")
    with running(project):
        assert "declare the columns as they were" in project.call("resync", "web.orders", expect=1)
    (live / "sources.yml").write_text(SOURCES + "          - {name: shop, data_type: text}\n")
    with running(project) as (_, client):
        assert "cannot be read anew" in project.call("resync", "web.orders")
        send(client, {"id": "after", "city": "Como", "units": 1, "shop": "north"})
        until(lambda: published(project).get("Como") == 5)
    with psycopg.connect(embedded_dsn(project, "topline")) as connection:
        rows = connection.execute("SELECT shop, units FROM topline.units_by_shop ORDER BY shop").fetchall()
    assert rows == [("", before), ("north", 5)]
    project.call("audit")
    assert project.json("run", "--until-idle")["changes"] == 0
