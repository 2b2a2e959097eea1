"""A soak: the real process over every kind of source, with faults, for as long as is asked for; nothing of it may grow.

    python -m tests.soak.resources [--seconds 1200] [--seed 7]

The same number of sales is changed all the time, from bounded vocabularies, so that whatever grows is a leak. In the first
quarter the engine is also killed and restarted; the process of the last start then lives through all other faults. Its files
and its memory take the second quarter to reach the size that they keep (write-ahead files, free pages, buffers), and the second
half is judged: no measure may gain more than the live rows did, beyond its bound.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.polling import until
from tests.resources.house import HEADER, SOURCES, House, Sale, house
from tests.soak.growth import Bound, Growth, growth
from topline.log import LogReader

KEYS = 400  # of each source
CITIES = [f"City {number}" for number in range(25)]
DAYS = [f"2026-03-{day:02}" for day in range(1, 15)]
TICK, SAMPLE, FAULT = 0.25, 3.0, 7.0  # seconds between changes, between samples, and about between faults
SETTINGS = (
    "TOPLINE_ENGINE__COMPACT_AFTER_ROWS=2000",
    "TOPLINE_ENGINE__PUBLISH_INTERVAL_MS=50",
)
MEGABYTE = 1e6
BOUNDS = {
    "memory": Bound(0.05, 10 * MEGABYTE),
    "descriptors": Bound(0.0, 3),
    "threads": Bound(0.0, 2),
    "log": Bound(0.15, 2 * MEGABYTE),
    "checkpoint": Bound(0.10, 1 * MEGABYTE),
    "inbox": Bound(0.0, 4.2 * MEGABYTE),  # SQLite begins its write-ahead file anew after 1,000 pages
    "spill": Bound(0.0, 0.1 * MEGABYTE),
    "slot lag": Bound(0.0, 2 * MEGABYTE),
    "slot keeps": Bound(0.0, 48 * MEGABYTE),
    "results": Bound(0.15, 2 * MEGABYTE),
}
Sample = Mapping[str, float]


@dataclass
class Soak:
    house: House
    seconds: float
    random: random.Random
    samples: list[tuple[float, int, Sample]] = field(default_factory=list)  # seconds since the start, process, values
    faults: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)  # seconds from a start of the engine to its first answer
    refused: Counter[str] = field(default_factory=Counter)  # a source did not take a change at once, and was told again
    process: "subprocess.Popen[bytes] | None" = None

    def run(self) -> None:
        """Changes, samples and faults, each when it is due; then a clean end."""
        began = self._began = time.monotonic()
        self._start()
        self._sell_first()
        due: dict[Callable[[], None], tuple[float, float]] = {
            self._change: (0.0, TICK),
            self._sample: (0.0, SAMPLE),
            self._fault: (FAULT, FAULT),
        }
        while (now := time.monotonic() - began) < self.seconds:
            for step, (at, every) in due.items():
                if now >= at:
                    step()
                    due[step] = (time.monotonic() - began + every * self.random.uniform(0.8, 1.2), every)
            time.sleep(0.02)
        self.house.sellers["till"].server.down = False  # type: ignore[attr-defined]
        self._settle()
        self._stop(signal.SIGTERM)

    # the engine

    def _start(self) -> None:
        engine = self.house.state / "engine.json"
        engine.unlink(missing_ok=True)
        started = time.monotonic()
        self.process = self.house.project.start("run")
        until(lambda: engine.exists() or self._died(), timeout=120, what="the engine starts")
        self.recoveries.append(time.monotonic() - started)

    def _died(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the engine ended by itself: {self.house.project.output()[-3000:]}"
        return False

    def _stop(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(120)
        assert code == (0 if how is signal.SIGTERM else -how), self.house.project.output()[-3000:]

    # what is sold

    def _sell_first(self) -> None:
        for source in SOURCES:
            self._sell(source, {f"{source}-{number}": self._sale() for number in range(KEYS)})

    def _change(self) -> None:
        """Half of a source's sales are there at any time."""
        self._died()
        source = self.random.choice(SOURCES)
        chosen = self.random.sample(range(KEYS), self.random.choice((1, 3, 40)))
        sales = {f"{source}-{n}": self._sale() if self.random.random() < 0.8 else None for n in chosen}
        self._sell(source, sales)

    def _sell(self, source: str, changes: Mapping[str, Sale | None]) -> None:
        try:
            self.house.sell(source, changes)
        except OSError:
            self.refused[source] += 1
        except psycopg.OperationalError:  # the connection was cut: nothing of the transaction is there
            self.refused[source] += 1
            self.house.sell(source, changes)

    def _sale(self) -> Sale:
        r = self.random
        return Sale(r.choice(DAYS), r.choice(CITIES), r.randrange(30), r.randrange(1, 200))

    # faults

    def _fault(self) -> None:
        early = time.monotonic() - self._began < self.seconds / 4
        kinds = [self._cut_connections, self._drop_bad_file, self._bad_push, self._till_down, self._touch_files]
        step = self.random.choice([*kinds, *([self._kill, self._restart] if early else [])])
        step()
        self.faults[step.__name__.strip("_").replace("_", " ")] += 1

    def _cut_connections(self) -> None:
        statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'topline%'"
        with psycopg.connect(self.house.server.dsn("shop"), autocommit=True) as connection:
            connection.execute(statement)

    def _drop_bad_file(self) -> None:
        """Torn lines, bytes that are no text, a header without a column, a packed file that is none."""
        bad = {
            "torn.csv": HEADER + b"torn,2026-03-02,Italy\n",
            "latin.csv": HEADER + b"x-1,2026-03-02,Italy,Lazio,Forl\xec,1,n,1.00,EUR\n",
            "narrow.csv": b"sale_id,city\n1,Roma\n",
            "packed.csv.gz": b"\x1f\x8bno gzip at all",
        }
        name = self.random.choice(list(bad))
        self._branches("drop", name, bad[name] + b"#%d\n" % self.random.randrange(10))

    def _branches(self, method: str, *arguments: object) -> None:
        getattr(self.house.sellers["branches"], method)(*arguments)

    def _bad_push(self) -> None:
        with suppress(OSError):
            self.house.sellers["web"].send([{"sale_id": None, "city": "Roma"}])  # type: ignore[attr-defined]

    def _till_down(self) -> None:
        server = self.house.sellers["till"].server  # type: ignore[attr-defined]
        server.down = not server.down

    def _touch_files(self) -> None:
        for path in self.house.project.folder.joinpath("inbox").glob("branch-*.csv"):
            os.utime(path)

    def _kill(self) -> None:
        self._stop(signal.SIGKILL)
        self._start()

    def _restart(self) -> None:
        self._stop(signal.SIGTERM)
        self._start()

    # samples

    def _sample(self) -> None:
        assert self.process is not None
        pid, state = self.process.pid, self.house.state
        proc = Path(f"/proc/{pid}")
        memory = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
        found: dict[str, float] = {
            "rows": sum(map(len, self.house.sold.values())),
            "memory": int(memory.split()[1]) * 1024,
            "descriptors": len(os.listdir(proc / "fd")),
            "threads": len(os.listdir(proc / "task")),
            "log": _size(state, "log.sqlite*", "segments/*"),
            "checkpoint": _size(state, "checkpoint.*"),
            "inbox": _size(state, "inbox.sqlite*"),
            "spill": _size(state, "spill/*"),
            **self._database(),
        }
        with LogReader.open(state, "sales") as log:
            found["letters"] = log.letters.count(state=None)
        self.samples.append((time.monotonic() - self._began, pid, found))

    def _database(self) -> dict[str, float]:
        slot = (
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), "
            "pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots WHERE database = 'shop'"
        )
        tables = (
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'topline'::regnamespace"
        )
        with psycopg.connect(self.house.server.dsn("topline"), autocommit=True, application_name="sampler") as connection:
            lag = connection.execute(slot).fetchone() or (0, 0)
            size = connection.execute(tables).fetchone() or (0,)
        return {"slot lag": float(lag[0]), "slot keeps": float(lag[1]), "results": float(size[0] or 0)}

    def _settle(self) -> None:
        """All that waits is sold, and PostgreSQL shows it."""

        def sold() -> bool:
            self._died()
            with suppress(OSError):
                self.house.sell("web", {})
                return self.house.published() == self.house.wanted()
            return False

        until(sold, timeout=120, every=0.5, what="the rankings are what was sold")

    # the end

    def judged(self) -> list[Growth]:
        """Of the process that lived through the second half."""
        assert self.process is not None
        half = [(at, s) for at, pid, s in self.samples if at >= self.seconds / 2 and pid == self.process.pid]
        times, rows = [at for at, _ in half], [s["rows"] for _, s in half]
        return [growth(name, times, [s[name] for _, s in half], rows, bound) for name, bound in BOUNDS.items()]


def _size(folder: Path, *patterns: str) -> float:
    total = 0
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@dataclass(frozen=True)
class Outcome:
    seconds: float
    seed: int
    growths: list[Growth]
    samples: int
    faults: Mapping[str, int]
    recoveries: list[float]
    wrong: int  # totals of a day and city that are not what was sold
    audited: bool

    def table(self) -> str:
        """Markdown. Sizes in millions of bytes."""
        lines = [f"{self.seconds:.0f} s, seed {self.seed}, {self.samples} samples; faults: {_listed(self.faults)}"]
        if self.recoveries:
            lines.append(
                f"starts: {len(self.recoveries)}, the longest {max(self.recoveries):.1f} s; wrong totals: {self.wrong}"
            )
        lines += ["", "| measure | at half time | median | most | gained | allowed |", "| --- | --- | --- | --- | --- | --- |"]
        for one in self.growths:
            figures = (one.first, one.median, one.most, one.gained, one.allowed)
            mark = " GROWS" if one.grows else ""
            lines.append(f"| {one.name}{mark} | " + " | ".join(_told(one.name, figure) for figure in figures) + " |")
        return "\n".join(lines)

    @property
    def holds(self) -> bool:
        return self.audited and not self.wrong and not any(one.grows for one in self.growths)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in sorted(counts.items()))


def _told(name: str, figure: float) -> str:
    return f"{figure:.1f}" if name in ("descriptors", "threads") else f"{figure / MEGABYTE:.2f}"


def soak(folder: Path, seconds: float, seed: int, keep: Path | None = None) -> Outcome:
    """Run it. `keep`: a file that takes the samples, one JSON a line."""
    with house(folder, SETTINGS) as made:
        run = Soak(made, seconds, random.Random(seed))
        try:
            run.run()
        finally:
            if run.process is not None and run.process.poll() is None:
                run.process.kill()
                run.process.wait()
            if keep is not None:
                keep.write_text("".join(json.dumps([at, pid, dict(s)]) + "\n" for at, pid, s in run.samples))
        made.project.run("run", "--until-idle")
        compared: list[dict[str, Any]] = made.project.json("audit")
        wanted, found = made.wanted(), made.published()
        wrong = sum(wanted.get(key) != found.get(key) for key in wanted.keys() | found.keys())
        audited = all(one["equal"] for one in compared)
        return Outcome(seconds, seed, run.judged(), len(run.samples), run.faults, run.recoveries, wrong, audited)


def main(arguments: list[str]) -> int:
    """The exit code: 1 where something grew, or a result is not what was sold."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak resources", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--samples", type=Path, help="a file that takes every sample, one JSON a line")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="topline-soak-") as folder:
        Path(folder).chmod(0o755)
        outcome = soak(Path(folder) / "sales", asked.seconds, asked.seed, asked.samples)
    print(outcome.table())
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
