"""A small project over one wide table, run as a process, so that its memory is its own and it can be killed."""

import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from tests.polling import until
from tests.project import TestProject

_ROOT = Path(__file__).parents[3]
NOTES = tuple(f"note_{number}" for number in range(8))
_SETTINGS = """
project: book
results: {dsn: "${env:RESULTS}", schema: results}
sources:
  shop:
    kind: postgres
    dsn: ${env:SHOP}
    heartbeat: 0.5
"""
_TABLES = """
sources:
  - name: shop
    tables:
      - name: entries
        config: {meta: {key: [id]}}
        columns: [{name: id, data_type: bigint}, {name: city, data_type: text}, {name: amount, data_type: text}, %s]
"""
_MODELS = """
models:
  - name: by_city
    config: {meta: {key: [city]}}
"""
_MODEL = """
select city, sum({{ try_decimal('amount') }}) as total, count(*) as entries, {{ max_text('note_0') }} as note
from {{ source('shop', 'entries') }} group by city
"""
_RESULT = """
SELECT city, sum(amount)::numeric(18,4)::text, count(*), max(note_0 COLLATE "C") FROM entries
WHERE city IS NOT NULL GROUP BY city
"""


_AT_WORK = (
    "SELECT pg_current_wal_lsn(), pg_current_wal_flush_lsn()",
    "SELECT pid, state, sent_lsn, write_lsn, flush_lsn, reply_time, now() FROM pg_stat_replication",
    "SELECT slot_name, active_pid, restart_lsn, confirmed_flush_lsn, wal_status FROM pg_replication_slots",
    "SELECT pid, backend_type, state, wait_event_type, wait_event, query FROM pg_stat_activity WHERE wait_event IS NOT NULL",
)


@dataclass
class Book:
    """`shop` is a connection to the table's database. The results' database is another."""

    folder: Path
    shop_dsn: str
    results_dsn: str
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        live = self.folder / "models" / "live"
        live.mkdir(parents=True)
        notes = ", ".join(f"{{name: {name}, data_type: text}}" for name in NOTES)
        shutil.copytree(_ROOT / "sales" / "macros", self.folder / "macros")
        (self.folder / "dbt_project.yml").write_text("name: book\n")
        (self.folder / "topline.yml").write_text(_SETTINGS)
        (live / "sources.yml").write_text(_TABLES % notes)
        (live / "models.yml").write_text(_MODELS)
        (live / "by_city.sql").write_text(_MODEL)
        lines = [f"SHOP='{self.shop_dsn}'", f"RESULTS='{self.results_dsn}'", "TOPLINE_API__PORT=0"]
        (self.folder / ".env").write_text("\n".join([*lines, *(f"{k}={v}" for k, v in self.settings.items())]) + "\n")
        self.project = TestProject(self.folder)
        self.shop = psycopg.connect(self.shop_dsn, autocommit=True)
        columns = ", ".join(f"{name} text" for name in NOTES)
        self.shop.execute(f"CREATE TABLE entries (id bigint PRIMARY KEY, city text, amount numeric, {columns})".encode())

    def add(self, first: int, last: int, city: str = "'city ' || n % 100", wide: int = 60) -> str:
        """The statement that adds these entries. A row has about 8 * `wide` bytes of notes, of few different texts."""
        notes = ", ".join(f"rpad((n % {97 + place})::text, {wide}, 'x')" for place in range(len(NOTES)))
        return f"INSERT INTO entries SELECT n, {city}, n % 1000, {notes} FROM generate_series({first}, {last}) n"

    def rows(self, dsn: str, query: str) -> list[TupleRow]:
        with psycopg.connect(dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def truth(self) -> list[TupleRow]:
        return sorted(self.rows(self.shop_dsn, _RESULT))

    def results(self) -> list[TupleRow]:
        try:
            return sorted(self.rows(self.results_dsn, "SELECT city, total::text, entries, note FROM results.by_city"))
        except psycopg.errors.UndefinedTable:
            return []

    def start(self, **env: str) -> "subprocess.Popen[bytes]":
        return self.project.start("run", env={"PYTHONFAULTHANDLER": "1", **env})

    def require_killed(self, process: "subprocess.Popen[bytes]") -> None:
        """It ends at the point that it was started with; else what it and the source's server were at is in the failure."""
        try:
            assert process.wait(120) == -signal.SIGKILL, self.project.output()
        except subprocess.TimeoutExpired:
            server = [self.shop.execute(query.encode()).fetchall() for query in _AT_WORK]
            process.send_signal(signal.SIGABRT)  # its threads' stacks go to run.log
            process.wait(30)
            raise AssertionError(f"it goes on; the server: {server}\n{self.project.output()}") from None

    def is_true(self) -> bool:
        return self.results() == self.truth()

    def drop(self) -> None:
        free = "SELECT count(*) = 0 FROM pg_replication_slots WHERE active AND database = current_database()"
        until(lambda: self.rows(self.shop_dsn, free)[0][0], timeout=60)
        gone = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
        self.shop.execute(gone.encode())
        self.shop.close()


def memory(pid: int, what: str = "VmHWM") -> int:
    """Bytes of resident memory of a process: `VmRSS` now, `VmHWM` at most."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> None:
    """`VmHWM` counts from here on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
