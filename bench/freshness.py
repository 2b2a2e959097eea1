"""From the commit at the source to the API: how long until a reader sees a sale, with other sales coming in meanwhile."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import psycopg

from bench.figures import Bar, Figure
from bench.meter import tree_cpu
from bench.project import Engine, running, shipped

SIZES = {"small": (40, 1), "full": (300, 3)}
"""Probes of a run, and how often they are made at each rate."""
RATES = (10, 100, 1_000, 5_000)
BARRED = 1_000
_PAUSE = 0.05  # between two probes
_LOOK = 0.005  # between two looks for a probe: who asks without a rest takes a core from what he measures
PLACE = "INSERT INTO orders VALUES (%s, 'probe', %s, now(), 'EUR', 'placed')"
LINE = "INSERT INTO order_items VALUES (%s, 1, 'Books', 'Atlas', 1, 10.00)"
BUSY = """
WITH placed AS (
    INSERT INTO orders SELECT %(batch)s || '-' || n, 'c' || n %% 300, 's' || n %% 40, now(), 'EUR', 'placed'
    FROM generate_series(1, %(count)s) n RETURNING order_id
)
INSERT INTO order_items SELECT order_id, 1, 'Books', 'Atlas', 1, 12.50 FROM placed
"""
MASTER = """
INSERT INTO customers SELECT 'c' || n, 'Customer', 'Italy', 'R' || n % 20, 'City ' || n FROM generate_series(0, 299) n;
INSERT INTO customers VALUES ('probe', 'Probe', 'Italy', 'Lazio', 'Roma');
INSERT INTO salesmen SELECT 's' || n, 'Name ' || n FROM generate_series(0, 39) n;
"""


def run(scale: str) -> Iterator[Figure]:
    probes, times = SIZES[scale]
    with shipped() as project:
        shop = project.server.dsn("shop")
        with psycopg.connect(shop, autocommit=True) as connection:
            connection.execute(MASTER.encode())
            count = probes * times * len(RATES)
            connection.execute("INSERT INTO salesmen SELECT 'probe' || n, 'Probe' FROM generate_series(1, %s) n", (count,))
        project.run()
        with running(project) as engine:
            names = iter(f"probe{number}" for number in range(1, count + 1))
            for rate in RATES:
                runs = [_with_load(engine, shop, rate, [next(names) for _ in range(probes)]) for _ in range(times)]
                yield from _figures(rate, [times_ for times_, _ in runs], [cpu for _, cpu in runs])


def _figures(rate: int, runs: list[list[float]], cores: list[float]) -> Iterator[Figure]:
    bars = {"p50": Bar(50, at_most=True), "p99": Bar(250, at_most=True)} if rate == BARRED else {}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        values = [one[min(int(len(one) * share), len(one) - 1)] * 1000 for one in runs]
        note = f"{len(runs[0])} probes a run; the engine took {max(cores):.2f} of a core" if name == "p50" else ""
        yield Figure(f"commit to API at {rate:,} changes/s, {name}", "ms", values, bar=bars.get(name), note=note)


def _with_load(engine: Engine, shop: str, rate: int, names: list[str]) -> tuple[list[float], float]:
    """Seconds of each probe, sorted, and the share of a core that the engine took."""
    stop = threading.Event()
    busy = threading.Thread(target=_keep_busy, args=(shop, rate, stop), daemon=True)
    busy.start()
    time.sleep(1)
    began, before = time.monotonic(), tree_cpu(engine.pid)
    with psycopg.connect(shop, autocommit=False) as connection:
        times = sorted(_probe(connection, engine.url, name) for name in names)
    cores = (tree_cpu(engine.pid) - before) / (time.monotonic() - began)
    stop.set()
    busy.join()
    return times, cores


def _keep_busy(shop: str, rate: int, stop: threading.Event) -> None:
    """`rate` row changes a second: orders with their lines, in transactions of a twentieth of a second or of one order."""
    orders = max(1, rate // 40)
    pause = 2 * orders / rate
    with psycopg.connect(shop, autocommit=True) as connection:
        batch, due = 0, time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            due, batch = due + pause, batch + 1
            connection.execute(BUSY, {"batch": f"b{time.time_ns()}-{batch}", "count": orders})


def _probe(connection: psycopg.Connection, url: str, salesman: str) -> float:
    """Seconds from the commit of an order until the API has the salesman."""
    connection.execute(PLACE, (salesman, salesman))
    connection.execute(LINE, (salesman,))
    connection.commit()
    begin = time.monotonic()
    while not _history(url, salesman):
        if time.monotonic() - begin > 60:
            raise SystemExit(f"{salesman} did not become visible within 60 s")
        time.sleep(_LOOK)
    seen = time.monotonic() - begin
    time.sleep(_PAUSE)
    return seen


def _history(url: str, salesman: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/salesmen/{salesman}/history", timeout=10) as answer:
            return bool(json.load(answer))
    except urllib.error.HTTPError:
        return False
