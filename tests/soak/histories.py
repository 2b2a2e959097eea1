"""Ten thousand histories and more, seed after seed: random models, the shipped ones, real sources. A failure is told with
the line that replays it."""

import argparse
import io
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from tests.conftest import serving
from tests.exact.checking import check
from tests.exact.history import Histories
from tests.exact.runs import FailedError, Totals, live_through
from tests.exact.shipped import SALES, TPCH, rankings, sales_plan, specs, tpch_plan

COUNT = 10_000  # histories, where neither a number nor minutes are given
EVERY = 20.0  # seconds between two lines of progress
SHRINK = 300  # smaller histories that are tried of one that failed
SEEDS = 10**7  # a run without a seed begins at a random one below


@dataclass
class Outcome:
    """What a seed came to. `failures`: each in words, with the line that replays it."""

    seed: int
    totals: Totals = field(default_factory=Totals)
    failures: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    """0 where no history failed."""
    wanted = _parsed(arguments)
    seed = random.SystemRandom().randrange(SEEDS) if wanted.seed is None else wanted.seed
    count = wanted.count or (sys.maxsize if wanted.minutes else COUNT)
    print(f"histories from seed {seed} on", flush=True)
    soak = _Soak(count, wanted.minutes * 60 if wanted.minutes else float("inf"))
    soak.run(seed, 1 if count == 1 else wanted.jobs)
    print(soak.line(), flush=True)
    return 1 if soak.failures else 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak histories", description=__doc__)
    parser.add_argument("--count", type=int, help=f"histories, {COUNT} where no minutes are given; 1: all of one seed")
    parser.add_argument("--minutes", type=float, help="how long")
    parser.add_argument("--seed", type=int, help="where to begin")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    return parser.parse_args(arguments)


class _Soak:
    def __init__(self, count: int, seconds: float) -> None:
        self._count, self._seconds = count, seconds
        self._started = self._told = time.monotonic()
        self._seeds = self._histories = self._batches = self._pairs = self.failures = 0

    def run(self, seed: int, jobs: int) -> None:
        """A few seeds at a time, until there are histories enough or the time is over."""
        with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=50) as pool:
            running: set[Future[Outcome]] = set()
            while self._goes_on() or running:
                while self._goes_on() and len(running) < jobs:
                    running.add(pool.submit(outcome, seed))
                    seed += 1
                    self._seeds += 1
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take(future.result())

    def _goes_on(self) -> bool:
        enough = max(self._histories, self._seeds) >= self._count  # a seed has a history at least
        return not enough and time.monotonic() - self._started < self._seconds

    def _take(self, one: Outcome) -> None:
        self._histories += one.totals.histories
        self._batches += one.totals.batches
        self._pairs += one.totals.pairs
        self.failures += len(one.failures)
        for failure in one.failures:
            print(failure, flush=True)
        if time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            print(f"{self.line()}; seed {one.seed}", flush=True)

    def line(self) -> str:
        minutes = (time.monotonic() - self._started) / 60
        return (
            f"{self._histories} histories ({self._pairs} with a model each), {self._batches} batches, "
            f"{self.failures} failures, {minutes:.1f} minutes"
        )


def outcome(seed: int) -> Outcome:
    """All histories of one seed. Which kind it is, the seed says."""
    found = Outcome(seed)
    try:
        kind_of(seed)(seed, found.totals)
    except FailedError as error:
        found.failures.append(f"{error}\n{error.shrink(SHRINK)}")
    except Exception:  # noqa: BLE001 - whatever it is, it is told, and the others go on
        found.failures.append(f"replay: make soak SEED={seed} N=1\n{traceback.format_exc()}")
    return found


def kind_of(seed: int) -> Callable[[int, Totals], None]:
    """Mostly random models; the shipped ones; now and then a polled source's machine, and a shop in a real PostgreSQL."""
    if seed % 500 == 499:
        return shop
    if seed % 200 == 99:
        return polled
    return shipped if seed % 10 == 9 else live_through


def shipped(seed: int, totals: Totals) -> None:
    places = 1 + seed % 3
    for plan, values, again in ((sales_plan(), SALES, rankings), (tpch_plan(places), TPCH, lambda _: {})):
        tables = specs(plan, values)
        totals.add(check(plan, tables, Histories(random.Random(seed), tables).history(8), again))


def polled(seed: int, totals: Totals) -> None:
    """All examples of the machine; hypothesis shrinks what fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/polled/test_histories.py"]
    done = subprocess.run([*command, f"--hypothesis-seed={seed}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    totals.histories += 1


def shop(seed: int, totals: Totals) -> None:
    """Real PostgreSQL as source and results, files beside it, restarts and lost connections among what happens."""
    from tests.faults.test_histories import STEPS, live_through
    from tests.faults.world import world

    with (
        serving("topline-soak-") as postgres,
        tempfile.TemporaryDirectory() as folder,
        world(Path(folder) / "sales", postgres.dsn("shop"), postgres.dsn("results")) as made,
    ):
        _telling(lambda: live_through(made, seed))
    totals.histories += 1
    totals.batches += STEPS


def _telling(act: Callable[[], None]) -> None:
    """What is printed on the way is told only with what goes wrong."""
    story = io.StringIO()
    try:
        with redirect_stdout(story):
            act()
    except Exception as error:
        error.add_note(story.getvalue())
        raise
