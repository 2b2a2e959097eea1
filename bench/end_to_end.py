"""Files to PostgreSQL, the whole way, as a user runs it: a first load in bulk, then change events, published and caught up.

python -m bench.end_to_end [SALES] prints one line a stage: events, wall seconds, CPU-seconds of the engine, events a second.
"""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from topline.config import load_project
from topline.embedded import EmbeddedPostgres
from topline.generate import Generator, Options
from topline.live.dataflow import Dataflow
from topline.live.start import load_plan

TOPLINE = (sys.executable, "-m", "topline.cli.main")
HEADER = "sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\n"
FILE_ROWS = 250_000
DAYS = 90


def main(sales: int) -> None:
    with project() as folder:
        write(folder, "load", np.arange(sales), seed=1)
        measure(folder, f"first load of {sales:,}", sales)
        events = sales // 4
        write(folder, "changes", events_of(sales, events), seed=2)
        measure(folder, f"{events:,} change events on top", events)
        measure(folder, "restart with nothing new", 0)
        tell_size(folder)
        for checkpoint in (folder / ".topline").glob("checkpoint.*"):
            checkpoint.unlink()
        measure(folder, "restart without its checkpoint", 0)


@contextlib.contextmanager
def project() -> Iterator[Path]:
    """The shipped project, its shop empty, so that the sales are one flat table's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sales"
        run(folder.parent, "init", str(folder))
        with EmbeddedPostgres(folder / ".topline") as server:
            options = Options(shop_dsn=server.dsn("shop"), folder=folder / "none", ledger_dsn=server.dsn("ledger"), history=0)
            generator = Generator(options)
            generator.prepare()
            generator.stop()
            yield folder
        shutil.rmtree(server.place, ignore_errors=True)  # as root it lies in /var/tmp


def events_of(sales: int, events: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Of 100 events 80 are new sales, 12 corrections of old ones, 8 the same again."""
    rng = np.random.default_rng(3)
    fresh = np.arange(sales, sales + events)
    old = rng.integers(0, sales, events)
    return np.where(rng.random(events) < 0.8, fresh, old)


def write(folder: Path, name: str, ids: "np.ndarray[tuple[int], np.dtype[np.int64]]", seed: int) -> None:
    """CSV files of at most FILE_ROWS sales each: 2,000 salesmen, 500 cities, DAYS days, amounts with two decimals."""
    rng = np.random.default_rng(seed)
    inbox = folder / "inbox"
    for part, begin in enumerate(range(0, len(ids), FILE_ROWS)):
        chunk = ids[begin : begin + FILE_ROWS]
        day = np.datetime64("2026-01-01T08:00:00") + rng.integers(0, DAYS * 86_400, len(chunk)).astype("timedelta64[s]")
        city, man = rng.integers(0, 500, len(chunk)), rng.integers(0, 2_000, len(chunk))
        cents = rng.integers(100, 1_000_000, len(chunk))
        rows = zip(chunk.tolist(), day.astype(str).tolist(), city.tolist(), man.tolist(), cents.tolist(), strict=True)
        lines = [f"S{i:09d},{t}Z,Italy,R{c % 20},City {c},{m},Name {m},{a // 100}.{a % 100:02d},EUR" for i, t, c, m, a in rows]
        (inbox / f"{name}-{part:04d}.csv").write_text(HEADER + "\n".join(lines) + "\n")


def measure(folder: Path, what: str, events: int) -> None:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run(folder, "run", "--until-idle", "--json")
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rate = f"{events / seconds:>10,.0f} /s" if events else ""
    print(f"{what:<36} {seconds:7.1f} s {cpu:7.1f} CPU-s {rate} {after.ru_maxrss / 1024:8,.0f} MiB", flush=True)


def tell_size(folder: Path) -> None:
    """What the state takes in memory, a sale, from the checkpoint."""
    plan = load_plan(load_project(folder))
    dataflow = Dataflow.load(plan, next((folder / ".topline").glob("checkpoint.*")))
    sizes, sales = dataflow.state(), dataflow.table_count("branches.sales")
    largest = ", ".join(f"{size.description} {size.bytes / sales:.0f}" for size in sorted(sizes, key=lambda s: -s.bytes)[:9])
    print(f"{sum(size.bytes for size in sizes) / sales:.0f} bytes of state a sale ({largest})", flush=True)
    dataflow.close()


def run(cwd: Path, *arguments: str) -> None:
    env = {**os.environ, "TOPLINE_API__PORT": "0"}
    done = subprocess.run([*TOPLINE, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"topline {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}")


def api_of(folder: Path) -> str:
    """The address of the API of the engine that was just started in `folder`."""
    path = folder / ".topline" / "engine.json"
    end = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > end:
            raise SystemExit("the engine did not start within 60 s")
        time.sleep(0.1)
    return str(json.loads(path.read_text())["api"])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
