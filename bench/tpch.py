"""TPC-H (examples/tpch) from PostgreSQL to PostgreSQL, as a user runs it, audited at the end."""

import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.figures import Figure
from bench.project import Project, opened
from examples.tpch.load import PROJECT, load, source
from examples.tpch.refresh import Refresh
from topline.config import load_project
from topline.live.dataflow import Dataflow
from topline.live.start import load_plan

SIZES = {"small": 0.02, "full": 1.0}
"""Scale factors."""


def run(scale: str) -> Iterator[Figure]:
    with folder_of() as folder, opened(folder) as project, source(folder) as dsn:
        rows = load(dsn, SIZES[scale])
        with psycopg.connect(dsn, autocommit=True) as connection:
            orders = rows["orders"]
            yield from Stages(project, Refresh(connection, orders, random.Random(1), size=max(orders // 1000, 1))).run()


@contextmanager
def folder_of() -> Iterator[Path]:
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

    project: Project
    refresh: Refresh

    def run(self) -> Iterator[Figure]:
        yield from self.measure("first copy, folded and published")
        yield self.size()
        yield from self.measure("restart with nothing new")
        with self.refresh.connection.transaction():
            self.refresh.place()
        with self.refresh.connection.transaction():
            self.refresh.cancel()
        yield from self.measure("both refresh functions once")
        for _ in range(100):
            self.refresh.step()
        yield from self.measure("100 refreshing transactions")
        self.refresh.connection.execute("UPDATE customer SET c_nationkey = (c_nationkey + 1) % 25 WHERE c_custkey % 100 = 1")
        yield from self.measure("a hundredth of the customers move")
        self.refresh.connection.execute("UPDATE nation SET n_regionkey = (n_regionkey + 1) % 5 WHERE n_nationkey = 8")
        yield from self.measure("a nation moves to another region")
        self.audit()

    def measure(self, what: str) -> Iterator[Figure]:
        spent = self.project.run()
        changes = json.loads(spent.output)["changes"]
        note = f"{changes:,} changes; {spent.peak / 2**20:,.0f} MiB at most; the start of the process is in it"
        cpu = [spent.cpu + spent.others["postgres"]]
        yield Figure(f"TPC-H, {what}", "s", [spent.wall], cpu, changes, "changes" if changes else "", note=note)

    def size(self) -> Figure:
        folder = self.project.folder
        dataflow = Dataflow.load(load_plan(load_project(folder)), next((folder / ".topline").glob("checkpoint.*")))
        parts, orders = sorted(dataflow.state(), key=lambda part: -part.bytes), dataflow.table_count("tpch.orders")
        dataflow.close()
        largest = ", ".join(f"{part.description} {part.bytes / orders:.0f}" for part in parts[:8])
        return Figure(
            "TPC-H, state", "bytes an order", [sum(part.bytes for part in parts) / orders], note=f"its lines too: {largest}"
        )

    def audit(self) -> None:
        """SystemExit where the results are not what the source holds."""
        compared = json.loads(self.project.topline("audit", "--sources", "--json").output)
        if not all(one["equal"] for one in compared):
            raise SystemExit(f"the audit differs: {compared}")
