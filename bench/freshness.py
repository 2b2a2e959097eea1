"""From the commit at the source to the API: how long until a reader sees a sale, with other sales coming in meanwhile.

python -m bench.freshness [CHANGES_A_SECOND] [PROBES] prints p50 and p99 in milliseconds, and the engine's CPU share.
"""

import json
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg

from bench.end_to_end import TOPLINE, api_of, project, run
from topline.embedded import EmbeddedPostgres

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
INSERT INTO customers SELECT 'c' || n, 'Customer', 'Italy', 'R' || n %% 20, 'City ' || n FROM generate_series(0, 299) n;
INSERT INTO customers VALUES ('probe', 'Probe', 'Italy', 'Lazio', 'Roma');
INSERT INTO salesmen SELECT 's' || n, 'Name ' || n FROM generate_series(0, 39) n;
"""


def main(rate: int, probes: int) -> None:
    with project() as folder, EmbeddedPostgres(folder / ".topline") as server:
        shop = server.dsn("shop")
        with psycopg.connect(shop, autocommit=True) as connection:
            connection.execute(MASTER.replace("%%", "%"))
            connection.execute("INSERT INTO salesmen SELECT 'probe' || n, 'Probe' FROM generate_series(1, %s) n", (probes,))
        run(folder, "run", "--until-idle")
        engine = subprocess.Popen([*TOPLINE, "run", "--set", "api.port=0"], cwd=folder, stdout=subprocess.DEVNULL)
        try:
            measure(folder, shop, rate, probes)
        finally:
            engine.terminate()
            engine.wait(60)


def measure(folder: Path, shop: str, rate: int, probes: int) -> None:
    url = api_of(folder)
    stop = threading.Event()
    busy = threading.Thread(target=keep_busy, args=(shop, rate, stop), daemon=True)
    busy.start()
    with psycopg.connect(shop, autocommit=False) as connection:
        times = sorted(probe(connection, url, f"probe{number}") for number in range(1, probes + 1))
    stop.set()
    busy.join()
    p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
    print(
        f"{rate:,} changes/s, {probes} probes: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, most {times[-1] * 1000:.0f} ms"
    )


def keep_busy(shop: str, rate: int, stop: threading.Event) -> None:
    """`rate` row changes a second: an order and its line, in transactions of a twentieth of a second."""
    with psycopg.connect(shop, autocommit=True) as connection:
        batch = 0
        while not stop.wait(0.05):
            batch += 1
            connection.execute(BUSY, {"batch": f"b{batch}", "count": max(1, rate // 40)})


def probe(connection: psycopg.Connection, url: str, salesman: str) -> float:
    """Seconds from the commit of an order until the API has the salesman."""
    connection.execute(PLACE, (salesman, salesman))
    connection.execute(LINE, (salesman,))
    connection.commit()
    begin = time.monotonic()
    while not _history(url, salesman):
        if time.monotonic() - begin > 30:
            raise SystemExit(f"{salesman} did not become visible within 30 s")
    seen = time.monotonic() - begin
    time.sleep(0.05)
    return seen


def _history(url: str, salesman: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/salesmen/{salesman}/history", timeout=10) as answer:
            return bool(json.load(answer))
    except urllib.error.HTTPError:
        return False


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    main(*(words + [1000, 100][len(words) :]))
