"""A company that sells in four ways while its engine is killed: the shipped project over two servers, a till, and the truth."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from tests.conftest import discard
from tests.faults.till import CITIES, MODELS, SALES, SETTINGS, Till
from tests.polling import until
from tests.project import new_project
from topline.config import load_project
from topline.embedded import EmbeddedPostgres
from topline.embedded.partner import book_of
from topline.faults import ONCE, VARIABLE
from topline.generate import Generator, Options, compare
from topline.generate.rankings import rankings
from topline.live.audit import audit_results
from topline.live.commands import REPLAY, RESYNC
from topline.live.start import load_plan
from topline.log import LetterState, LogReader
from topline.models.plan import ProjectPlan
from topline.results import Commands, Snapshot
from topline.schema import TableSchema

ZONE = "Europe/Rome"
PATIENCE = 90.0  # seconds until a process has come to where a test wants it; the machine may be busy
LONG = 900.0  # seconds for a command to do all of its work then
QUICK = (
    "TOPLINE_SOURCES__BRANCHES__SETTLE=0.1",
    "TOPLINE_SOURCES__PARTNER__EVERY=0.2",
    "TOPLINE_SOURCES__SHOP__HEARTBEAT=0.5",
    "TOPLINE_SOURCES__SHOP__COPY_ROWS=100",
    "TOPLINE_ENGINE__COMPACT_AFTER_ROWS=1000",
)
KNOWN = {"TOPLINE_SOURCES__TILL__TABLES__SALES__ON_UNKNOWN": "ignore"}  # under which the till's letters can be read
_DEALS = "SELECT date, salesman_id, country, region, city, deals_closed FROM topline.salesman_city_daily"


@dataclass(frozen=True)
class Balance:
    """How many sales, rejected sales and dead letters the results lack, and how many they have too many."""

    lost: int
    doubled: int
    differences: tuple[str, ...] = ()  # some of them, for the one who looks for the reason

    @classmethod
    def of(cls, pairs: Mapping[str, tuple[Counter[Any], Counter[Any]]]) -> "Balance":
        """`pairs`: name -> (what there should be, what there is)."""
        lost = {name: wanted - found for name, (wanted, found) in pairs.items()}
        doubled = {name: found - wanted for name, (wanted, found) in pairs.items()}
        told = [
            f"{name} {what}: {one!r} x {count}"
            for what, counters in (("lost", lost), ("doubled", doubled))
            for name, counter in counters.items()
            for one, count in counter.most_common(10)
        ]
        return cls(sum(map(Counter.total, lost.values())), sum(map(Counter.total, doubled.values())), tuple(told))


class Company:
    """`shop` and `results` are servers of their own; `process` is the engine's, the last that was started."""

    def __init__(self, folder: Path, seed: int, *, rate: float = 80, history: int = 300) -> None:
        self.project = new_project(folder / "sales", QUICK)
        self.shop, self.results = EmbeddedPostgres(folder / "shop"), EmbeddedPostgres(folder / "results")
        self._model_form, self._broken = 0, 0
        self._plans: dict[str, ProjectPlan] = {}  # by the fingerprint of the till's model
        self._replayed: Counter[bytes] = Counter()
        self._with_till()
        self.shop.start()
        self.results.start()
        self._point_at_servers()
        self.generator = Generator(
            Options(
                shop_dsn=self.shop.dsn("shop"),
                folder=self.project.folder / "inbox",
                ledger_dsn=self.shop.dsn("ledger"),
                partner=book_of(self.state, "partner"),
                seed=seed,
                rate=rate,
                history=history,
            )
        )
        self.generator.prepare()
        self.till = Till(seed, self.address)
        self.process: subprocess.Popen[bytes] | None = None
        self._since = 0.0

    @property
    def state(self) -> Path:
        return self.project.folder / ".topline"

    def dsn(self, database: str = "topline") -> str:
        return self.results.dsn(database)

    def _point_at_servers(self) -> None:
        with (self.project.folder / ".env").open("a") as file:
            file.write(f"TOPLINE_SOURCES__SHOP__DSN='{self.shop.dsn('shop')}'\n")
            file.write(f"TOPLINE_RESULTS__DSN='{self.dsn()}'\n")

    def _with_till(self) -> None:
        settings = self.project.folder / "topline.yml"
        settings.write_text(settings.read_text().replace("\nsources:\n", f"\nsources:{SETTINGS}", 1))
        live = self.project.folder / "models" / "live"
        (live / "till.yml").write_text(MODELS)
        (live / "till_cities.sql").write_text(CITIES)
        self.change_model()

    # what happens to it

    def change_model(self, *, columns: bool = False) -> None:
        """Another text of the till's model, with the same rows; with `columns`, of another shape."""
        self._model_form += 1
        more = f", '{self._model_form}' as form_{self._model_form}" if columns else ""
        text = SALES.format(more=more, unlike=f"none-{self._model_form}")
        (self.project.folder / "models" / "live" / "till_sales.sql").write_text(text)
        plan = load_plan(load_project(self.project.folder))
        self._plans[plan.models["till_sales"].fingerprint] = plan

    def drop_broken(self) -> None:
        """A file of lines that are no rows."""
        self._broken += 1
        hidden = self.project.folder / "inbox" / ".broken"
        hidden.write_bytes(b"".join([_HEADER, *_broken(self._broken)]))
        hidden.rename(hidden.with_name(f"broken-{self._broken}.csv"))

    def resync(self, target: str) -> None:
        self._ask(RESYNC, {"target": target})

    def replay(self) -> None:
        """The till's letters that nobody asked for yet, one at least: under KNOWN they become rows."""
        runs = self.process is not None and self.process.poll() is None
        if not (runs or self._letters_open()):
            self.recover()
        letters = until(self._letters_open, timeout=PATIENCE, what="a letter of the till")
        if not runs and self.process is not None and self.process.poll() is None:
            self.kill()
        self._replayed.update(letters.values())
        self._ask(REPLAY, {"letters": list(letters)})

    def _letters_open(self) -> dict[int, bytes]:
        """Those of the till that are not to be replayed yet, by number."""
        with self.log() as log:
            found = {one.id: log.letters.raw(one.id) for one in log.letters.list(source="till")}
        return {number: raw for number, raw in found.items() if raw not in self._replayed}

    def _owes_replay(self) -> bool:
        """Whether letters that were asked for are not replayed yet: the settings stay mended until they are."""
        if not self._replayed:
            return False
        with self.log() as log:
            return any(log.letters.raw(one.id) in self._replayed for one in log.letters.list(source="till"))

    def _ask(self, kind: str, arguments: Mapping[str, object]) -> None:
        commands = Commands(self.dsn(), "topline")
        commands.submit(kind, arguments)
        commands.close()

    # the engine

    def start(self, *arguments: str, kill_at: str = "", env: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """`kill_at`: the point at which it dies, the first time or any time after `arm` if the environment has ONCE."""
        (self.state / "engine.json").unlink(missing_ok=True)
        armed = {VARIABLE: kill_at} if kill_at else {}
        mended = KNOWN if self._owes_replay() else {}
        self._since = time.time()
        self.process = self.project.start("run", *arguments, env={**armed, **mended, **(env or {})})
        return self.process

    def recover(self, *arguments: str, kill_at: str = "", env: Mapping[str, str] | None = None) -> float:
        """Start it (after kill -9, where it runs), and wait until it is ready, as it says: the seconds that this took. It dies
        at `kill_at` after `arm`."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        began = time.monotonic()
        self._trigger.unlink(missing_ok=True)
        process = self.start(*arguments, kill_at=kill_at, env={ONCE: str(self._trigger), **(env or {})})
        until(self.is_ready, timeout=PATIENCE, what=f"ready; exit code {process.poll()}; {self.project.output()[-2000:]}")
        return time.monotonic() - began

    @property
    def _trigger(self) -> Path:
        return self.project.folder / "trigger"

    def arm(self) -> None:
        """Let what `recover` started die at its point from now on."""
        self._trigger.touch()

    def running(self) -> "subprocess.Popen[bytes]":
        """The engine's process, ready."""
        if self.process is None or self.process.poll() is not None:
            self.recover()
        self.seconds_until_ready()
        assert self.process is not None
        return self.process

    def seconds_until_ready(self) -> float:
        began = time.monotonic()
        until(self.is_ready, timeout=PATIENCE, what="ready")
        return time.monotonic() - began

    def is_ready(self) -> bool:
        """As the process that runs now says, not from what one before it left in PostgreSQL."""
        address = self.address()
        try:
            return bool(address) and self._has_spoken() and httpx2.get(f"{address}/readyz", timeout=10).status_code == 200
        except (httpx2.TransportError, psycopg.Error):
            return False

    def _has_spoken(self) -> bool:
        with psycopg.connect(self.dsn(), connect_timeout=5) as connection:
            row = connection.execute("SELECT extract(epoch FROM started)::float8 FROM topline._topline_engine").fetchone()
        return row is not None and row[0] >= self._since

    def address(self) -> str:
        """Of the API of the process that runs; '' while none is there."""
        try:
            told = json.loads((self.state / "engine.json").read_text())
        except (OSError, ValueError):
            return ""
        return str(told["api"]) if self.process is not None and told["pid"] == self.process.pid else ""

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    # the truth

    def log(self) -> LogReader:
        loaded = load_project(self.project.folder)
        return LogReader.open(loaded.state_dir, loaded.config.project)

    def log_epoch(self) -> int:
        with self.log() as log:
            return log.epoch

    def require_audited(self) -> None:
        """What PostgreSQL shows is the truth as of the epoch that it names, and no letter of the log is there twice. (Models
        that stand still while their source is copied may be older than what the log can tell: they are, at the end.)"""
        plan = self._published_plan()
        published = {name: model.schema for name, model in plan.models.items() if model.published}
        with self.log() as log, log.pin(), self._snapshot(published) as snapshot:
            epochs = {name: epoch for name, epoch in snapshot.epochs.items() if epoch}
            assert [one for one in audit_results(log, plan, epochs, snapshot.rows) if one.differs] == []
            places = Counter((one.source, one.partition, one.position) for one in log.letters.list(state=None))
            assert places.total() == len(places)

    def _published_plan(self) -> ProjectPlan:
        """The models as they were when PostgreSQL's rows were written: a changed one may not be published yet."""
        with psycopg.connect(self.dsn()) as connection:
            row = connection.execute("SELECT fingerprint FROM topline._topline_models WHERE model = 'till_sales'").fetchone()
        assert row is not None
        return self._plans[row[0]]

    def _snapshot(self, published: Mapping[str, TableSchema]) -> Snapshot:
        return Snapshot(self.dsn(), "topline", published)

    def finish(self) -> tuple[float, Balance]:
        """Nobody sells any more, and all is taken and published, as the audit must agree: the balance, and how many seconds the
        last start took."""
        seconds = self.recover()
        until(lambda: not self._owes_replay(), timeout=PATIENCE, what="all letters are replayed")
        self.till.stop()
        self.generator.stop()
        self.kill()
        self.project.run("run", "--until-idle", timeout=LONG)
        self.project.run("audit", timeout=LONG)
        return seconds, self.balance()

    def differences(self) -> dict[str, list[str]]:
        found = compare(self.shop.dsn("ledger"), self.dsn(), "topline", ZONE)
        return {model: lines for model, lines in found.items() if lines}

    def balance(self) -> Balance:
        ledger = rankings(self.shop.dsn("ledger"), ZONE)
        deals = Counter({row[:5]: int(str(row[6])) for row in ledger["salesman_city_daily"]})
        rejected = Counter(row[:2] for row in ledger["rejected_sales"])
        with psycopg.connect(self.dsn()) as connection:
            found_deals = Counter({row[:5]: int(row[5]) for row in connection.execute(_DEALS)})
            found_rejected = Counter(connection.execute("SELECT source, row_key FROM topline.rejected_sales").fetchall())
            found_till = Counter(connection.execute("SELECT sale_id, city, amount FROM topline.till_sales").fetchall())
            counts: dict[str, int] = dict(connection.execute("SELECT city, sales FROM topline.till_cities").fetchall())
        till = Counter((key, *row) for key, row in self.sold().items())
        cities = Counter(city for city, _ in self.sold().values())
        return Balance.of(
            {
                "deals": (deals, found_deals),
                "rejected sales": (rejected, found_rejected),
                "the till's sales": (till, found_till),
                "the till's cities": (cities, Counter(counts)),
                **self._letters(),
            }
        )

    def sold(self) -> dict[str, tuple[str, int]]:
        """What the till's table comes to: what it sent, and what became of letters that were replayed."""
        records = [json.loads(raw) for raw in self._replayed]
        return self.till.rows | {record["sale_id"]: (record["city"], record["amount"]) for record in records}

    def _letters(self) -> dict[str, tuple[Counter[bytes], Counter[bytes]]]:
        """(wanted, found): the till's letters, those of them that were replayed, and the broken lines of files."""
        with self.log() as log:
            stored = [(one, log.letters.raw(one.id)) for one in log.letters.list(state=None)]
        till = Counter(raw for one, raw in stored if one.source == "till")
        replayed = Counter(raw for one, raw in stored if one.state is LetterState.REPLAYED)
        broken = Counter(raw for _, raw in stored if raw.startswith(b"broken-"))
        wanted = Counter(line for number in range(1, self._broken + 1) for line in _broken(number))
        return {
            "the till's letters": (self.till.letters, till),
            "replayed letters": (self._replayed, replayed),
            "broken lines": (wanted, broken),
        }

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for server in (self.shop, self.results):
            discard(server)
            server.stop()
            shutil.rmtree(server.place, ignore_errors=True)


_HEADER = b"sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\n"


def _broken(number: int) -> list[bytes]:
    """Records with their line ends, as letters keep them."""
    return [b"broken-%d-%d,no row\n" % (number, line) for line in range(5)]


@contextmanager
def company(folder: Path, seed: int) -> Iterator[Company]:
    """Open for business: everybody sells, and the engine has published a first time and was killed."""
    made = Company(folder, seed)
    try:
        made.generator.start()
        made.till.start()
        made.recover()
        made.kill()
        yield made
    finally:
        made.close()
