"""A small project, run as a user runs it: branches drop files, a web shop pushes rows, and units are summed by city."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from tests.polling import until
from tests.project import TOPLINE, TestProject
from topline.log import LogReader

SETTINGS = """
project: shelf
state: state
sources:
  branch:
    kind: files
    settle: 0.02
    poll: 0.05
    tables:
      stock: {path: inbox, max_line_bytes: 100000}
  web:
    kind: push
    tables:
      stock: {on_invalid: keep}
"""
TABLE = """
      - name: stock
        config: {meta: {key: [id]}}
        columns:
          - {name: id, data_type: text}
          - {name: city, data_type: text}
          - {name: note, data_type: text}
"""
SOURCES = f"sources:\n  - name: branch\n    tables:{TABLE}  - name: web\n    tables:{TABLE}"
MODELS = "models: [{name: stock_by_city, config: {meta: {key: [city]}}}]"
MODEL = """
SELECT city, COUNT(*) AS things FROM (
    SELECT city FROM {{ source('branch', 'stock') }} UNION ALL SELECT city FROM {{ source('web', 'stock') }}
) AS everything GROUP BY city
"""
ROOT = Path(__file__).parents[2]


class Shelf:
    """`process`: the engine, once it was started."""

    def __init__(self, folder: Path, results: str, settings: Mapping[str, str]) -> None:
        live = folder / "models" / "live"
        live.mkdir(parents=True)
        shutil.copytree(ROOT / "sales" / "macros", folder / "macros")
        (folder / "inbox").mkdir()
        (folder / "topline.yml").write_text(SETTINGS)
        lines = [f"{name}={value}" for name, value in {"TOPLINE_API__PORT": "0", **settings}.items()]
        (folder / ".env").write_text("\n".join([*lines, f"TOPLINE_RESULTS__DSN='{results}'"]) + "\n")
        (folder / "dbt_project.yml").write_text("name: shelf\n")
        (live / "sources.yml").write_text(SOURCES)
        (live / "models.yml").write_text(MODELS)
        (live / "stock_by_city.sql").write_text(MODEL)
        self.project, self.folder, self.results = TestProject(folder), folder, results
        self.state = folder / "state"
        self.process: subprocess.Popen[bytes] | None = None

    def drop(self, name: str, content: bytes) -> None:
        beside = self.folder / "inbox" / f".{name}"
        beside.write_bytes(content)
        beside.rename(self.folder / "inbox" / name)

    def start(self, **options: Any) -> None:
        """`options`: as `subprocess.Popen` takes them, such as the user and the limits."""
        (self.state / "engine.json").unlink(missing_ok=True)
        with (self.folder / "run.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*TOPLINE, "run"],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                **{"env": {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}, **options},
            )
        until(lambda: (self.state / "engine.json").exists() or not self.alive, timeout=120, what="the engine starts")
        assert self.alive, self.output()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ended(self, timeout: float = 120) -> int:
        """Its exit code."""
        assert self.process is not None
        return self.process.wait(timeout)

    def stop(self) -> None:
        """As `kill` does: it ends cleanly."""
        if self.alive and self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            assert self.ended() == 0, self.output()

    def output(self) -> str:
        return self.project.output()

    def send(self, *rows: Mapping[str, Any]) -> httpx2.Response:
        url = json.loads((self.state / "engine.json").read_text())["api"]
        return httpx2.post(f"{url}/api/v1/ingest/web.stock", json=list(rows), timeout=60)

    def published(self) -> dict[str, int]:
        try:
            with psycopg.connect(self.results) as connection:
                return dict(connection.execute("SELECT city, things FROM topline.stock_by_city").fetchall())
        except psycopg.Error:
            return {}

    def await_published(self, **things: int) -> None:
        def there() -> bool:
            assert self.alive, self.output()
            return self.published() == things

        until(there, timeout=120, every=0.1, what=f"{things} are published, in place of {self.published()}")

    def source(self, name: str) -> Mapping[str, Any]:
        """What `topline status` says of it."""
        [found] = [one for one in self.project.json("status")["sources"] if one["source"] == name]
        return found  # type: ignore[no-any-return]

    def letters(self) -> dict[str, bytes]:
        """Of each open letter: where it stood, and its bytes."""
        found = self.project.json("dead-letters", "list", "--state", "open")
        return {one["where"]: self.project.raw("dead-letters", "show", one["number"], "--raw") for one in found}

    def rows(self, table: str) -> int:
        with LogReader.open(self.state, "shelf") as log:
            return sum(len(chunk) for chunk in log.snapshot(table))


@contextmanager
def shelf(folder: Path, results: str, **settings: str) -> Iterator[Shelf]:
    """Its engine does not outlive it."""
    made = Shelf(folder, results, settings)
    try:
        yield made
    finally:
        if made.process is not None and made.alive:
            made.process.kill()
            made.process.wait()


def csv(*rows: tuple[str, str, str]) -> bytes:
    return b"".join(",".join(row).encode() + b"\n" for row in (("id", "city", "note"), *rows))
