"""TPC-H (examples/tpch) from PostgreSQL to PostgreSQL, as a user runs it: `python -m bench.tpch [SCALE]`.

Prints one line a stage: changes, wall seconds, CPU-seconds of the engine, changes a second, its greatest memory until then.
What the PostgreSQL at both ends does, on the same machine, is in the wall seconds only.
"""

import contextlib
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, run

import psycopg

from bench.end_to_end import TOPLINE
from examples.tpch.load import PROJECT, load, source
from examples.tpch.refresh import Refresh
from topline.config import load_project
from topline.live.dataflow import Dataflow
from topline.live.start import load_plan


def main(scale: float) -> None:
    with project() as folder, source(folder) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        began = time.monotonic()
        rows = load(dsn, scale)
        print(f"scale factor {scale}: {sum(rows.values()):,} rows made and loaded in {time.monotonic() - began:.1f} s")
        stages = Stages(folder, dsn, Refresh(connection, rows["orders"], random.Random(1), size=max(rows["orders"] // 1000, 1)))
        stages.run()


@contextlib.contextmanager
def project() -> Iterator[Path]:
    """A copy of the example, where it finds the shipped macros."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        root = Path(name)
        root.chmod(0o755)  # the server's user must reach it when we are root
        folder = root / "examples" / "tpch"
        shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(".topline", ".env", "__pycache__"))
        shutil.copytree(PROJECT.parents[1] / "sales" / "macros", root / "sales" / "macros")
        yield folder


@dataclass(frozen=True)
class Stages:
    """`refresh` touches a thousandth of the orders in one transaction, as TPC-H's refresh functions do."""

    folder: Path
    dsn: str
    refresh: Refresh

    def run(self) -> None:
        self.measure("first copy, folded and published")
        self.tell_size()
        self.measure("restart with nothing new")
        with self.refresh.connection.transaction():
            self.refresh.place()
        with self.refresh.connection.transaction():
            self.refresh.cancel()
        self.measure("both refresh functions once")
        for _ in range(100):
            self.refresh.step()
        self.measure("100 refreshing transactions")
        self.refresh.connection.execute("UPDATE customer SET c_nationkey = (c_nationkey + 1) % 25 WHERE c_custkey % 100 = 1")
        self.measure("a hundredth of the customers move")
        self.refresh.connection.execute("UPDATE nation SET n_regionkey = (n_regionkey + 1) % 5 WHERE n_nationkey = 8")
        self.measure("a nation moves to another region")
        self.audit()

    def measure(self, what: str) -> None:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        changes = json.loads(self.topline("run", "--until-idle", "--json"))["changes"]
        seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        rate = f"{changes / seconds:>9,.0f} /s" if changes else " " * 12
        memory = f"{after.ru_maxrss / 1024:8,.0f} MiB"
        print(f"{what:<36} {changes:>10,} changes {seconds:7.1f} s {cpu:7.1f} CPU-s {rate} {memory}", flush=True)

    def tell_size(self) -> None:
        plan = load_plan(load_project(self.folder))
        dataflow = Dataflow.load(plan, next((self.folder / ".topline").glob("checkpoint.*")))
        parts, orders = sorted(dataflow.state(), key=lambda part: -part.bytes), dataflow.table_count("tpch.orders")
        largest = ", ".join(f"{part.description} {part.bytes / orders:.0f}" for part in parts[:8])
        print(f"{sum(part.bytes for part in parts) / orders:.0f} bytes of state an order, lines too ({largest})", flush=True)
        dataflow.close()

    def audit(self) -> None:
        began = time.monotonic()
        equal = all(one["equal"] for one in json.loads(self.topline("audit", "--sources", "--json")))
        print(f"audit with sources: {'equal' if equal else 'DIFFERS'}, {time.monotonic() - began:.1f} s")

    def topline(self, *arguments: str) -> str:
        env = {**os.environ, "TOPLINE_API__PORT": "0"}
        done = run([*TOPLINE, *arguments], cwd=self.folder, env=env, stdout=PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"topline {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}")
        return done.stdout


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
